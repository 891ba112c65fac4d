//! `orca node ls`.

use model::Node;
use serde_json::{Value as Json, json};

use super::{Nodes, capital, state};
use crate::client::{Client, Host};
use crate::error::Result;
use crate::filter::Filters;
use crate::output::format::{self, Format, Listing};
use template::Value;

/// Arguments of `orca node ls`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only some: id=, label=, membership=accepted, name=, node.label=, role=worker|manager
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// table, json, or a Go template; "table TEMPLATE" has headers
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
}

const LISTING: Listing<'_> = Listing {
    kind: "*formatter.nodeContext",
    columns: "{{.ID}} {{if .Self}}*{{else}} {{end}}\t{{.Hostname}}\t{{.Status}}\t{{.Availability}}\t{{.ManagerStatus}}\t{{.EngineVersion}}",
    headers: &[("ID", "ID"), ("ManagerStatus", "MANAGER STATUS"), ("EngineVersion", "ENGINE VERSION"), ("Self", "")],
};

/// Lists nodes by host name.
pub async fn list(host: &Host, args: Args) -> Result<()> {
    let filters = Filters::parse(&args.filter, &["id", "label", "membership", "name", "node.label", "role"])?;
    filters.only("role", &["worker", "manager"])?;
    filters.only("membership", &["accepted", "pending"])?;
    let mut client = Client::connect(host).await?;
    let nodes = Nodes::ask(&mut client).await?;
    let mut shown: Vec<&Node> = nodes.nodes.iter().filter(|node| fits(&filters, node)).collect();
    shown.sort_by(|a, b| (&a.description.hostname, a.id).cmp(&(&b.description.hostname, b.id)));
    let rows: Vec<Value> = shown.iter().map(|node| Value::row(&row(&nodes, node), Default::default())).collect();
    if args.quiet && matches!(args.format, Format::Table | Format::Columns(_)) {
        return LISTING.print(&Format::Template("{{.ID}}".into()), &rows);
    }
    LISTING.print(&args.format, &rows)
}

fn fits(filters: &Filters, node: &Node) -> bool {
    let has_label = |wanted: &str| match wanted.split_once('=') {
        Some((key, value)) => node.spec.labels.get(key).is_some_and(|found| found == value),
        None => node.spec.labels.contains_key(wanted),
    };
    filters.any("id", |wanted| node.id.to_string().starts_with(wanted))
        && filters.matches("name", &node.description.hostname)
        && filters.any("role", |wanted| node.spec.role.word() == wanted)
        && filters.any("membership", |wanted| wanted == "accepted")
        && filters.any("node.label", has_label)
        // Docker's are of its engine; ours has none.
        && !filters.has("label")
}

fn row(nodes: &Nodes, node: &Node) -> Json {
    let id = node.id.to_string();
    json!({
        "Availability": capital(node.spec.availability.word()),
        "EngineVersion": node.description.engine_version,
        "Hostname": node.description.hostname,
        "ID": id,
        "ManagerStatus": nodes.manager_status(node),
        "Self": id == nodes.own,
        "Status": capital(state(node)),
        "TLSStatus": "Ready",
    })
}
