//! Takes values out of the environment by the table of variables and collects what is wrong with them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::problem::Problem;
use super::secret_files::{Kept, SecretFiles};
use super::variables::{Fallback, Kind, Variable, variables};
use super::{Setting, parse_lifetime};

/// The variables that were given, and the problems found in them so far.
///
/// A malformed value is noted and its default read in its place, so that reading goes on and finds the rest.
pub(super) struct Reader {
    given: BTreeMap<String, String>,
    secret_files: SecretFiles,
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    /// Of two variables with one name the later counts; blank ones are as good as unset. Secrets that stand in files are read from there.
    pub(super) fn new(vars: impl IntoIterator<Item = (String, String)>, kept: Option<&Kept>) -> Self {
        let mut given: BTreeMap<_, _> = vars.into_iter().collect();
        given.retain(|_, value| !value.trim().is_empty());
        let mut problems = Vec::new();
        let secret_files = SecretFiles::read(&mut given, kept, &mut problems);
        Self { given, secret_files, problems }
    }

    /// The secrets that stand in files, and those files.
    pub(super) fn secret_files(&self) -> &SecretFiles {
        &self.secret_files
    }

    /// The variables that were given, those with a secret included.
    pub(super) fn given(&self) -> &BTreeMap<String, String> {
        &self.given
    }

    /// The names of all variables that were given, ours or not.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.given.keys().map(String::as_str)
    }

    /// Whether `name` was given a value.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// Notes a problem that is not about the form of one value.
    pub(super) fn conflict(&mut self, name: &str, text: impl Into<String>) {
        self.problems.push(Problem::conflict(self.secret_files.spelled(name), text));
    }

    /// What `parse` makes of the value or its default; `None` if there is neither.
    pub(super) fn parsed<T>(&mut self, name: &str, parse: impl Fn(&str, Kind) -> Option<T>) -> Option<T> {
        let variable = variable(name);
        if let Some(text) = self.given.get(name) {
            let value = parse(text.trim(), variable.kind);
            if value.is_some() {
                return value;
            }
            self.problems.push(Problem::malformed(variable, text));
        }
        variable.fallback.value().and_then(|text| parse(text, variable.kind))
    }

    /// The text of the value or its default.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.parsed(name, |text, _| Some(text.to_owned()))
    }

    /// One of the words the variable takes, as an index into them.
    pub(super) fn choice(&mut self, name: &str) -> Option<&'static str> {
        self.parsed(name, |text, kind| match kind {
            Kind::Choice(words) => words.iter().copied().find(|word| text.eq_ignore_ascii_case(word)),
            _ => None,
        })
    }

    /// A flag that has a default; `false` if it is malformed.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.optional_flag(name).unwrap_or_default()
    }

    /// A flag, if it was given or has a default.
    pub(super) fn optional_flag(&mut self, name: &str) -> Option<bool> {
        let parse = |text: &str, _| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        };
        self.parsed(name, parse)
    }

    /// A number that has a default.
    pub(super) fn number<T: TryFrom<u64> + Default>(&mut self, name: &str) -> T {
        self.optional_number(name).unwrap_or_default()
    }

    /// A number, if it was given or has a default.
    pub(super) fn optional_number<T: TryFrom<u64>>(&mut self, name: &str) -> Option<T> {
        self.parsed(name, |text, kind| {
            let (least, most) = match kind {
                Kind::Port => (0, u64::from(u16::MAX)),
                Kind::Number(least, most) => (least, most),
                _ => return None,
            };
            let number = whole_number(text).filter(|number| (least..=most).contains(number))?;
            T::try_from(number).ok()
        })
    }

    /// A duration that has a default, in the unit of the variable.
    pub(super) fn duration(&mut self, name: &str) -> Duration {
        self.optional_duration(name).unwrap_or_default()
    }

    /// A duration, if it was given or has a default.
    pub(super) fn optional_duration(&mut self, name: &str) -> Option<Duration> {
        let parse = |text: &str, kind| {
            let within = |least, most| whole_number(text).filter(|n| (least..=most).contains(n));
            match kind {
                Kind::Milliseconds(least, most) => within(least, most).map(Duration::from_millis),
                Kind::Seconds(least, most) => within(least, most).map(Duration::from_secs),
                Kind::Lifetime => parse_lifetime(text),
                _ => None,
            }
        };
        self.parsed(name, parse)
    }

    /// Every variable as it is in effect, secrets redacted.
    pub(super) fn settings(&self) -> Vec<Setting> {
        let setting = |variable: &Variable| {
            let given = self.given.get(variable.name);
            let value = match given {
                Some(_) if variable.kind.is_secret() => "[redacted]".to_owned(),
                Some(text) => text.trim().to_owned(),
                None => match variable.fallback {
                    Fallback::Value(text) => text.to_owned(),
                    Fallback::Unset | Fallback::Chosen(_) => format!("({})", variable.fallback).replace('`', ""),
                },
            };
            Setting { name: variable.name, value, given: given.is_some() }
        };
        variables().iter().map(setting).collect()
    }
}

/// Digits and nothing else: `u64::from_str` would take a plus sign too.
pub(super) fn whole_number(text: &str) -> Option<u64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The items between commas, without the blanks around them.
pub(super) fn comma_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn variable(name: &str) -> &'static Variable {
    let found = variables().iter().find(|variable| variable.name == name);
    // Every start reads every name, so a name that is not in the table fails the first test there is.
    found.unwrap_or_else(|| unreachable!("{name} is not in the table of variables"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(vars: &[(&str, &str)]) -> Reader {
        Reader::new(vars.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())), None)
    }

    #[test]
    fn a_number_has_only_digits_and_bounds() {
        assert_eq!(reader(&[("PORT", " 8080 ")]).number::<u16>("PORT"), 8080);
        for bad in ["abc", "+1", "-1", "1.0", "0x10", "65536", "99999999999999999999999"] {
            let mut reader = reader(&[("PORT", bad)]);
            assert_eq!(reader.number::<u16>("PORT"), 3000);
            let wanted = format!("PORT: got \"{bad}\", wants a port number from 0 to 65535");
            assert_eq!(reader.problems[0].to_string(), wanted);
        }
    }

    #[test]
    fn the_later_value_wins_and_a_blank_one_is_unset() {
        assert_eq!(reader(&[("PORT", "1"), ("PORT", "2")]).number::<u16>("PORT"), 2);
        assert_eq!(reader(&[("PORT", "1"), ("PORT", " ")]).number::<u16>("PORT"), 3000);
    }

    #[test]
    fn every_default_can_be_read() {
        let mut reader = reader(&[]);
        for variable in variables() {
            let Some(default) = variable.fallback.value() else {
                continue;
            };
            match variable.kind {
                Kind::Choice(_) => assert_eq!(reader.choice(variable.name), Some(default)),
                Kind::Number(..) | Kind::Port => {
                    let number = reader.optional_number::<u64>(variable.name);
                    assert!(number.is_some(), "{}", variable.name);
                }
                Kind::Milliseconds(..) | Kind::Seconds(..) | Kind::Lifetime => {
                    assert!(!reader.duration(variable.name).is_zero(), "{}", variable.name);
                }
                _ => {}
            }
        }
    }
}
