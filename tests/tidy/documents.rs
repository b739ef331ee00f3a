//! The documents say what is true: they are held against the server, and against what they show.

use std::collections::BTreeSet;

use crate::{Source, expect_none, is_name, read, room_of, root, sources};

#[test]
fn the_documents_exist_and_name_every_room() {
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE"] {
        assert!(!read(&root().join(name)).trim().is_empty(), "{name} is empty");
    }
    let architecture = read(&root().join("ARCHITECTURE.md"));
    let rooms: BTreeSet<String> =
        sources(&["src"], ".rs").iter().map(|source| room_of(&source.path).to_owned()).collect();
    let mut problems = Vec::new();
    for room in &rooms {
        let named = architecture.contains(&format!("`{room}`")) || architecture.contains(&format!("{room}.rs"));
        if !named {
            problems.push(format!("ARCHITECTURE.md does not name the room `{room}`"));
        }
    }
    for named in paths_in(&architecture) {
        if !root().join(&named).exists() {
            problems.push(format!("ARCHITECTURE.md names {named}, which does not exist"));
        }
    }
    expect_none(&problems);
}

/// All paths below `src`, `tests` and `benches` that a text names.
fn paths_in(text: &str) -> BTreeSet<String> {
    let is_path = |c: char| is_name(c) || matches!(c, '/' | '.' | '-');
    text.split(|c: char| !is_path(c))
        .map(|word| word.trim_end_matches(['.', '/']))
        .filter(|word| ["src/", "tests/", "benches/"].iter().any(|folder| word.starts_with(folder)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_readme_lists_every_variable_as_the_server_reads_it() {
    let readme = read(&root().join("README.md"));
    let rows = |text: &str| -> BTreeSet<String> {
        text.lines().filter(|line| variable_of(line).is_some()).map(str::to_owned).collect()
    };
    let (written, wanted) = (rows(&readme), rows(&switchboard::config::markdown_table()));
    assert_eq!(wanted.len(), switchboard::config::variables().len(), "every variable has a row of its own");
    let mut problems = Vec::new();
    problems.extend(wanted.difference(&written).map(|row| format!("README.md lacks: {row}")));
    problems.extend(written.difference(&wanted).map(|row| format!("README.md says what is not so: {row}")));
    expect_none(&problems);
}

/// The variable a table row is about: `PORT` of a row that begins so, with a name in capitals in backquotes.
fn variable_of(row: &str) -> Option<&str> {
    let name = row.trim().strip_prefix("| `")?.split('`').next()?;
    let is_variable = name.len() > 3 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    is_variable.then_some(name)
}

#[test]
fn the_list_of_metrics_is_as_the_server_has_them() {
    let (written, wanted) = (read(&root().join("docs/metrics.md")), switchboard::metrics::document());
    assert!(written == wanted, "run `cargo run -q -- metrics-doc > docs/metrics.md`");
}

#[test]
fn the_documents_of_the_interface_are_as_the_server_speaks() {
    for (kind, wanted) in [("asyncapi", switchboard::api_doc::asyncapi()), ("openapi", switchboard::api_doc::openapi())]
    {
        let file = format!("docs/{kind}.json");
        assert!(read(&root().join(&file)) == wanted, "run `cargo run -q -- api-doc {kind} > {file}`");
    }
}

#[test]
fn the_readme_shows_what_stands_beside_as_it_is_tested() {
    let readme = read(&root().join("README.md"));
    let shown = [
        ("haproxy", "proxies/haproxy.cfg"),
        ("nginx", "proxies/nginx.conf"),
        ("ini", "turn/turnserver.conf"),
        ("js", "webhooks/receiver.mjs"),
    ];
    for (kind, file) in shown {
        let text = format!("```{kind}\n{}```\n", read(&root().join("tests/node").join(file)));
        assert!(readme.contains(&text), "README.md does not show tests/node/{file} as it is");
    }
}

#[test]
fn the_readme_allows_every_command_that_redis_is_given() {
    let readme = read(&root().join("README.md"));
    let allowed: BTreeSet<&str> = readme.split([' ', '\n', '|']).filter_map(|word| word.strip_prefix('+')).collect();
    let mut problems = Vec::new();
    let all = sources(&["src/backplane/redis"], "");
    for Source { path, text } in all.iter().filter(|source| !source.path.contains("/tests")) {
        for call in ["redis.call('", "redis::cmd(\""] {
            for (at, _) in text.match_indices(call) {
                let rest = &text[at + call.len()..];
                let command = rest[..rest.find(|c: char| !is_name(c)).unwrap_or(rest.len())].to_lowercase();
                // Sentinels have users of their own, and of the configuration the doctor asks only whether it may.
                if !["sentinel", "config"].contains(&command.as_str()) && !allowed.contains(command.as_str()) {
                    problems.push(format!("{path}: the ACL in README.md lacks +{command}"));
                }
            }
        }
    }
    expect_none(&problems);
}

#[test]
fn the_node_lock_files_name_no_download_address() {
    for folder in ["tests/node", "clients/typescript"] {
        let lock = read(&root().join(folder).join("package-lock.json"));
        let named: Vec<&str> = lock.lines().filter(|line| line.contains("\"resolved\": \"http")).collect();
        assert!(named.is_empty(), "{folder}: run `npm install --omit-lockfile-registry-resolved`: {named:?}");
    }
}

#[test]
fn this_test_reads_documents_as_it_should() {
    assert_eq!(variable_of("| `CALL_RING_TIMEOUT` | `45000` | ms |"), Some("CALL_RING_TIMEOUT"));
    assert_eq!(variable_of("| `E301` | payload |"), None);
    assert_eq!(variable_of("| `register` | x |"), None);
    let expected: BTreeSet<String> = ["src/call/decide.rs", "tests/it"].map(str::to_owned).into();
    assert_eq!(paths_in("see `src/call/decide.rs`, and tests/it/."), expected);
}
