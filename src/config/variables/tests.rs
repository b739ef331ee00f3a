//! What the table of variables has to be, whatever is in it.

use std::collections::HashSet;

use super::*;

#[test]
fn names_are_unique_and_sections_stay_together() {
    let names: HashSet<_> = variables().iter().map(|variable| variable.name).collect();
    assert_eq!(names.len(), variables().len());
    let mut sections: Vec<_> = variables().iter().map(|v| v.section.to_string()).collect();
    sections.dedup();
    let distinct: HashSet<_> = sections.iter().collect();
    assert_eq!(distinct.len(), sections.len());
}

/// The names and defaults that deployments of the reference server rely on.
#[test]
fn documented_defaults_are_kept() {
    let documented = [
        ("NODE_ENV", "development"),
        ("PORT", "3000"),
        ("HOST", "0.0.0.0"),
        ("CORS_ORIGIN", "*"),
        ("REDIS_HOST", "not set"),
        ("REDIS_PORT", "6379"),
        ("REDIS_PASSWORD", "not set"),
        ("REDIS_DB", "0"),
        ("STUN_SERVER_URL", "stun:stun.l.google.com:19302"),
        ("TURN_SERVER_URL", "not set"),
        ("TURN_USERNAME", "not set"),
        ("TURN_CREDENTIAL", "not set"),
        ("TURN_STATIC_SECRET", "not set"),
        ("FIREBASE_PROJECT_ID", "not set"),
        ("FIREBASE_PRIVATE_KEY_PATH", "not set"),
        ("CALL_RING_TIMEOUT", "45000"),
        ("SOCKET_PING_TIMEOUT", "60000"),
        ("SOCKET_PING_INTERVAL", "25000"),
        ("LOG_LEVEL", "info"),
    ];
    for (name, default) in documented {
        let variable = variables().iter().find(|variable| variable.name == name);
        assert_eq!(variable.map(|v| v.fallback.to_string()).as_deref(), Some(default), "{name}");
    }
}
