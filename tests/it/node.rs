//! The stock Socket.IO client against the real server: one test for each file of `tests/node`.

use crate::support::{BINARY, run_node_tests};

fn passes(file: &str) {
    run_node_tests(file, &[("SWITCHBOARD_BIN", BINARY)]);
}

#[test]
fn wire() {
    passes("wire.test.mjs");
}

#[test]
fn identity() {
    passes("identity.test.mjs");
}

#[test]
fn devices() {
    passes("devices.test.mjs");
}

#[test]
fn limits() {
    passes("limits.test.mjs");
}

#[test]
fn order() {
    passes("order.test.mjs");
}

#[test]
fn http() {
    passes("http.test.mjs");
}
