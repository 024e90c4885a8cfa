//! What commands print: a line of JSON for programs, or tables and lines for people.

use std::io::{self, Write};

use serde_json::Value;

/// Prints a line to the standard output.
///
/// # Errors
/// When nobody reads it.
pub fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Prints text as it is.
///
/// # Errors
/// When nobody reads it.
pub fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints an answer.
///
/// # Errors
/// When nobody reads it.
pub fn answer(value: &Value, json: bool) -> io::Result<()> {
    if json {
        line(&value.to_string())
    } else {
        text(&for_people(value))
    }
}

/// An error with its causes, each said once.
pub fn error(error: &anyhow::Error) -> String {
    let mut out = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if out.is_empty() {
            out = text;
        } else if !out.ends_with(&text) {
            out.push_str(": ");
            out.push_str(&text);
        }
    }
    out
}

/// An answer as people read it: a list of objects is a table, an object one line a key.
fn for_people(value: &Value) -> String {
    match value {
        Value::Array(rows) if rows.is_empty() => "none\n".into(),
        Value::Array(rows) => table(rows),
        Value::Object(object) => {
            let width = object.keys().map(String::len).max().unwrap_or(0);
            let mut out = String::new();
            for (key, value) in object.iter().filter(|(_, v)| !v.is_null()) {
                match value {
                    Value::Array(rows) if rows.iter().any(Value::is_object) => {
                        out.push_str(&format!("{key}:\n"));
                        for row in table(rows).lines() {
                            out.push_str(&format!("  {row}\n"));
                        }
                    }
                    value => out.push_str(&format!("{key:width$}  {}\n", cell(value))),
                }
            }
            out
        }
        other => cell(other) + "\n",
    }
}

fn table(rows: &[Value]) -> String {
    let Some(Value::Object(first)) = rows.first() else {
        return rows.iter().map(|r| cell(r) + "\n").collect();
    };
    let keys: Vec<&String> = first.keys().collect();
    let mut lines = vec![keys.iter().map(|k| (*k).clone()).collect::<Vec<_>>()];
    for row in rows {
        lines.push(
            keys.iter()
                .map(|k| row.get(k).map_or_else(String::new, cell))
                .collect(),
        );
    }
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|l| l.get(column));
        cells.map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..keys.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let cells = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
        // What a stranger chose must not steer the operator's terminal.
        Value::String(text) => text
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn causes_are_said_once() {
        let cause = anyhow::anyhow!("no disk")
            .context("no disk")
            .context("no backup");
        assert_eq!(error(&cause), "no backup: no disk");
    }

    #[test]
    fn people_get_tables_and_lines() {
        let list = json!([{"a": "x", "b": true}, {"a": "longer", "b": false}]);
        assert_eq!(for_people(&list), "a       b\nx       yes\nlonger  no\n");
        assert_eq!(for_people(&json!([])), "none\n");
        let one = json!({"name": "alice", "none": null, "n": 3});
        assert_eq!(for_people(&one), "n     3\nname  alice\n");
        assert!(!for_people(&json!("\u{1b}[2J")).contains('\u{1b}'));
    }
}
