//! The page in a real browser: two windows ring, see each other and hang up.

use std::fs;

use crate::support::{BINARY, ROOT, Server, run_node_tests};

#[test]
fn the_page_in_a_browser() {
    let server = Server::start(&[
        ("CALL_RING_TIMEOUT", "4000"),
        ("CALL_AWAY_TIMEOUT", "3000"),
        ("STUN_SERVER_URL", "stun:127.0.0.1:9"),
    ]);
    let screenshots = format!("{ROOT}/target/screenshots");
    fs::create_dir_all(&screenshots).expect("target/ is ours to write");
    let environment =
        [("SWITCHBOARD_URL", server.url()), ("SCREENSHOT_DIR", &*screenshots), ("SWITCHBOARD_BIN", BINARY)];
    run_node_tests("browser.test.mjs", &environment);
}
