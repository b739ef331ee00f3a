//! Secrets that stand in files: beside each variable X that takes a secret there is `X_FILE`, the path of a file that holds it, as
//! Docker and Kubernetes hand secrets out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::LazyLock;

use super::file::{FileError, secret_of};
use super::problem::Problem;
use super::variables::variables;

/// What the variable of the file is called, by the variable of the secret.
static NAMES: LazyLock<BTreeMap<&'static str, String>> = LazyLock::new(|| {
    let secret = variables().iter().filter(|variable| variable.kind.is_secret());
    secret.map(|variable| (variable.name, format!("{}_FILE", variable.name))).collect()
});

/// The variable that may name a file in place of `name`; `None` for what is no secret.
pub(super) fn file_variable(name: &str) -> Option<&'static str> {
    NAMES.get(name).map(String::as_str)
}

/// All variables that name files of secrets.
pub(super) fn file_variables() -> impl Iterator<Item = &'static str> {
    NAMES.values().map(String::as_str)
}

/// What counts where a file gives no secret: the variables as they were before.
pub(super) struct Kept<'a>(pub(super) &'a BTreeMap<String, String>);

/// The secrets that stood in files.
#[derive(Clone, Default)]
pub(super) struct SecretFiles {
    paths: BTreeMap<&'static str, PathBuf>,
    /// What could not be read, where what was known before counts instead.
    pub(super) stale: Vec<Problem>,
}

impl fmt::Debug for SecretFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.paths).finish()
    }
}

impl SecretFiles {
    /// Puts into `given` each secret that a file holds, in place of the variable that names the file.
    pub(super) fn read(given: &mut BTreeMap<String, String>, kept: Option<&Kept>, problems: &mut Vec<Problem>) -> Self {
        let mut files = Self::default();
        for (name, by_file) in NAMES.iter() {
            let Some(path) = given.remove(by_file) else { continue };
            if given.contains_key(*name) {
                let text = format!("is set beside {name}; only one of them may hold the secret");
                problems.push(Problem::conflict(by_file, text));
                continue;
            }
            let path = PathBuf::from(path.trim());
            let before = kept.and_then(|kept| kept.0.get(*name));
            match (secret_of(&path), before) {
                (Ok(secret), _) => {
                    given.insert((*name).to_owned(), secret);
                }
                (Err(error), Some(before)) => {
                    files.stale.push(problem(by_file, &error));
                    given.insert((*name).to_owned(), before.clone());
                }
                (Err(error), None) => problems.push(problem(by_file, &error)),
            }
            files.paths.insert(name, path);
        }
        files
    }

    /// The variable that the operator has to look at where `name` is wrong.
    pub(super) fn spelled<'a>(&self, name: &'a str) -> &'a str {
        match file_variable(name) {
            Some(by_file) if self.paths.contains_key(name) => by_file,
            _ => name,
        }
    }

    /// The files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.paths.values()
    }
}

fn problem(by_file: &str, error: &FileError) -> Problem {
    Problem::conflict(by_file, error.to_string())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::config::Config;

    fn errors(vars: &[(&str, &str)]) -> String {
        Config::from_vars(vars.iter().copied()).unwrap_err().to_string()
    }

    #[test]
    fn every_secret_may_stand_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "\u{feff}two\nlines \r\n\n").unwrap();
        for (name, by_file) in NAMES.iter() {
            let mut given = BTreeMap::from([(by_file.clone(), format!(" {} ", path.display()))]);
            let mut problems = Vec::new();
            let files = SecretFiles::read(&mut given, None, &mut problems);
            assert!(problems.is_empty(), "{problems:?}");
            assert_eq!(given, BTreeMap::from([((*name).to_owned(), "two\nlines".to_owned())]));
            assert_eq!(files.spelled(name), by_file);
        }
        assert_eq!(file_variable("JWT_SECRET"), Some("JWT_SECRET_FILE"));
        assert_eq!(file_variable("PORT"), None);
    }

    #[test]
    fn a_secret_that_is_wrong_is_told_by_the_name_of_its_file_and_without_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let file = [("JWT_SECRET_FILE", path.to_str().unwrap())];
        assert!(errors(&file).starts_with("JWT_SECRET_FILE: cannot be read: "), "{}", errors(&file));
        std::fs::write(&path, " \n").unwrap();
        assert_eq!(errors(&file), "JWT_SECRET_FILE: names an empty file");
        std::fs::write(&path, "-----BEGIN PUBLIC KEY-----\nhunter2").unwrap();
        let text = errors(&file);
        assert!(text.starts_with("JWT_SECRET_FILE: holds a public key") && !text.contains("hunter2"), "{text}");
        let both = [("JWT_SECRET", "one"), file[0]];
        assert_eq!(errors(&both), "JWT_SECRET_FILE: is set beside JWT_SECRET; only one of them may hold the secret");
        std::fs::write(&path, "hunter2\n").unwrap();
        let config = Config::from_vars([("JWT_SECRET", " "), file[0]]).unwrap();
        assert_eq!(config.auth.secret.as_ref().unwrap().expose_secret(), "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_url_that_is_wrong_in_a_file_is_told_by_the_name_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        std::fs::write(&path, "hunter2").unwrap();
        let text = errors(&[("REDIS_URL_FILE", path.to_str().unwrap())]);
        assert!(text.starts_with("REDIS_URL_FILE: ") && !text.contains("hunter2"), "{text}");
    }
}
