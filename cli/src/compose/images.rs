//! `orca compose images`.

use std::collections::BTreeMap;

use api::node::{Container, Image};
use clap::Args;
use model::Timestamp;
use serde_json::{Value, json};

use super::project::ProjectArgs;
use super::ps::containers;
use crate::client::{Client, Host};
use crate::clock;
use crate::error::Result;
use crate::output::format::{self, Format};
use crate::output::human;
use crate::output::table::Table;
use crate::registry;

/// Arguments of `orca compose images`.
#[derive(Debug, Args)]
pub struct ImagesArgs {
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// table or json
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
    /// Services; none means all
    services: Vec<String>,
}

/// One container and its image.
struct Row {
    container: String,
    repository: String,
    tag: String,
    image: Image,
}

/// Lists the images that the project's containers were made from.
pub async fn images(host: &Host, project: &ProjectArgs, args: ImagesArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let containers = containers(&mut client, &project.name()?, &args.services, true).await?;
    let mut known: BTreeMap<String, Image> = BTreeMap::new();
    let mut rows = Vec::new();
    for container in containers {
        if container.image_id.is_empty() {
            continue;
        }
        if !known.contains_key(&container.image_id)
            && let Some(image) = registry::find(&mut client, &container.image_id).await?
        {
            known.insert(container.image_id.clone(), image);
        }
        if let Some(image) = known.get(&container.image_id) {
            rows.push(row(container, image.clone()));
        }
    }
    let now = clock::now();
    let ids = args.quiet.then(|| {
        let ids: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.image.id.as_str()).collect();
        ids.into_iter().map(|id| id.trim_start_matches("sha256:").to_owned()).collect()
    });
    let json = || rows.iter().map(describe).collect();
    let table = || {
        let mut table = Table::new(&["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"]);
        for row in &rows {
            table.row([
                row.container.clone(),
                row.repository.clone(),
                row.tag.clone(),
                format!("{}/{}", row.image.os, row.image.architecture),
                short(&row.image.id),
                human::size(row.image.size),
                human::ago(Timestamp(row.image.created_at), now),
            ]);
        }
        table
    };
    format::print(args.format, ids, json, table)
}

/// The image under the name that the container was made with, while it has that name still.
fn row(container: Container, image: Image) -> Row {
    let asked = container.spec.as_ref().map(|spec| spec.image.clone()).unwrap_or_default();
    let asked = asked.parse::<image::Reference>().map(|name| name.with_default_tag().familiar());
    let name = asked.ok().filter(|name| image.references.contains(name));
    let none = || "<none>".to_owned();
    let (repository, tag) = match name.as_deref().and_then(|name| name.rsplit_once(':')) {
        Some((repository, tag)) => (repository.to_owned(), tag.to_owned()),
        None => (none(), none()),
    };
    Row { container: container.name, repository, tag, image }
}

fn short(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(12).collect()
}

fn describe(row: &Row) -> Value {
    json!({
        "ID": row.image.id,
        "ContainerName": row.container,
        "Repository": row.repository,
        "Tag": row.tag,
        "Platform": format!("{}/{}", row.image.os, row.image.architecture),
        "Size": row.image.size,
        "Created": Timestamp(row.image.created_at).to_rfc3339(),
        "LastTagTime": Timestamp(row.image.tagged_at).to_rfc3339(),
    })
}
