//! `--format`: a table or JSON lines.

use serde_json::Value;

use super::table::Table;
use crate::error::{Error, Result};

/// How a listing is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
}

/// Reads the value of `--format`; Go templates are refused by name.
pub fn parse(value: &str) -> Result<Format, String> {
    match value {
        "table" => Ok(Format::Table),
        "json" | "{{json .}}" | "{{ json . }}" => Ok(Format::Json),
        _ => Err("Go templates are not supported yet: use table or json".into()),
    }
}

/// What a listing prints: ids only, JSON lines or a table.
pub fn print(
    format: Format,
    quiet: Option<Vec<String>>,
    json: impl FnOnce() -> Vec<Value>,
    table: impl FnOnce() -> Table,
) -> Result<()> {
    let text = match (quiet, format) {
        (Some(ids), _) => lines(ids),
        (None, Format::Json) => lines(json().iter().map(Value::to_string)),
        (None, Format::Table) => table().render(),
    };
    write(&text)
}

/// Prints a JSON value with Docker's four spaces of indent.
pub fn print_json(value: &Value) -> Result<()> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    serde::Serialize::serialize(value, &mut serializer)
        .map_err(|error| Error::Terminal { action: "print JSON", source: error.into() })?;
    bytes.push(b'\n');
    write(&String::from_utf8_lossy(&bytes))
}

/// Writes to standard output; a reader that has gone away (`orca ps | head -1`) is no failure.
pub fn write(text: &str) -> Result<()> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Terminal { action: "write to standard output", source })
        }
        _ => Ok(()),
    }
}

fn lines(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().map(|item| item + "\n").collect()
}
