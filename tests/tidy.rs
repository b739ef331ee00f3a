//! The house rules that no compiler checks: who may use whom, where the outside world is let in, size, headers, words
//! that must not stay; and beside it (`documents`) the documents that must say what is true.

#[path = "tidy/documents.rs"]
mod documents;

use std::fs;
use std::path::{Path, PathBuf};

/// Who may use whom: each room (`src/<room>.rs` and `src/<room>/`) and the rooms it may name.
/// `ids` and `clock` are open to all; a room may always name itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("main", &["app", "auth", "cli", "config", "doctor", "lifecycle", "metrics", "telemetry"]),
    (
        "app",
        &[
            "auth",
            "backplane",
            "call",
            "config",
            "http",
            "lifecycle",
            "listener",
            "metrics",
            "protocol",
            "push",
            "socket",
            "switchboard",
            "telemetry",
            "timeline",
            "traces",
            "turn",
            "webhooks",
        ],
    ),
    ("cli", &["api_doc", "auth", "config", "lifecycle", "outbound", "timeline"]),
    ("config", &["outbound"]),
    ("doctor", &["auth", "backplane", "config", "finding", "lifecycle", "push", "turn", "webhooks"]),
    ("finding", &[]),
    ("api_doc", &["auth", "config", "http", "protocol", "socket", "turn"]),
    ("ids", &[]),
    ("clock", &[]),
    ("lifecycle", &[]),
    ("metrics", &[]),
    ("outbound", &[]),
    ("listener", &["config", "lifecycle"]),
    ("telemetry", &["config"]),
    ("auth", &["config", "finding", "outbound"]),
    ("call", &[]),
    ("timeline", &["call"]),
    ("protocol", &["call"]),
    ("backplane", &["call", "config", "finding", "metrics", "protocol", "timeline", "traces"]),
    ("push", &["call", "config", "finding", "outbound", "timeline", "traces"]),
    ("turn", &["config", "finding"]),
    ("webhooks", &["backplane", "call", "config", "finding", "metrics", "outbound"]),
    ("switchboard", &["backplane", "call", "config", "metrics", "protocol", "push", "timeline", "traces"]),
    (
        "socket",
        &["auth", "call", "config", "lifecycle", "listener", "metrics", "protocol", "switchboard", "traces", "turn"],
    ),
    ("http", &["auth", "call", "config", "lifecycle", "metrics", "telemetry", "timeline", "turn"]),
    ("traces", &["call", "config", "metrics", "outbound"]),
];
const OPEN_TO_ALL: &[&str] = &["ids", "clock"];

/// Paths of the outside world, and where alone under `src` they may be named (prefixes of file names).
const ONLY_IN: &[(&str, &[&str])] = &[
    ("redis::", &["src/backplane/redis"]),
    ("bb8_redis::", &["src/backplane/redis"]),
    ("socketioxide::", &["src/socket"]),
    ("engineioxide::", &["src/socket"]),
    ("std::env", &["src/config", "src/main.rs", "src/cli"]),
    ("dotenvy::", &["src/config", "src/main.rs"]),
    ("jsonwebtoken::", &["src/auth", "src/config/push.rs", "src/push"]),
    ("prometheus::", &["src/metrics"]),
    ("reqwest::", &["src/outbound"]),
    ("opentelemetry", &["src/traces/"]),
    ("prost::", &["src/traces/"]),
    ("rustls::", &["src/config/tls", "src/listener", "src/outbound", "src/turn/wire.rs"]),
    ("tokio_rustls::", &["src/listener", "src/turn/wire.rs"]),
];

/// Rooms that never name a path.
const NEVER_IN: &[(&str, &[&str])] =
    &[("schemars", &["src/call"]), ("serde", &["src/call"]), ("tokio::", &["src/call"]), ("tracing::", &["src/call"])];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["common", "helpers", "manager", "misc", "util", "utils"];

/// What must not stay in any source. Written in two halves so that this file may be checked too.
const MUST_NOT_STAY: &[&str] = &[
    concat!("#[ig", "nore"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// What must not stay in tests: waiting by the clock, and tests that do not run.
const NOT_IN_TESTS: &[&str] = &[
    concat!("sle", "ep("),
    concat!(".sk", "ip("),
    concat!(".on", "ly("),
    concat!(".to", "do("),
    concat!("sk", "ip: "),
    concat!("on", "ly: "),
];

const MAX_LINES: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A source file: its path as `src/call/decide.rs`, and its text.
struct Source {
    path: String,
    text: String,
}

/// All files under `folders` whose name ends so, in a steady order. Nothing that npm or cargo made.
fn sources(folders: &[&str], ending: &str) -> Vec<Source> {
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.map(|entry| entry.expect("the folder is readable")) {
            let path = entry.path();
            if path.is_dir() {
                if !path.ends_with("node_modules") {
                    waiting.push(path);
                }
            } else if path.to_string_lossy().ends_with(ending) {
                let name =
                    path.strip_prefix(root()).expect("it is below the root").to_string_lossy().replace('\\', "/");
                found.push(Source { path: name, text: read(&path) });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rust() -> Vec<Source> {
    let found = sources(&["src", "tests", "benches"], ".rs");
    assert!(found.iter().any(|source| source.path == "src/main.rs"), "no sources found");
    found
}

/// Fails with all of `problems`, one on a line.
fn expect_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// The top-level room of a file under `src`.
fn room_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

/// The lines of a file with their numbers, without comments and without the unit tests at its end.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let all: Vec<&str> = text.lines().collect();
    let tests = all.windows(2).position(|two| two[0].trim() == "#[cfg(test)]" && two[1].starts_with("mod tests {"));
    let code = tests.unwrap_or(all.len());
    all.into_iter()
        .take(code)
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The first names of all paths in `line` that start with `prefix`, as `call` in `crate::call::Call`.
fn names_after<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(prefix).filter(|(at, _)| !continues_a_name(line, *at)).map(move |(at, _)| {
        let rest = &line[at + prefix.len()..];
        &rest[..rest.find(|c: char| !is_name(c)).unwrap_or(rest.len())]
    })
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether what stands at `at` is the rest of a longer name or path.
fn continues_a_name(line: &str, at: usize) -> bool {
    line[..at].chars().next_back().is_some_and(|before| is_name(before) || before == ':')
}

#[test]
fn who_may_use_whom() {
    let mut problems = Vec::new();
    for Source { path, text } in sources(&["src"], ".rs").iter().filter(|source| source.path != "src/lib.rs") {
        let room = room_of(path);
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            problems.push(format!("{path}: the room `{room}` is not in the table MAY_USE of tests/tidy.rs"));
            continue;
        };
        for (number, line) in code_lines(text) {
            for used in names_after(line, "crate::").chain(names_after(line, "switchboard::")) {
                if used.is_empty() {
                    problems.push(format!("{path}:{number}: name the room in the path: `use crate::room`"));
                } else if MAY_USE.iter().any(|(name, _)| *name == used)
                    && used != room
                    && !OPEN_TO_ALL.contains(&used)
                    && !allowed.contains(&used)
                {
                    problems.push(format!("{path}:{number}: `{room}` may not use `{used}`"));
                }
            }
            if line.contains(concat!("super::", "super")) {
                problems.push(format!("{path}:{number}: name the room instead of climbing twice"));
            }
        }
    }
    expect_none(&problems);
}

#[test]
fn the_outside_world_comes_in_by_its_door() {
    let mut problems = Vec::new();
    for Source { path, text } in &sources(&["src"], ".rs") {
        for (number, line) in code_lines(text) {
            let names = |world: &str| line.match_indices(world).any(|(at, _)| !continues_a_name(line, at));
            let is_in = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
            for (world, doors) in ONLY_IN {
                if names(world) && !is_in(doors) {
                    problems.push(format!("{path}:{number}: `{world}` belongs in {}", doors.join(", ")));
                }
            }
            for (world, places) in NEVER_IN {
                if names(world) && is_in(places) {
                    problems.push(format!("{path}:{number}: `{world}` has no place here"));
                }
            }
        }
    }
    expect_none(&problems);
}

#[test]
fn files_say_what_they_are_and_stay_small() {
    let mut problems = Vec::new();
    for Source { path, text } in &rust() {
        if !text.starts_with("//!") {
            problems.push(format!("{path}: opens without `//!`"));
        }
        let lines = text.lines().count();
        if lines > MAX_LINES {
            problems.push(format!("{path}: {lines} lines, more than {MAX_LINES}"));
        }
        let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs");
        if EMPTY_NAMES.contains(&name) || path.split('/').any(|part| EMPTY_NAMES.contains(&part)) {
            problems.push(format!("{path}: a name that says nothing; name the room"));
        }
        if name == "mod" {
            problems.push(format!("{path}: the door of a room stands beside it: room.rs"));
        }
    }
    expect_none(&problems);
}

#[test]
fn nothing_is_left_for_later() {
    let mut all = rust();
    all.extend(sources(&["src", "tests"], "js"));
    all.extend(sources(&["clients/typescript"], ".ts"));
    let mut problems = Vec::new();
    for Source { path, text } in &all {
        for (index, line) in text.lines().enumerate() {
            let is_test = path.starts_with("tests/") || path.ends_with(".test.ts");
            let tests = if is_test { NOT_IN_TESTS } else { &[] };
            for word in MUST_NOT_STAY.iter().chain(tests).filter(|word| line.contains(**word)) {
                problems.push(format!("{path}:{}: `{word}`", index + 1));
            }
        }
    }
    expect_none(&problems);
}

#[test]
fn this_test_reads_code_as_it_should() {
    let names = |line| names_after(line, "crate::").collect::<Vec<_>>();
    assert_eq!(names("use crate::call::{Call, Party};"), ["call"]);
    assert_eq!(names("pub(crate) fn f(a: crate::ids::UserId) -> crate::call::Call {"), ["ids", "call"]);
    assert_eq!(names("use crate::{call, ids};"), [""]);
    assert_eq!(names("use other_crate::call;"), [] as [&str; 0]);
    let code: Vec<usize> =
        code_lines("a\n// b\n\nc\n#[cfg(test)]\nmod tests {\nuse x;\n}").map(|(number, _)| number).collect();
    assert_eq!(code, [1, 3, 4]);
}
