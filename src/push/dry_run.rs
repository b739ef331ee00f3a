//! What a push service says to a message that can reach nobody, told to an operator. Only a device with a token of its own can
//! find out the rest.

use url::Url;

use crate::finding::Finding;
use crate::ids::PushToken;
use crate::push::Outcome;

/// A token that is well-formed for every service, and nobody's.
pub(super) fn token() -> PushToken {
    // Of the length and the letters that Apple's have.
    PushToken::parse(&"0".repeat(64)).expect("it is short and printable")
}

/// The finding about the service at `url`, where `good` is what to say of one that has only the token to complain about.
pub(super) fn told(service: &str, good: String, url: &Url, outcome: Outcome) -> Finding {
    let host = url.host_str().unwrap_or_default();
    match outcome {
        Outcome::Sent => Finding::ok(service, good),
        // That the tokens may be another project's is the settings' fault, and here there is but one token.
        Outcome::TokenDead { if_often: Some(why), .. } if why.contains("SENDER_ID_MISMATCH") => {
            Finding::problem(service, why, advice(why, host))
        }
        Outcome::TokenDead { .. } => Finding::ok(service, good),
        Outcome::Retry { trouble, .. } => {
            let why = trouble.why();
            let is_reached = why.contains("in trouble")
                || why.contains("quota")
                || why.contains("too many")
                || why.contains("too often");
            if is_reached {
                Finding::warning(service, why, "Look again in some minutes: it is the service that has to mend this")
            } else {
                Finding::problem(service, format!("{host}: {why}"), advice(why, host))
            }
        }
        Outcome::Refused { why, .. } => Finding::problem(service, why, advice(why, host)),
    }
}

/// What to change, by what is said to be wrong.
fn advice(why: &str, host: &str) -> String {
    const ADVICE: &[(&str, &str)] = &[
        (
            "service account is refused",
            "Make a new key of the service account (Firebase console, Project settings, Service accounts) for FIREBASE_PRIVATE_KEY_PATH, once the clock of this machine is right",
        ),
        (
            "takes no access token",
            "Set FIREBASE_PROJECT_ID to the project of the service account, and enable the Firebase Cloud Messaging API (V1) there",
        ),
        (
            "may not send messages for this project",
            "Give the service account the role \"Firebase Cloud Messaging API Admin\", enable the Firebase Cloud Messaging API (V1), and check FIREBASE_PROJECT_ID",
        ),
        (
            "no such project",
            "Set FIREBASE_PROJECT_ID to the id of the project, not its name or its number, and take FCM_ENDPOINT away if it is set",
        ),
        (
            "SENDER_ID_MISMATCH",
            "Set FIREBASE_PROJECT_ID to the project that the app is built with (google-services.json)",
        ),
        ("THIRD_PARTY_AUTH_ERROR", "Upload the APNs key of the app in the Firebase console (Cloud Messaging)"),
        (
            "InvalidProviderToken",
            "Set APNS_KEY_ID and APNS_TEAM_ID to those of the key in APNS_KEY_PATH, or make a new key if it was revoked",
        ),
        ("APNS_TOPIC", "Set APNS_TOPIC to the bundle id of the app, of the team that the key belongs to"),
        (
            "for this environment",
            "Make a key that is good for both environments, or set APNS_ENVIRONMENT to the one this key is for",
        ),
        ("ExpiredProviderToken", "Put the clock of this machine right (chrony, systemd-timesyncd)"),
        ("APNS_ENDPOINT", "Take APNS_ENDPOINT away, or set it to where Apple's push service is"),
        ("cannot sign", "Make a new key: this one cannot sign"),
        (
            "is its certificate trusted",
            "Trust the authority that has signed its certificate (SSL_CERT_FILE), or take away what opens TLS in between",
        ),
    ];
    let known = ADVICE.iter().find(|(words, _)| why.contains(words));
    known.map_or_else(
        || format!("Let this machine reach {host} over TCP, port 443 or as its endpoint says, or set HTTPS_PROXY"),
        |(_, advice)| (*advice).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Mark;
    use crate::push::Trouble;

    fn told_of(outcome: Outcome) -> Finding {
        told("FCM", "good".into(), &"https://push.example.org/x".parse().unwrap(), outcome)
    }

    #[test]
    fn a_service_that_has_only_the_token_to_complain_about_is_good() {
        assert_eq!(told_of(Outcome::dead("UNREGISTERED")), Finding::ok("FCM", "good"));
        assert_eq!(told_of(Outcome::Sent), Finding::ok("FCM", "good"));
        let often = Outcome::TokenDead {
            code: "",
            since: None,
            if_often: Some("Apple does not know the tokens (BadDeviceToken)"),
        };
        assert_eq!(told_of(often).mark, Mark::Ok);
        let mismatch =
            Outcome::TokenDead { code: "", since: None, if_often: Some("another project (SENDER_ID_MISMATCH)") };
        assert!(told_of(mismatch).advice.unwrap().contains("FIREBASE_PROJECT_ID"));
    }

    #[test]
    fn what_is_wrong_here_has_a_setting_to_change() {
        for (why, setting) in [
            (
                "no access token: the service account is refused; is its key still valid, and the clock right?",
                "FIREBASE_PRIVATE_KEY_PATH",
            ),
            (
                "Apple does not know the key; are APNS_KEY_ID and APNS_TEAM_ID right? (InvalidProviderToken)",
                "APNS_KEY_ID",
            ),
            ("the key may not send to APNS_TOPIC (TopicDisallowed)", "APNS_TOPIC"),
        ] {
            let found = told_of(Outcome::alert(why));
            assert!(found.mark == Mark::Problem && found.advice.as_ref().unwrap().contains(setting), "{found:?}");
        }
    }

    #[test]
    fn a_service_out_of_reach_is_a_problem_and_one_in_trouble_is_not_ours() {
        let of = |why| told_of(Outcome::Retry { after: None, trouble: Trouble::Service(why) });
        let away = of("no connection");
        assert!(away.mark == Mark::Problem && away.found == "push.example.org: no connection", "{away:?}");
        assert!(away.advice.unwrap().contains("push.example.org"));
        assert!(of("no TLS connection; is its certificate trusted?").advice.unwrap().contains("SSL_CERT_FILE"));
        assert_eq!(of("the service is in trouble").mark, Mark::Warning);
    }
}
