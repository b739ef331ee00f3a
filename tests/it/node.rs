//! The stock Socket.IO client against the real server: one test for each file of `tests/node`, and a second one, over two nodes
//! and a Redis of their own, for each file that is about neither one node nor several.

use crate::support::{BINARY, run_node, run_node_tests};

fn passes(file: &str) {
    run_node_tests(file, &[("SWITCHBOARD_BIN", BINARY)]);
}

fn passes_on_two_nodes(file: &str) {
    run_node_tests(file, &[("SWITCHBOARD_BIN", BINARY), ("SWITCHBOARD_NODES", "2")]);
}

#[test]
fn wire() {
    passes("wire.test.mjs");
}

#[test]
fn wire_on_two_nodes() {
    passes_on_two_nodes("wire.test.mjs");
}

#[test]
fn apis() {
    passes("apis.test.mjs");
}

#[test]
fn apis_on_two_nodes() {
    passes_on_two_nodes("apis.test.mjs");
}

#[test]
fn identity() {
    passes("identity.test.mjs");
}

#[test]
fn identity_on_two_nodes() {
    passes_on_two_nodes("identity.test.mjs");
}

#[test]
fn jwks() {
    passes("jwks.test.mjs");
}

#[test]
fn jwks_on_two_nodes() {
    passes_on_two_nodes("jwks.test.mjs");
}

#[test]
fn devices() {
    passes("devices.test.mjs");
}

#[test]
fn devices_on_two_nodes() {
    passes_on_two_nodes("devices.test.mjs");
}

#[test]
fn limits() {
    passes("limits.test.mjs");
}

#[test]
fn limits_on_two_nodes() {
    passes_on_two_nodes("limits.test.mjs");
}

#[test]
fn order() {
    passes("order.test.mjs");
}

#[test]
fn order_on_two_nodes() {
    passes_on_two_nodes("order.test.mjs");
}

#[test]
fn ice() {
    passes("ice.test.mjs");
}

#[test]
fn ice_on_two_nodes() {
    passes_on_two_nodes("ice.test.mjs");
}

#[test]
fn push() {
    passes("push.test.mjs");
}

#[test]
fn push_on_two_nodes() {
    passes_on_two_nodes("push.test.mjs");
}

#[test]
fn webhooks() {
    passes("webhooks.test.mjs");
}

#[test]
fn webhooks_on_two_nodes() {
    passes_on_two_nodes("webhooks.test.mjs");
}

#[test]
fn timeline() {
    passes("timeline.test.mjs");
}

#[test]
fn timeline_on_two_nodes() {
    passes_on_two_nodes("timeline.test.mjs");
}

#[test]
fn http() {
    passes("http.test.mjs");
}

#[test]
fn metrics() {
    passes("metrics.test.mjs");
}

#[test]
fn dashboard() {
    passes("dashboard.test.mjs");
}

#[test]
fn cluster() {
    passes("cluster.test.mjs");
}

#[test]
fn faults() {
    passes("faults.test.mjs");
}

#[test]
fn nodes() {
    passes("nodes.test.mjs");
}

#[test]
fn proxy() {
    passes("proxy.test.mjs");
}

#[test]
fn doctor() {
    passes("doctor.test.mjs");
}

#[test]
fn hot() {
    passes("hot.test.mjs");
}

#[test]
fn tls() {
    passes("tls.test.mjs");
}

#[test]
fn connections() {
    passes("connections.test.mjs");
}

#[test]
fn verdict() {
    passes("verdict.test.mjs");
}

/// The short form of `tests/fault-run`.
#[test]
fn fault_run() {
    run_node(&["fault-run.mjs", "--short"], &[("SWITCHBOARD_BIN", BINARY)]);
}
