//! All findings, for people and for machines.

use std::fmt::Write;

use serde::Serialize;

use crate::finding::{Finding, Mark};

/// As wide as the longest mark.
const MARK_WIDTH: usize = 7;

/// Everything that was found, in order.
pub struct Report {
    areas: Vec<(&'static str, Vec<Finding>)>,
}

#[derive(Serialize)]
struct Document<'a> {
    version: &'static str,
    problems: usize,
    warnings: usize,
    findings: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    area: &'a str,
    #[serde(flatten)]
    finding: &'a Finding,
}

impl Report {
    pub(super) fn new<const N: usize>(areas: [(&'static str, Vec<Finding>); N]) -> Self {
        Self { areas: areas.into() }
    }

    /// Whether nothing is broken; there may be warnings.
    pub fn is_good(&self) -> bool {
        self.count(Mark::Problem) == 0
    }

    fn findings(&self) -> impl Iterator<Item = (&'static str, &Finding)> {
        self.areas.iter().flat_map(|(area, findings)| findings.iter().map(move |finding| (*area, finding)))
    }

    fn count(&self, mark: Mark) -> usize {
        self.findings().filter(|(_, finding)| finding.mark == mark).count()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("switchboard {}\n", env!("CARGO_PKG_VERSION"));
        for (area, findings) in &self.areas {
            let _ = writeln!(text, "\n{area}");
            for Finding { mark, subject, found, advice } in findings {
                let _ = writeln!(text, "  {:MARK_WIDTH$}  {subject}: {found}", mark.word());
                if let Some(advice) = advice {
                    let _ = writeln!(text, "  {:MARK_WIDTH$}  -> {advice}.", "");
                }
            }
        }
        let _ = write!(text, "\n{}", self.summary());
        text
    }

    fn summary(&self) -> String {
        let count = |mark, word| match self.count(mark) {
            1 => format!("1 {word}"),
            count => format!("{count} {word}s"),
        };
        format!("{}, {}.", count(Mark::Problem, "problem"), count(Mark::Warning, "warning"))
    }

    /// For machines: one JSON object.
    pub fn json(&self) -> String {
        let document = Document {
            version: env!("CARGO_PKG_VERSION"),
            problems: self.count(Mark::Problem),
            warnings: self.count(Mark::Warning),
            findings: self.findings().map(|(area, finding)| Line { area, finding }).collect(),
        };
        // Strings and numbers only.
        serde_json::to_string_pretty(&document).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn report() -> Report {
        let config =
            vec![Finding::ok("settings", "valid"), Finding::warning("JWT_SECRET", "is short", "Make another one")];
        Report::new([("configuration", config), ("push", vec![Finding::absent("FCM", "not configured")])])
    }

    #[test]
    fn people_get_marks_and_what_to_change() {
        let expected = "\nconfiguration\n  ok       settings: valid\n  warning  JWT_SECRET: is short\n           -> Make another one.\n\n\
                        push\n  -        FCM: not configured\n\n0 problems, 1 warning.";
        assert_eq!(report().text().split_once('\n').unwrap().1, expected);
    }

    #[test]
    fn machines_get_the_same() {
        let document: Value = serde_json::from_str(&report().json()).unwrap();
        assert_eq!((&document["problems"], &document["warnings"]), (&json!(0), &json!(1)));
        assert_eq!(
            document["findings"][1],
            json!({ "area": "configuration", "mark": "warning", "subject": "JWT_SECRET", "found": "is short", "change": "Make another one" })
        );
        assert_eq!(document["findings"][2]["mark"], "absent");
        assert_eq!(document["findings"][2]["change"], Value::Null);
    }

    #[test]
    fn a_problem_is_what_is_not_good() {
        assert!(report().is_good());
        let broken = Report::new([("redis", vec![Finding::problem("server", "it is a replica", "Point elsewhere")])]);
        assert!(
            !broken.is_good()
                && broken.text().contains("PROBLEM  server")
                && broken.text().ends_with("1 problem, 0 warnings.")
        );
    }
}
