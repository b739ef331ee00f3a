//! What can be wrong with a configuration, in words for the operator. Never shows a secret's value.

use std::fmt;

use super::variables::Variable;

/// Longest piece of a wrong value that is repeated back.
const SHOWN_CHARS: usize = 60;

/// One thing the operator has to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A value that cannot be read, or is out of bounds.
    Malformed {
        /// The variable.
        name: &'static str,
        /// The value; `None` where it is a secret.
        got: Option<String>,
        /// What it wants instead.
        wants: String,
    },
    /// A value that is fine by itself but not beside the others, or one that is missing.
    Conflict {
        /// The variable to look at first.
        name: String,
        /// What is the matter.
        text: String,
    },
    /// A name that looks like one of ours, misspelt.
    Unknown {
        /// The name as given.
        name: String,
        /// The name that was probably meant.
        meant: &'static str,
    },
}

impl Problem {
    pub(super) fn malformed(variable: &Variable, got: &str) -> Self {
        let got = (!variable.kind.is_secret()).then(|| shortened(got));
        Self::Malformed { name: variable.name, got, wants: variable.kind.wants() }
    }

    pub(super) fn conflict(name: &str, text: impl Into<String>) -> Self {
        Self::Conflict { name: name.to_owned(), text: text.into() }
    }
}

/// A wrong value as it is repeated back.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { name, got: Some(got), wants } => {
                write!(f, "{name}: got {got:?}, wants {wants}")
            }
            Self::Malformed { name, got: None, wants } => write!(f, "{name}: wants {wants}"),
            Self::Conflict { name, text } => write!(f, "{name}: {text}"),
            Self::Unknown { name, meant } => {
                write!(f, "unknown variable {name}; did you mean {meant}?")
            }
        }
    }
}

/// Everything that is wrong with a configuration; displayed one problem per line. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<Problem>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_listed_one_per_line() {
        let errors = ConfigErrors(vec![
            Problem::conflict("JWT_SECRET", "NODE_ENV=production needs it"),
            Problem::Unknown { name: "CALL_RING_TIMOUT".into(), meant: "CALL_RING_TIMEOUT" },
        ]);
        assert_eq!(
            errors.to_string(),
            "JWT_SECRET: NODE_ENV=production needs it\nunknown variable CALL_RING_TIMOUT; did you mean CALL_RING_TIMEOUT?"
        );
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(shortened("abc"), "abc");
        assert_eq!(shortened(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
    }
}
