//! `orca node inspect`.

use std::fmt::Write;

use model::Node;
use serde_json::{Value as Json, json};

use super::{Nodes, capital, several, state};
use crate::client::{Client, Host};
use crate::clock;
use crate::error::Result;
use crate::output::{format, human};

/// Arguments of `orca node inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// json, or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// For people
    #[arg(long, conflicts_with = "format")]
    pretty: bool,
    /// Nodes: ids, host names, or self
    #[arg(required = true)]
    nodes: Vec<String>,
}

/// Shows all about nodes.
pub async fn inspect(host: &Host, args: Args) -> Result<()> {
    format::check(args.format.as_deref())?;
    let mut client = Client::connect(host).await?;
    let nodes = Nodes::ask(&mut client).await?;
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for name in &args.nodes {
        match nodes.find(name) {
            Ok(node) => found.push(node),
            Err(error) => failed.push(error.to_string()),
        }
    }
    if args.pretty {
        let texts: Vec<String> = found.iter().map(|node| pretty(&nodes, node)).collect();
        format::write(&texts.join("\n"))?;
    } else {
        let objects: Vec<Json> = found.iter().map(|node| describe(&nodes, node)).collect();
        format::print_inspected(args.format.as_deref(), &objects)?;
    }
    several(failed)
}

/// Docker's object.
fn describe(nodes: &Nodes, node: &Node) -> Json {
    let description = &node.description;
    let mut object = json!({
        "ID": node.id.to_string(),
        "Version": { "Index": node.meta.version },
        "CreatedAt": node.meta.created_at.to_rfc3339(),
        "UpdatedAt": node.meta.updated_at.to_rfc3339(),
        "Spec": {
            "Labels": node.spec.labels,
            "Role": node.spec.role.word(),
            "Availability": node.spec.availability.word(),
        },
        "Description": {
            "Hostname": description.hostname,
            "Platform": { "Architecture": description.architecture, "OS": description.os },
            "Resources": { "NanoCPUs": description.nano_cpus, "MemoryBytes": description.memory },
            "Engine": { "EngineVersion": description.engine_version },
        },
        "Status": { "State": state(node), "Addr": node.address },
    });
    if let Some(manager) = &node.manager {
        let status = nodes.manager_status(node);
        let mut member = json!({
            "Reachability": if status == "Unreachable" { "unreachable" } else { "reachable" },
            "Addr": manager.address,
        });
        if status == "Leader" {
            member["Leader"] = true.into();
        }
        object["ManagerStatus"] = member;
    }
    object
}

fn pretty(nodes: &Nodes, node: &Node) -> String {
    let description = &node.description;
    let mut text = String::new();
    let mut line = |words: &str, value: &str| {
        let _ = writeln!(text, "{words}{value}");
    };
    line("ID:\t\t\t", &node.id.to_string());
    if !node.spec.labels.is_empty() {
        line("Labels:", "");
        node.spec.labels.iter().for_each(|(key, value)| line(" - ", &format!("{key}={value}")));
    }
    line("Hostname:              \t", &description.hostname);
    line("Joined at:             \t", &clock::docker_time(node.meta.created_at));
    line("Status:", "");
    line(" State:\t\t\t", &capital(state(node)));
    line(" Availability:         \t", &capital(node.spec.availability.word()));
    line(" Address:\t\t", &node.address);
    if let Some(manager) = &node.manager {
        let status = nodes.manager_status(node);
        line("Manager Status:", "");
        line(" Address:\t\t", &manager.address);
        line(" Raft Status:\t\t", if status == "Unreachable" { "Unreachable" } else { "Reachable" });
        line(" Leader:\t\t", if status == "Leader" { "Yes" } else { "No" });
    }
    line("Platform:", "");
    line(" Operating System:\t", &description.os);
    line(" Architecture:\t\t", &description.architecture);
    line("Resources:", "");
    line(" CPUs:\t\t\t", &(description.nano_cpus / 1_000_000_000).to_string());
    line(" Memory:\t\t", &human::binary_size(description.memory));
    line("Engine Version:\t\t", &description.engine_version);
    text
}
