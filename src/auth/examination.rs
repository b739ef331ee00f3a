//! A look at where the keys of tokens come from, for an operator.

use std::time::{Duration, UNIX_EPOCH};

use jsonwebtoken::Algorithm;

use crate::auth::Authenticator;
use crate::auth::key_server::{Dated, FetchError, KeyServer};
use crate::clock::{Clock, Timestamp};
use crate::finding::{Finding, clock as clock_finding, spoken};

/// A date has whole seconds, and its answer was on its way for a moment.
const DATE_IS_UNCERTAIN_BY: Duration = Duration::from_secs(2);
/// What Google names its keys' issuers.
const FIREBASE: &str = "securetoken.google.com";

impl Authenticator {
    /// What is to be said about the keys that tokens are checked with.
    pub async fn examine(&self) -> Vec<Finding> {
        const SECRET: &str = "JWT_SECRET";
        let mut findings = Vec::new();
        if self.secret.is_some() {
            findings
                .push(Finding::ok(SECRET, "tokens signed with the secret are checked here, without asking anybody"));
        }
        let Some(public) = &self.public else {
            findings.push(Finding::absent("JWT_JWKS_URL", "not set: no identity provider is asked"));
            return findings;
        };
        if !public.from_file.is_empty() {
            let count = keys(public.from_file.len());
            findings.push(Finding::ok("JWT_PUBLIC_KEY_PATH", format!("{count} in the file")));
        }
        if let Some(provider) = &public.provider {
            let issuer = self.issuers.first().map(String::as_str);
            findings.extend(examine(provider.server(), &public.allowed, issuer, self.clock).await);
        }
        findings
    }
}

async fn examine(server: &KeyServer, allowed: &[Algorithm], issuer: Option<&str>, clock: Clock) -> Vec<Finding> {
    let fetched = server.fetch_dated().await;
    let whose = match issuer {
        Some(issuer) if issuer.contains(FIREBASE) => "Firebase".to_owned(),
        Some(issuer) => issuer.to_owned(),
        None => "the identity provider".to_owned(),
    };
    match fetched {
        Ok(dated) => good(&dated, allowed, &whose, clock.now()),
        Err(error) => vec![bad(&error, &whose)],
    }
}

fn good(
    Dated { keys: set, lifetime, date }: &Dated,
    allowed: &[Algorithm],
    whose: &str,
    now: Timestamp,
) -> Vec<Finding> {
    let names: Vec<_> = set.algorithms(allowed).iter().map(|algorithm| format!("{algorithm:?}")).collect();
    let kept = match lifetime {
        Some(lifetime) if lifetime.is_zero() => ", not to be kept".to_owned(),
        Some(lifetime) => format!(", good for {}", spoken(*lifetime)),
        None => String::new(),
    };
    let count = keys(set.len());
    let mut findings =
        vec![Finding::ok("JWT_JWKS_URL", format!("{count} of {whose} can be used, for {}{kept}", names.join(", ")))];
    if let Some(there) = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok()) {
        let there = Timestamp::default().plus(there);
        findings.push(clock_finding("clock", whose, now.0, there.0, DATE_IS_UNCERTAIN_BY));
    }
    findings
}

fn bad(error: &FetchError, whose: &str) -> Finding {
    let follows = "a node that has keys already goes on with them, one that starts is not ready, and its users are told \
                   \"Temporarily unavailable\"";
    let advice = match error {
        FetchError::Unreachable(_) => {
            "Let this machine reach the host of JWT_JWKS_URL (DNS, firewall, SSL_CERT_FILE, HTTPS_PROXY)"
        }
        FetchError::Moved(_) => "Set JWT_JWKS_URL to the address that it redirects to",
        FetchError::Status(_) => "Set JWT_JWKS_URL to the jwks_uri in the provider's /.well-known/openid-configuration",
        FetchError::TooLarge | FetchError::KeySet(_) => {
            "Set JWT_JWKS_URL to the provider's JSON Web Key Set, and JWT_ALGORITHMS to what its tokens are signed by"
        }
    };
    Finding::problem("JWT_JWKS_URL", format!("no keys of {whose}: {error}; {follows}"), advice)
}

fn keys(count: usize) -> String {
    if count == 1 { "1 key".to_owned() } else { format!("{count} keys") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::testing::{Answer, RSA, StandIn, key_set};
    use crate::config::Config;
    use crate::finding::Mark;

    async fn found(vars: &[(&str, &str)]) -> Vec<Finding> {
        let config = Config::from_vars(vars.iter().copied()).unwrap();
        Authenticator::new(&config.auth, Clock::system()).examine().await
    }

    #[tokio::test]
    async fn the_keys_of_a_provider_are_counted() {
        let keys = key_set(&[RSA.jwk("a", &json!({})), RSA.jwk("b", &json!({}))]);
        let server = StandIn::start([Answer::Keys(keys, "max-age=600")]).await;
        let found = found(&[("JWT_JWKS_URL", &server.url), ("JWT_ISSUER", "https://securetoken.google.com/p")]).await;
        assert_eq!(found[0], Finding::ok("JWT_JWKS_URL", "2 keys of Firebase can be used, for RS256, good for 10 min"));
    }

    #[tokio::test]
    async fn a_provider_that_has_none_is_told_with_what_follows() {
        for (answer, words) in [
            (Answer::Status(503), "openid-configuration"),
            (Answer::Redirect("http://127.0.0.1:1/keys".into()), "redirects to"),
            (Answer::Keys("{".into(), "max-age=1"), "JSON Web Key Set"),
        ] {
            let server = StandIn::start([answer]).await;
            let [found] = &found(&[("JWT_JWKS_URL", &server.url)]).await[..] else { panic!("one finding") };
            assert!(found.mark == Mark::Problem && found.found.contains("is not ready"), "{found:?}");
            assert!(found.advice.as_ref().unwrap().contains(words), "{found:?}");
        }
    }

    #[tokio::test]
    async fn a_secret_needs_nobody() {
        let found = found(&[("JWT_SECRET", "hunter2")]).await;
        assert_eq!([found[0].mark, found[1].mark], [Mark::Ok, Mark::Absent]);
    }

    #[test]
    fn a_clock_of_another_time_is_told() {
        let date = Some(UNIX_EPOCH + Duration::from_secs(1_000));
        let dated = Dated { keys: crate::auth::keys::KeySet::default(), lifetime: None, date };
        let marks = |now| good(&dated, &[], "it", Timestamp(now)).last().unwrap().mark;
        assert_eq!([marks(1_001_000), marks(1_010_000), marks(1_100_000)], [Mark::Ok, Mark::Warning, Mark::Problem]);
    }
}
