//! `orca secret ls` and `orca config ls`.

use model::Timestamp;
use serde_json::{Value as Json, json};
use template::Value;

use super::{Content, Kind, all};
use crate::client::{Client, Host};
use crate::error::Result;
use crate::filter::Filters;
use crate::output::format::{self, Format, Listing};
use crate::output::human;

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only some: id=, label=, name=
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// table, json, or a Go template; "table TEMPLATE" has headers
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
}

const HEADERS: &[(&str, &str)] = &[("ID", "ID"), ("CreatedAt", "CREATED"), ("UpdatedAt", "UPDATED")];

const SECRETS: Listing<'_> = Listing {
    kind: "*formatter.secretContext",
    columns: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}",
    headers: HEADERS,
};

const CONFIGS: Listing<'_> = Listing {
    kind: "*formatter.configContext",
    columns: "{{.ID}}\t{{.Name}}\t{{.CreatedAt}}\t{{.UpdatedAt}}",
    headers: HEADERS,
};

/// Lists them by name.
pub async fn list(host: &Host, kind: Kind, args: Args) -> Result<()> {
    let filters = Filters::parse(&args.filter, &["id", "label", "name"])?;
    let mut client = Client::connect(host).await?;
    let fits = |content: &Content| {
        filters.any("id", |wanted| content.id.starts_with(wanted))
            && filters.matches("name", &content.name)
            && filters.fits_labels(&content.labels)
    };
    let now = crate::clock::now();
    let found: Vec<Content> = all(&mut client, kind).await?.into_iter().filter(fits).collect();
    let rows: Vec<Value> =
        found.iter().map(|content| Value::row(&row(kind, content, now), content.labels.clone())).collect();
    let listing = match kind {
        Kind::Secret => SECRETS,
        Kind::Config => CONFIGS,
    };
    if args.quiet && matches!(args.format, Format::Table | Format::Columns(_)) {
        return listing.print(&Format::Template("{{.ID}}".into()), &rows);
    }
    listing.print(&args.format, &rows)
}

fn row(kind: Kind, content: &Content, now: Timestamp) -> Json {
    let mut row = json!({
        "CreatedAt": human::ago(content.meta.created_at, now),
        "ID": content.id,
        "Labels": format::labels(&content.labels),
        "Name": content.name,
        "UpdatedAt": human::ago(content.meta.updated_at, now),
    });
    if kind == Kind::Secret {
        // Docker's are of plug-ins; ours are kept by the managers.
        row["Driver"] = "".into();
    }
    row
}
