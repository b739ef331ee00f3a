//! Spots misspelt variables: a typo in an optional setting would otherwise be silently without effect.
//!
//! Only names that begin like ours and are two keystrokes or fewer from one of them are reported. Orchestrators
//! inject variables of their own (`TURN_PORT_3478_TCP`), and a name far from all of ours is none of our business.

use super::secret_files::file_variables;
use super::variables::variables;

const PREFIXES: [&str; 14] = [
    "CALL_",
    "SOCKET_",
    "TURN_",
    "INBOX_",
    "EVENT_",
    "JWT_",
    "FIREBASE_",
    "APNS_",
    "PUSH_",
    "FCM_",
    "REDIS_",
    "METRICS_",
    "TLS_",
    "WEBHOOK_",
];
const MOST_EDITS: usize = 2;

/// The variable that `name` was probably meant to be, or `None` if it is one of ours or unlike all of them.
pub(super) fn meant_by(name: &str) -> Option<&'static str> {
    if !PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return None;
    }
    let known = variables().iter().map(|variable| variable.name).chain(file_variables());
    let (known, distance) =
        known.map(|known| (known, edit_distance(name, known))).min_by_key(|(_, distance)| *distance)?;
    (1..=MOST_EDITS).contains(&distance).then_some(known)
}

/// Levenshtein distance in bytes; variable names are ASCII and short.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("PORT", "PORT"), 0);
    }

    #[test]
    fn typos_are_recognised_and_strangers_left_alone() {
        assert_eq!(meant_by("CALL_RING_TIMOUT"), Some("CALL_RING_TIMEOUT"));
        assert_eq!(meant_by("SOCKET_PING_INTERVALL"), Some("SOCKET_PING_INTERVAL"));
        assert_eq!(meant_by("TURN_SERVERURL"), Some("TURN_SERVER_URL"));
        assert_eq!(meant_by("REDIS_PASWORD"), Some("REDIS_PASSWORD"));
        assert_eq!(meant_by("JWT_AUDIENC"), Some("JWT_AUDIENCE"));
        assert_eq!(meant_by("JWT_SECRT_FILE"), Some("JWT_SECRET_FILE"));
        assert_eq!(meant_by("TLS_CRT"), Some("TLS_CERT"));
        let strangers = [
            "CALL_TTL",
            "TURN_PORT",
            "TURN_SERVICE_HOST",
            "EVENT_STORE_URL",
            "JWT_EXPIRES_IN",
            "PROT",
            "REDIS_SERVICE_HOST",
            "REDIS_PORT_6379_TCP",
        ];
        for stranger in strangers {
            assert_eq!(meant_by(stranger), None, "{stranger}");
        }
    }
}
