//! `--format` of listings: a table, JSON lines, or a Go template for each row.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::table::{Table, align, printable};
use crate::error::{Error, Result};
use template::{Functions, Missing, Template, Value};

/// How a listing is printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
    /// Columns as this template has them.
    Columns(String),
    /// This template for each row.
    Template(String),
}

/// Reads the value of `--format`. Whether a template is sound shows when it is used, as in Docker.
pub fn parse(value: &str) -> Result<Format, String> {
    let value = value.trim_matches(' ');
    match value {
        "" | "table" => Ok(Format::Table),
        "json" => Ok(Format::Json),
        "raw" => {
            Err("Docker's raw format is not supported: use json, or a template with the fields that you need".into())
        }
        _ => Ok(match value.strip_prefix("table").filter(|rest| rest.starts_with([' ', '{'])) {
            Some(columns) => Format::Columns(unescape(columns.trim_matches(' '))),
            None => Format::Template(unescape(value)),
        }),
    }
}

/// The format that Docker's `config.json` sets for a listing.
pub fn configured(value: Option<String>) -> Result<Format> {
    let value = value.unwrap_or_default();
    parse(&value).map_err(|reason| Error::Flag { flag: "a format of Docker's config.json", value, reason })
}

impl Format {
    /// Whether a template names the field.
    pub fn mentions(&self, field: &str) -> bool {
        matches!(self, Self::Columns(text) | Self::Template(text) if text.contains(field))
    }
}

/// Shells pass `\t` and `\n` on as they are.
fn unescape(text: &str) -> String {
    text.replace(r"\t", "\t").replace(r"\n", "\n")
}

/// What Docker's listing of one kind of object looks like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Listing<'a> {
    /// Go's name of a row, in errors.
    pub kind: &'static str,
    /// The columns of the table, as a template.
    pub columns: &'a str,
    /// The header of each field.
    pub headers: &'static [(&'static str, &'static str)],
}

impl Listing<'_> {
    /// Prints the rows.
    pub fn print(&self, format: &Format, rows: &[Value]) -> Result<()> {
        write(&self.render(format, rows)?)
    }

    /// The rows as text.
    pub fn render(&self, format: &Format, rows: &[Value]) -> Result<String> {
        let columns = match format {
            Format::Json => return Ok(lines(rows.iter().map(|row| row.to_json().to_string()))),
            Format::Template(text) => return Ok(lines(self.fill(text, rows)?)),
            Format::Table => self.columns,
            Format::Columns(text) => text,
        };
        let headers =
            self.headers.iter().map(|(field, header)| ((*field).to_owned(), Value::Text((*header).to_owned())));
        let header = Value::header(headers.collect());
        let template = Template::parse(columns).map_err(Error::template)?;
        let header =
            template.execute(&header, Missing::Field(self.kind), Functions::Headers).map_err(Error::template)?;
        let visible: Vec<Value> = rows.iter().map(shown).collect();
        Ok(align(&lines(std::iter::once(header).chain(self.fill(columns, &visible)?))))
    }

    fn fill(&self, template: &str, rows: &[Value]) -> Result<Vec<String>> {
        let template = Template::parse(template).map_err(Error::template)?;
        let fill = |row| template.execute(row, Missing::Field(self.kind), Functions::Values).map_err(Error::template);
        rows.iter().map(fill).collect()
    }
}

/// The value with everything that would move the cursor shown as `?`.
fn shown(value: &Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(printable(text)),
        Value::List(items) => Value::List(items.iter().map(shown).collect()),
        Value::Map(map) => Value::Map(map.iter().map(|(key, value)| (printable(key), shown(value))).collect()),
        Value::Struct(record) => {
            let mut record = record.clone();
            for (_, value) in &mut record.fields {
                *value = shown(value);
            }
            Value::Struct(record)
        }
        other => other.clone(),
    }
}

/// What a listing prints: ids only, JSON lines, a table, or a template for each row, whose headers are the names of the fields.
pub fn print(
    format: Format,
    quiet: Option<Vec<String>>,
    json: impl FnOnce() -> Vec<Json>,
    table: impl FnOnce() -> Table,
) -> Result<()> {
    let text = match (quiet, format) {
        (Some(ids), Format::Table | Format::Columns(_)) => lines(ids),
        (Some(ids), Format::Json) => lines(ids),
        (_, Format::Table) => table().render(),
        (_, format) => {
            let rows: Vec<Value> = json().iter().map(Value::from).collect();
            let listing = Listing { kind: "*formatter.SubContext", columns: "", headers: &[] };
            listing.render(&format, &rows)?
        }
    };
    write(&text)
}

/// Prints a JSON value with Docker's four spaces of indent.
pub fn print_json(value: &Json) -> Result<()> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    serde::Serialize::serialize(value, &mut serializer)
        .map_err(|error| Error::Terminal { action: "print JSON", source: error.into() })?;
    bytes.push(b'\n');
    write(&String::from_utf8_lossy(&bytes))
}

/// Whether the template of `inspect` can be read, before anything is asked for.
pub fn check(format: Option<&str>) -> Result<()> {
    Template::parse(format.unwrap_or_default()).map(drop).map_err(Error::inspect_template)
}

/// Prints objects as `inspect` does: an array, or a template for each. Whatever Docker's code for a bad template is, it is this one's.
pub fn print_inspected(format: Option<&str>, found: &[Json]) -> Result<()> {
    match format.map(|format| format.trim_matches(' ')) {
        None | Some("") => print_json(&Json::Array(found.to_vec())),
        Some("json") => {
            let sorted: Json = found.iter().map(|object| Value::from(object).to_json()).collect();
            write(&format!("{sorted}\n"))
        }
        Some(text) => {
            let template = Template::parse(text).map_err(Error::inspect_template)?;
            let fill = |object| template.execute(&Value::from(object), Missing::Key, Functions::Values);
            let texts = found.iter().map(fill).collect::<Result<Vec<_>, _>>().map_err(Error::template)?;
            write(&if texts.is_empty() { "\n".to_owned() } else { lines(texts) })
        }
    }
}

/// Prints one thing, such as the version: as a template says, or with the text for people.
pub fn print_one(
    format: Option<&str>,
    kind: &'static str,
    value: &Json,
    people: impl FnOnce() -> String,
) -> Result<()> {
    match format.map(|format| format.trim_matches(' ')) {
        None | Some("") => write(&people()),
        Some("json") => write(&format!("{}\n", Value::from(value).to_json())),
        Some(text) => {
            let template = Template::parse(text).map_err(Error::inspect_template)?;
            let text = template.execute(&Value::from(value), Missing::Field(kind), Functions::Values);
            write(&(text.map_err(Error::template)? + "\n"))
        }
    }
}

/// Writes to standard output; a reader that has gone away (`orca ps | head -1`) is no failure.
pub fn write(text: &str) -> Result<()> {
    write_bytes(text.as_bytes())
}

/// The same of what may be no text.
pub fn write_bytes(bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Terminal { action: "write to standard output", source })
        }
        _ => Ok(()),
    }
}

fn lines(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().map(|item| item + "\n").collect()
}

/// What a prune has removed, as Docker lists it; nothing for nothing.
pub fn deleted(kind: &str, names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("Deleted {kind}:\n{}\n\n", names.join("\n")) }
}

/// Labels as listings show them: `KEY=VALUE,…`.
pub fn labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let sorted: BTreeMap<&String, &String> = labels.into_iter().collect();
    sorted.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LISTING: Listing<'_> = Listing {
        kind: "*formatter.ContainerContext",
        columns: "{{.ID}}\t{{.Names}}",
        headers: &[("ID", "CONTAINER ID"), ("Names", "NAMES")],
    };

    fn rows() -> Vec<Value> {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        vec![Value::row(&json!({ "ID": "abc", "Names": "web\u{1b}", "Labels": "a=1" }), labels)]
    }

    fn render(format: &str) -> String {
        LISTING.render(&parse(format).unwrap(), &rows()).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn tables_json_and_templates() {
        assert_eq!(render("table"), "CONTAINER ID   NAMES\nabc            web?\n");
        assert_eq!(render(r"table {{.Names}}\t{{.ID}}"), "NAMES     CONTAINER ID\nweb?      abc\n");
        assert_eq!(render("table {{.Names | upper}}: {{json .ID}}"), "NAMES: CONTAINER ID\nWEB?: \"abc\"\n");
        assert_eq!(render(r#"table {{.ID}}\t{{.Label "a"}}"#), "CONTAINER ID   A\nabc            1\n");
        assert_eq!(render("json"), "{\"ID\":\"abc\",\"Names\":\"web\\u001b\",\"Labels\":\"a=1\"}\n");
        assert_eq!(render("{{json .}}"), render("json"));
        assert_eq!(render(r#"{{.ID}}\n{{.Label "a"}}"#), "abc\n1\n");
        assert!(parse("raw").is_err());
    }

    #[test]
    fn errors_are_dockers() {
        assert_eq!(
            render("{{.Nope}}"),
            "template parsing error: template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type \
             *formatter.ContainerContext"
        );
        assert_eq!(render("{{.ID"), "template parsing error: template: :1: unclosed action");
    }
}
