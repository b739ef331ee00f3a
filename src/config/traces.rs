//! Where traces go and which, by the standard `OTEL_*` variables. They may be set for everything in a cluster: so they are read only
//! where traces are wanted.

use axum::http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use super::reader::{Reader, comma_list};
use super::service_url::may_name_somebody;
use super::variables::Kind;
use crate::ids::is_printable;
use crate::outbound::is_here;

/// Where a collector listens that nobody has named, and where it takes traces: as OTLP over HTTP has it.
const USUAL_ENDPOINT: &str = "http://localhost:4318";
const PATH: &str = "v1/traces";
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const SERVICE_NAME: &str = "service.name";

/// Traces. `Debug` shows no header.
#[derive(Clone, Debug)]
pub struct TracesConfig {
    /// Where they go.
    pub endpoint: Url,
    /// What goes with them: a key, perhaps.
    pub headers: Vec<(HeaderName, SecretString)>,
    /// What this server is called.
    pub service_name: String,
    /// What else is to be said of it.
    pub resource: Vec<(String, String)>,
    /// Which part of the calls is traced, above 0 and up to 1.
    pub ratio: f64,
}

/// Where traces go; `None` if there are to be none.
pub(super) fn traces_config(reader: &mut Reader, warnings: &mut Vec<String>) -> Option<TracesConfig> {
    if reader.flag("OTEL_SDK_DISABLED") {
        return None;
    }
    let is_wanted = match reader.choice("OTEL_TRACES_EXPORTER") {
        Some("none") => false,
        Some(_) => true,
        None => ENDPOINTS.iter().any(|name| reader.is_given(name)),
    };
    if !is_wanted {
        return None;
    }
    // The one there is.
    reader.choice("OTEL_EXPORTER_OTLP_PROTOCOL");
    let endpoint = endpoint(reader);
    let headers = headers(reader);
    let mut resource = reader.parsed("OTEL_RESOURCE_ATTRIBUTES", |text, _| pairs(text)).unwrap_or_default();
    let named = resource.iter().position(|(key, _)| key == SERVICE_NAME).map(|at| resource.remove(at).1);
    let service_name = match named {
        Some(named) if !reader.is_given("OTEL_SERVICE_NAME") => named,
        Some(_) | None => reader.parsed("OTEL_SERVICE_NAME", printable).unwrap_or_default(),
    };
    let ratio = ratio(reader, warnings);
    let endpoint = endpoint?;
    if endpoint.scheme() == "http" && !headers.is_empty() && !is_here(&endpoint) {
        warnings.push(format!("{HEADERS} GO UNENCRYPTED TO {}: use https", endpoint.host_str().unwrap_or_default()));
    }
    // None of them is the same as no traces, and costs less.
    (ratio > 0.0).then_some(TracesConfig { endpoint, headers, service_name, resource, ratio })
}

/// The address of traces as it stands, or the one of everything with the path of traces behind it.
fn endpoint(reader: &mut Reader) -> Option<Url> {
    let [own, common] = ENDPOINTS.map(|name| {
        if reader.text(name).is_some_and(|text| may_name_somebody(&text)) {
            let text = format!(
                "names a user or a password, which have no place in an address that is shown; {HEADERS} are secret"
            );
            reader.conflict(name, text);
            return None;
        }
        reader.parsed(name, |text, _| address(text))
    });
    own.or_else(|| {
        let mut url = common.or_else(|| address(USUAL_ENDPOINT))?;
        url.path_segments_mut().ok()?.pop_if_empty().extend(PATH.split('/'));
        Some(url)
    })
}

/// A collector is often in the same cluster, without TLS.
fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    (is_web && url.fragment().is_none()).then_some(url)
}

fn headers(reader: &mut Reader) -> Vec<(HeaderName, SecretString)> {
    let read = |text: &str, _| {
        let header = |(name, value): (String, String)| {
            HeaderValue::from_str(&value).ok()?;
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, SecretString::from(value)))
        };
        pairs(text)?.into_iter().map(header).collect()
    };
    reader.parsed(HEADERS, read).unwrap_or_default()
}

fn printable(text: &str, kind: Kind) -> Option<String> {
    let Kind::Printable(most) = kind else { return None };
    is_printable(text, most).then(|| text.to_owned())
}

/// `key=value,key=value`, percent-encoded as in the baggage of W3C.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decoded = |text: &str| Some(percent_decode_str(text.trim()).decode_utf8().ok()?.into_owned());
    let pair = |item: &str| {
        let (key, value) = item.split_once('=')?;
        let key = decoded(key)?;
        (!key.is_empty()).then_some((key, decoded(value)?))
    };
    comma_list(text).map(pair).collect()
}

/// Which part of the calls is traced. There is nobody before this server who could have decided it, so a sampler that goes by its parent
/// is the same as without one.
fn ratio(reader: &mut Reader, warnings: &mut Vec<String>) -> f64 {
    const ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
    let sampler = reader.choice("OTEL_TRACES_SAMPLER").unwrap_or_default();
    match sampler.strip_prefix("parentbased_").unwrap_or(sampler) {
        "traceidratio" => {
            let part = |text: &str, _| text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
            reader.parsed(ARG, part).unwrap_or(1.0)
        }
        word => {
            if reader.is_given(ARG) {
                warnings.push(format!("{ARG} is ignored: OTEL_TRACES_SAMPLER={sampler} takes none"));
            }
            if word == "always_off" { 0.0 } else { 1.0 }
        }
    }
}

#[cfg(test)]
mod tests;
