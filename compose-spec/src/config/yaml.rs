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
        string(key, indent, out);
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
        Value::String(text) => string(text, indent, out),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        other => out.push_str(&other.to_string()),
    }
}

/// Whether `|` can carry the text unchanged.
fn block_fits(text: &str) -> bool {
    !text.starts_with([' ', '\n', '\t'])
        && text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control())
        && !text.contains(['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'])
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

fn string(text: &str, _indent: usize, out: &mut String) {
    if plain(text) {
        out.push_str(text);
    } else {
        // JSON strings are YAML's double-quoted scalars.
        out.push_str(&Value::String(text.to_owned()).to_string());
    }
}

/// Whether the text reads back as itself without quotes.
fn plain(text: &str) -> bool {
    let special_start = text.starts_with(|c: char| "-?:,[]{}#&*!|>'\"%@`= ".contains(c)) && !text.starts_with("-")
        || text.starts_with("- ")
        || text == "-";
    let legacy = [
        "y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF", "<<", "---",
        "...",
    ];
    !text.is_empty()
        && !special_start
        && !text.starts_with("---")
        && !legacy.contains(&text)
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && text.chars().all(|c| !c.is_control() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}'))
        && !text.split(':').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        && plain_is_string(text)
}
