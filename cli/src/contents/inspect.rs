//! `orca secret inspect` and `orca config inspect`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::{Content, Kind, all, find, several};
use crate::client::{Client, Host};
use crate::error::Result;
use crate::output::format;
use crate::output::table::printable;

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// json, or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// For people
    #[arg(long, conflicts_with = "format")]
    pretty: bool,
    /// Which: names or ids
    #[arg(required = true)]
    names: Vec<String>,
}

/// Shows all about them; of secrets all but what they hold.
pub async fn inspect(host: &Host, kind: Kind, args: Args) -> Result<()> {
    format::check(args.format.as_deref())?;
    let mut client = Client::connect(host).await?;
    let all = all(&mut client, kind).await?;
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for name in &args.names {
        match find(kind, &all, name) {
            Ok(content) => found.push(content),
            Err(error) => failed.push(error.to_string()),
        }
    }
    if args.pretty {
        let texts: Vec<String> = found.iter().map(|content| pretty(kind, content)).collect();
        format::write(&texts.join("\n"))?;
    } else {
        let objects: Vec<Json> = found.iter().map(|content| describe(content)).collect();
        format::print_inspected(args.format.as_deref(), &objects)?;
    }
    several(failed)
}

/// Docker's object.
fn describe(content: &Content) -> Json {
    let mut spec = json!({ "Name": content.name, "Labels": content.labels });
    if let Some(data) = &content.data {
        spec["Data"] = STANDARD.encode(data).into();
    }
    if content.template {
        spec["Templating"] = json!({ "Name": "golang" });
    }
    json!({
        "ID": content.id,
        "Version": { "Index": content.meta.version },
        "CreatedAt": content.meta.created_at.to_rfc3339(),
        "UpdatedAt": content.meta.updated_at.to_rfc3339(),
        "Spec": spec,
    })
}

fn pretty(kind: Kind, content: &Content) -> String {
    let Content { id, meta, name, labels, template, data } = content;
    let mut text = format!("ID:\t\t\t{id}\nName:\t\t\t{name}\n");
    text += if labels.is_empty() { "Labels:\n" } else { "Labels:\n - " };
    text += &labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("\n - ");
    text += if labels.is_empty() { "" } else { "\n" };
    if kind == Kind::Secret {
        text += "Driver:\t\t\t\n";
    }
    if *template {
        text += "Templating:\t\tgolang\n";
    }
    text +=
        &format!("Created at:\t\t{}\nUpdated at:\t\t{}\n", meta.created_at.to_rfc3339(), meta.updated_at.to_rfc3339());
    if let Some(data) = data {
        // What would move the cursor is not for a terminal.
        let shown = String::from_utf8_lossy(data);
        let shown: Vec<String> = shown.lines().map(printable).collect();
        text += &format!("Data:\n{}\n", shown.join("\n"));
    }
    text
}
