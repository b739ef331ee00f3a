//! The table of variables as text, for `--help` and for the README.

use std::fmt::Write;

use super::secret_files::file_variable;
use super::variables::{Variable, variables};

/// Every variable with its default, for the end of `--help`.
pub fn help() -> String {
    let mut text = String::from("Environment variables (also read from a .env file):");
    by_section(|heading, variable| {
        if heading {
            let _ = write!(text, "\n\n  {}", variable.section);
        }
        let plain = variable.about.replace('`', "");
        let _ = write!(
            text,
            "\n    {} [default: {}]\n        {plain}. Wants {}{}.",
            variable.name,
            variable.fallback.to_string().replace('`', ""),
            variable.kind.wants(),
            in_a_file(variable, ""),
        );
    });
    text
}

/// Every variable with its default as Markdown tables, one for each section, as the README has them.
pub fn markdown_table() -> String {
    let mut text = String::new();
    by_section(|heading, variable| {
        if heading {
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = write!(
                text,
                "{gap}#### {}\n\n| Variable | Default | Values | Description |\n|---|---|---|---|\n",
                variable.section
            );
        }
        let default = match variable.fallback.value() {
            Some(value) => format!("`{value}`"),
            None => variable.fallback.to_string(),
        };
        let (wants, in_a_file) = (variable.kind.wants(), in_a_file(variable, "`"));
        let _ = writeln!(text, "| `{}` | {default} | {wants}{in_a_file} | {} |", variable.name, variable.about);
    });
    text
}

/// How else a secret may be given; its variable stands between two of `quote`.
fn in_a_file(variable: &Variable, quote: &str) -> String {
    let by_file =
        file_variable(variable.name).map(|name| format!(", or {quote}{name}{quote} names a file that holds it"));
    by_file.unwrap_or_default()
}

/// Visits every variable; `true` with the first of each section.
fn by_section(mut visit: impl FnMut(bool, &Variable)) {
    let mut section = None;
    for variable in variables() {
        visit(section != Some(variable.section), variable);
        section = Some(variable.section);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_texts_name_every_variable_and_default() {
        let (help, table) = (help(), markdown_table());
        for variable in variables() {
            let default = variable.fallback.to_string().replace('`', "");
            assert!(help.contains(&format!("    {} [default: {default}]\n", variable.name)));
            assert!(table.contains(&format!("| `{}` | ", variable.name)));
        }
        assert!(table.contains("| `PORT` | `3000` | a port number from 0 to 65535 |"));
        assert!(table.contains("| a secret text, or `JWT_SECRET_FILE` names a file that holds it |"));
        assert!(help.contains("Wants a secret text, or JWT_SECRET_FILE names a file that holds it."));
        assert!(table.contains("\n\n#### Calls\n\n| Variable |"));
        assert!(help.contains("\n\n  Calls\n    CALL_RING_TIMEOUT [default: 45000]\n"));
    }

    #[test]
    fn no_cell_breaks_its_row() {
        for row in markdown_table().lines().filter(|row| row.starts_with('|')) {
            assert_eq!(row.matches('|').count(), 5, "{row}");
        }
    }
}
