//! JSON values as YAML in Docker's layout: block style, two spaces, quotes only where a plain scalar would mean
//! something else.

use serde_json::Value;

use crate::yaml::plain_is_string;

/// The document as text.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(map, 0, false, &mut out),
        Value::Array(items) if !items.is_empty() => sequence(items, 0, &mut out),
        other => {
            scalar(other, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

fn mapping(map: &serde_json::Map<String, Value>, indent: usize, inline_first: bool, out: &mut String) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 || !inline_first {
            out.push_str(&" ".repeat(indent));
        }
        string(key, out);
        out.push(':');
        match value {
            Value::Object(child) if !child.is_empty() => {
                out.push('\n');
                mapping(child, indent + 2, false, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                sequence(items, indent + 2, out);
            }
            other => {
                out.push(' ');
                scalar(other, indent, out);
                out.push('\n');
            }
        }
    }
}

fn sequence(items: &[Value], indent: usize, out: &mut String) {
    for item in items {
        out.push_str(&" ".repeat(indent));
        out.push_str("- ");
        match item {
            Value::Object(child) if !child.is_empty() => mapping(child, indent + 2, true, out),
            Value::Array(children) if !children.is_empty() => {
                out.push('\n');
                sequence(children, indent + 2, out);
            }
            other => {
                scalar(other, indent, out);
                out.push('\n');
            }
        }
    }
}

fn scalar(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::String(text) if text.contains('\n') && block_fits(text) => block(text, indent, out),
        Value::String(text) => string(text, out),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        other => out.push_str(&other.to_string()),
    }
}

/// Whether `|` can carry the text unchanged.
fn block_fits(text: &str) -> bool {
    !text.starts_with([' ', '\n', '\t'])
        && text.chars().all(|c| c == '\n' || printable(c))
        && !text.split('\n').any(|line| line.starts_with("---") || line.starts_with("..."))
}

fn block(text: &str, indent: usize, out: &mut String) {
    let body = text.trim_end_matches('\n');
    out.push('|');
    match text.len() - body.len() {
        0 => out.push('-'),
        1 => {}
        _ => out.push('+'),
    }
    let lines = if text.len() - body.len() > 1 { &text[..text.len() - 1] } else { body };
    for line in lines.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent + 2));
            out.push_str(line);
        }
    }
}

fn string(text: &str, out: &mut String) {
    if !text.chars().all(printable) || would_be_no_string(text) {
        // JSON strings are YAML's double-quoted scalars.
        out.push_str(&Value::String(text.to_owned()).to_string());
    } else if plain(text) {
        out.push_str(text);
    } else {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    }
}

fn printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Whether the text, unquoted, would be a number, a boolean and so on, to today's or to older readers.
fn would_be_no_string(text: &str) -> bool {
    let legacy =
        ["y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF", "<<"];
    let sexagesimal = text.contains(':')
        && text.trim_start_matches(['-', '+']).starts_with(|c: char| c.is_ascii_digit())
        && text.trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit() || b":._".contains(&byte));
    text.is_empty() || legacy.contains(&text) || sexagesimal || !plain_is_string(text)
}

/// Whether the text reads back as itself without quotes.
fn plain(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next().unwrap_or(' ');
    let second = chars.next();
    let indicator = "#,[]{}&*!|>'\"%@` ".contains(first)
        || (matches!(first, '-' | '?' | ':') && second.is_none_or(char::is_whitespace));
    !indicator
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_where_docker_compose_has_them() {
        for (text, expected) in [
            ("a b", "a b"),
            ("x: y", "'x: y'"),
            ("yes", "\"yes\""),
            ("1", "\"1\""),
            ("22:22", "\"22:22\""),
            ("8080:80/tcp", "8080:80/tcp"),
            ("'q'", "\'\'\'q\'\'\'"),
            ("- x", "'- x'"),
            ("-x", "-x"),
            ("#x", "'#x'"),
            ("a\tb", "\"a\\tb\""),
            ("=", "="),
            ("", "\"\""),
            ("2024-01-01", "\"2024-01-01\""),
        ] {
            let mut out = String::new();
            string(text, &mut out);
            assert_eq!(out, expected, "{text:?}");
        }
    }
}
