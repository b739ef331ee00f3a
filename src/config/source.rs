//! The only reader of the process environment and of the file of settings.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::file::text_of;
use super::problem::{ConfigErrors, Problem};

/// The variable that names the file. It counts in the environment only.
pub(super) const NAMED_BY: &str = "CONFIG_FILE";
/// The file that is read where none is named, if it is there.
const FILE: &str = ".env";

/// Variables in the order in which they count; of two with the same name the later wins.
pub(super) type Vars = Arc<Vec<(String, String)>>;

/// The variables of the file of settings, then those of the environment. Where they are read again, `before` is what they were: it
/// counts where a file that was named gives nothing, and the second says why.
///
/// # Errors
/// Every line of the file that cannot be read; the text of a line is not repeated, it may hold a secret.
pub(super) fn read(before: Option<&Vars>) -> Result<(Vars, Option<Problem>), ConfigErrors> {
    read_beside(environment(), before)
}

fn read_beside(
    environment: Vec<(String, String)>,
    before: Option<&Vars>,
) -> Result<(Vars, Option<Problem>), ConfigErrors> {
    let named = environment.iter().find(|(name, value)| name == NAMED_BY && !value.trim().is_empty());
    let mut vars = match named {
        Some((_, path)) => match (text_of(path.trim()), before) {
            (Ok(text), before) => {
                let vars = parse(&text, NAMED_BY)?;
                // One that has always been like that is meant to be.
                match before.filter(|before| vars.is_empty() && before.len() > environment.len()) {
                    Some(before) => {
                        return Ok((before.clone(), Some(gives_nothing(&"names a file without any setting"))));
                    }
                    None => vars,
                }
            }
            (Err(error), Some(before)) => return Ok((before.clone(), Some(gives_nothing(&error)))),
            (Err(error), None) => return Err(ConfigErrors(vec![gives_nothing(&error)])),
        },
        None => file_in_this_folder(Path::new(FILE))?,
    };
    vars.retain(|(name, _)| name != NAMED_BY);
    vars.extend(environment);
    Ok((Arc::new(vars), None))
}

fn gives_nothing(why: &dyn ToString) -> Problem {
    Problem::conflict(NAMED_BY, why.to_string())
}

/// The variables of the file that is read where none is named; none if it is not there.
fn file_in_this_folder(path: &Path) -> Result<Vec<(String, String)>, ConfigErrors> {
    if path.metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(Vec::new());
    }
    let text = text_of(path).map_err(|error| ConfigErrors(vec![Problem::conflict(FILE, error.to_string())]))?;
    parse(&text, FILE)
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

fn parse(text: &str, shown: &str) -> Result<Vec<(String, String)>, ConfigErrors> {
    collect(dotenvy::from_read_iter(quoted(text).as_bytes()), shown)
}

/// The file with its bare values in quotes, so that they mean what they meant to the Node.js server that the file may have been
/// written for: blanks and `$` are part of a value, `#` begins a comment.
fn quoted(text: &str) -> String {
    let mut open_quote = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(quote) = open_quote {
            // Inside a value of several lines, such as a key.
            open_quote = (!line.contains(quote)).then_some(quote);
            lines.push(line.to_owned());
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| !line.trim_start().starts_with('#')) else {
            // Without blanks, on which alone the parser stumbles.
            lines.push(line.trim().to_owned());
            continue;
        };
        let value = value.trim();
        if let Some(quote @ ('"' | '\'')) = value.chars().next() {
            open_quote = (!value[1..].contains(quote)).then_some(quote);
            lines.push(line.to_owned());
        } else {
            let bare = value.split('#').next().unwrap_or_default().trim_end();
            let quote = if bare.contains('\'') { "" } else { "'" };
            lines.push(format!("{name}={quote}{bare}{quote}"));
        }
    }
    lines.join("\n")
}

fn collect(
    lines: impl Iterator<Item = dotenvy::Result<(String, String)>>,
    shown: &str,
) -> Result<Vec<(String, String)>, ConfigErrors> {
    let (mut vars, mut problems) = (Vec::new(), Vec::new());
    for line in lines {
        match line {
            Ok(var) => vars.push(var),
            Err(error) => {
                let before = vars.last().map(|(name, _): &(String, String)| name.as_str());
                problems.push(problem(&error, before, shown));
                // A file that cannot be read fails again for ever; a bad line does not.
                if matches!(error, dotenvy::Error::Io(_)) {
                    break;
                }
            }
        }
    }
    if problems.is_empty() { Ok(vars) } else { Err(ConfigErrors(problems)) }
}

/// `before` is the variable read last. The error itself may hold a piece of a secret.
fn problem(error: &dotenvy::Error, before: Option<&str>, shown: &str) -> Problem {
    match error {
        dotenvy::Error::LineParse(..) => {
            let place = before.map_or("first setting".into(), |name| format!("setting after {name}"));
            Problem::conflict(shown, format!("cannot read the {place}; it is not NAME=value"))
        }
        dotenvy::Error::Io(error) => Problem::conflict(shown, error.to_string()),
        _ => Problem::conflict(shown, "cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_variables_in_order() {
        let vars = parse("# Server\nPORT=4000\n\nJWT_SECRET='a b'\n", FILE).unwrap();
        assert_eq!(vars, [("PORT".into(), "4000".into()), ("JWT_SECRET".into(), "a b".into())]);
    }

    #[test]
    fn bare_values_are_read_as_the_node_server_read_them() {
        let text = "CORS_ORIGIN=https://a.example, https://b.example # both\nJWT_SECRET=a$b c\nexport HOST = ::1 \nEMPTY=\n\
                    KEY=\"-----BEGIN\nx = y z\nEND-----\"\nPORT=1";
        let vars = parse(text, FILE).unwrap();
        let expected = [
            ("CORS_ORIGIN", "https://a.example, https://b.example"),
            ("JWT_SECRET", "a$b c"),
            ("HOST", "::1"),
            ("EMPTY", ""),
            ("KEY", "-----BEGIN\nx = y z\nEND-----"),
            ("PORT", "1"),
        ];
        assert_eq!(vars, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_file_that_was_named_has_to_be_there() {
        let environment = vec![(NAMED_BY.to_owned(), "/nowhere/at/all".to_owned())];
        let errors = read_beside(environment, None).unwrap_err();
        assert!(errors.to_string().starts_with("CONFIG_FILE: cannot be read: "), "{errors}");
        assert_eq!(file_in_this_folder(Path::new("/nowhere/at/all")).unwrap(), []);
        let errors = file_in_this_folder(Path::new("/")).unwrap_err();
        assert!(errors.to_string().starts_with(".env: "), "{errors}");
    }

    #[test]
    fn what_was_in_a_file_that_was_named_counts_until_it_gives_something_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings");
        let environment = vec![(NAMED_BY.to_owned(), format!(" {} ", path.display()))];
        let again = |before: &Vars| read_beside(environment.clone(), Some(before)).unwrap();
        std::fs::write(&path, "# nothing yet\n").unwrap();
        let (empty, _) = read_beside(environment.clone(), None).unwrap();
        assert_eq!(again(&empty), (empty.clone(), None), "it was like that from the start");
        std::fs::write(&path, "PORT=1\nCONFIG_FILE=/elsewhere\n").unwrap();
        let (before, stale) = again(&empty);
        assert_eq!((before.len(), &before[0], stale), (2, &("PORT".to_owned(), "1".to_owned()), None));
        for text in ["", " \n", "# PORT=1\n"] {
            std::fs::write(&path, text).unwrap();
            let (vars, stale) = again(&before);
            assert_eq!(
                (vars, stale.unwrap().to_string().as_str()),
                (before.clone(), "CONFIG_FILE: names a file without any setting")
            );
        }
        std::fs::remove_file(&path).unwrap();
        let (vars, stale) = again(&before);
        assert!(vars == before && stale.unwrap().to_string().starts_with("CONFIG_FILE: cannot be read"));
        std::fs::write(&path, "hunter2 hunter3").unwrap();
        assert!(read_beside(environment.clone(), Some(&before)).is_err(), "it gives something, which is wrong");
    }

    #[test]
    fn bad_lines_are_all_placed_and_never_repeated() {
        let errors = parse("hunter2 hunter3\nPORT=1\nhunter4 hunter5\n", FILE).unwrap_err();
        assert_eq!(
            errors.to_string(),
            ".env: cannot read the first setting; it is not NAME=value\n\
             .env: cannot read the setting after PORT; it is not NAME=value"
        );
    }
}
