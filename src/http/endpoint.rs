//! An endpoint: where it is, what answers it, and what is published of it in `docs/openapi.json`. There is no way to add one and
//! leave out the other.

use std::borrow::Cow;

use axum::Router;
use axum::handler::Handler;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, Method, StatusCode};
use axum::routing::{MethodRouter, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::answer::Refusal;
use crate::ids::schema::Describe;

/// What is not to be kept by anybody on the way.
pub(super) const NO_STORE: &str = "no-store";
/// What a refused token is told.
pub(super) const BEARER: &str = "Bearer";

/// An endpoint of a router whose state is `S`.
pub(super) struct Endpoint<S> {
    path: &'static str,
    route: MethodRouter<S>,
    /// What is published.
    pub(super) operation: Operation,
}

/// What is published of an endpoint.
pub struct Operation {
    /// Its name, for generated code.
    pub id: &'static str,
    /// Where it is.
    pub path: &'static str,
    /// How it is asked.
    pub method: Method,
    /// What it is for.
    pub about: &'static str,
    /// Who may ask.
    pub access: Access,
    /// What is asked beside the path.
    pub parameters: Vec<Parameter>,
    /// What is sent.
    pub body: Option<Describe>,
    /// What is answered.
    pub answers: Vec<Answer>,
}

/// Whose token an endpoint looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody's.
    Anybody,
    /// A user's, who gets more.
    MayHaveToken,
    /// A user's, or that of a push.
    NeedsToken,
}

/// Something that is asked.
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Whether it is a part of the path, rather than of the query.
    pub in_path: bool,
    /// What it says.
    pub about: &'static str,
    /// What it may hold.
    pub schema: Schema,
}

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// When it is given.
    pub about: &'static str,
    /// Its headers that always have the same value.
    pub headers: Vec<(HeaderName, &'static str)>,
    /// What is in it.
    pub content: Content,
}

/// What is in an answer.
pub enum Content {
    /// Nothing.
    Nothing,
    /// Something of another type than JSON.
    Other(&'static str),
    /// JSON.
    Json {
        /// What it looks like.
        schema: Describe,
        /// What it holds beside that, as a further schema.
        narrowed: Option<Value>,
        /// An example.
        example: Option<Value>,
    },
}

impl<S: Clone + Send + Sync + 'static> Endpoint<S> {
    /// One that is asked by GET.
    pub(super) fn get<T: 'static>(path: &'static str, handler: impl Handler<T, S>, operation: Operation) -> Self {
        Self { path, route: get(handler), operation: Operation { path, method: Method::GET, ..operation } }
    }

    /// One that is asked by POST.
    pub(super) fn post<T: 'static>(path: &'static str, handler: impl Handler<T, S>, operation: Operation) -> Self {
        Self { path, route: post(handler), operation: Operation { path, method: Method::POST, ..operation } }
    }

    /// All of `endpoints`.
    pub(super) fn routes(endpoints: impl IntoIterator<Item = Self>) -> Router<S> {
        endpoints.into_iter().fold(Router::new(), |router, endpoint| router.route(endpoint.path, endpoint.route))
    }
}

impl Operation {
    /// What anybody may ask, without any parameter. Where it is, its endpoint says.
    pub(super) fn new(id: &'static str, about: &'static str, answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            id,
            path: "",
            method: Method::GET,
            about,
            access: Access::Anybody,
            parameters: Vec::new(),
            body: None,
            answers: answers.into_iter().collect(),
        }
    }
}

impl Answer {
    pub(super) fn new(status: StatusCode, about: &'static str, content: Content) -> Self {
        Self { status, about, headers: Vec::new(), content }
    }

    /// JSON that looks like `T`.
    pub(super) fn json<T: JsonSchema>(status: StatusCode, about: &'static str, example: Value) -> Self {
        let content =
            Content::Json { schema: SchemaGenerator::subschema_for::<T>, narrowed: None, example: Some(example) };
        Self::new(status, about, content)
    }

    /// A refusal with one of these texts.
    pub(super) fn refusal<'a>(
        status: StatusCode,
        about: &'static str,
        errors: impl IntoIterator<Item = impl Into<Cow<'a, str>>>,
    ) -> Self {
        let errors: Vec<Cow<'_, str>> = errors.into_iter().map(Into::into).collect();
        let narrowed = Some(json!({ "properties": { "error": { "enum": errors } } }));
        let schema: Describe = SchemaGenerator::subschema_for::<Refusal<'_>>;
        Self::new(status, about, Content::Json { schema, narrowed, example: None })
    }

    /// The same with a header that always has this value.
    pub(super) fn with(mut self, header: HeaderName, value: &'static str) -> Self {
        self.headers.push((header, value));
        self
    }

    /// Kept by nobody on the way.
    pub(super) fn not_stored(self) -> Self {
        self.with(CACHE_CONTROL, NO_STORE)
    }

    /// To be asked again after so many seconds.
    pub(super) fn again_after(self, seconds: &'static str) -> Self {
        self.with(RETRY_AFTER, seconds)
    }

    /// With another token.
    pub(super) fn wants_token(self) -> Self {
        self.with(WWW_AUTHENTICATE, BEARER)
    }
}
