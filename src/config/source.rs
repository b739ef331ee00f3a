//! The only reader of the process environment and of the `.env` file.

use std::io;

use super::problem::{ConfigErrors, Problem};

const FILE: &str = ".env";

/// The variables of the `.env` file of the working directory, if there is one, then those of the environment.
///
/// # Errors
/// Every line of the file that cannot be read; the text of a line is not repeated, it may hold a secret.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(super) fn read() -> Result<Vec<(String, String)>, ConfigErrors> {
    let mut vars = match dotenvy::from_path_iter(FILE) {
        Ok(lines) => collect(lines)?,
        Err(dotenvy::Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(ConfigErrors(vec![problem(&error, None)])),
    };
    vars.extend(
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())),
    );
    Ok(vars)
}

fn collect(
    lines: impl Iterator<Item = dotenvy::Result<(String, String)>>,
) -> Result<Vec<(String, String)>, ConfigErrors> {
    let (mut vars, mut problems) = (Vec::new(), Vec::new());
    for line in lines {
        match line {
            Ok(var) => vars.push(var),
            Err(error) => {
                let before = vars.last().map(|(name, _): &(String, String)| name.as_str());
                problems.push(problem(&error, before));
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
fn problem(error: &dotenvy::Error, before: Option<&str>) -> Problem {
    match error {
        dotenvy::Error::LineParse(..) => {
            let place = before.map_or("first setting".into(), |name| format!("setting after {name}"));
            Problem::conflict(FILE, format!("cannot read the {place}; a value with blanks needs quotes"))
        }
        dotenvy::Error::Io(error) => Problem::conflict(FILE, error.to_string()),
        _ => Problem::conflict(FILE, "cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, String)>, ConfigErrors> {
        collect(dotenvy::from_read_iter(text.as_bytes()))
    }

    #[test]
    fn a_file_gives_its_variables_in_order() {
        let vars = parse("# Server\nPORT=4000\n\nJWT_SECRET='a b'\n").unwrap();
        assert_eq!(vars, [("PORT".into(), "4000".into()), ("JWT_SECRET".into(), "a b".into())]);
    }

    #[test]
    fn bad_lines_are_all_placed_and_never_repeated() {
        let errors = parse("JWT_SECRET=hunter2 hunter3\nPORT=1\nhunter4 hunter5\n").unwrap_err();
        assert_eq!(
            errors.to_string(),
            ".env: cannot read the first setting; a value with blanks needs quotes\n\
             .env: cannot read the setting after PORT; a value with blanks needs quotes"
        );
    }
}
