//! Images of the node.

use api::node::{Image, InspectImageRequest, ListImagesRequest, RemoveImageRequest};
use clap::Args;
use model::Timestamp;
use serde_json::{Value, json};

use crate::client::{Client, Host};
use crate::clock;
use crate::error::{Error, Result};
use crate::output::format::{self, Format};
use crate::output::human;
use crate::output::table::Table;

/// Arguments of `orca images`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Also images without a name
    #[arg(short, long)]
    all: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// table or json
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
    /// Only images of this name
    reference: Option<String>,
}

/// Arguments of `orca image inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Images
    #[arg(required = true)]
    images: Vec<String>,
}

/// Arguments of `orca rmi`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Remove all its names; an image that a stopped container needs stays without one
    #[arg(short, long)]
    force: bool,
    /// Keep untagged parents; images have none here
    #[arg(long)]
    no_prune: bool,
    /// Only if the image is of this platform
    #[arg(long)]
    platform: Option<String>,
    /// Images
    #[arg(required = true)]
    images: Vec<String>,
}

struct Row<'a> {
    image: &'a Image,
    repository: String,
    tag: String,
}

/// Lists images, one row a name.
pub async fn list(host: &Host, args: ListArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let request = ListImagesRequest { all: args.all, reference: args.reference };
    let mut images = client.node.list_images(request).await?.into_inner().images;
    images.sort_by_key(|image| std::cmp::Reverse(image.created_at));
    let rows: Vec<Row<'_>> = images.iter().flat_map(rows).collect();
    let now = clock::now();
    let id = |row: &Row<'_>| short(&row.image.id, args.no_trunc);
    let ids = args.quiet.then(|| {
        let mut ids: Vec<String> = rows.iter().map(id).collect();
        ids.dedup();
        ids
    });
    let json = || rows.iter().map(|row| describe_row(row, now, args.no_trunc)).collect();
    let table = || {
        let mut table = Table::new(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
        for row in &rows {
            let created = human::ago(Timestamp(row.image.created_at), now);
            table.row([row.repository.clone(), row.tag.clone(), id(row), created, human::size(row.image.size)]);
        }
        table
    };
    format::print(args.format, ids, json, table)
}

fn rows(image: &Image) -> Vec<Row<'_>> {
    let none = || "<none>".to_owned();
    if image.references.is_empty() {
        return vec![Row { image, repository: none(), tag: none() }];
    }
    let row = |reference: &String| {
        // A colon before the last slash belongs to a registry's port.
        let split = reference.rfind(':').filter(|at| !reference[*at..].contains('/'));
        let (repository, tag) = split
            .map_or((reference.clone(), none()), |at| (reference[..at].to_owned(), reference[at + 1..].to_owned()));
        Row { image, repository, tag }
    };
    image.references.iter().map(row).collect()
}

fn short(id: &str, whole: bool) -> String {
    if whole { id.into() } else { id.trim_start_matches("sha256:").chars().take(12).collect() }
}

fn describe_row(row: &Row<'_>, now: Timestamp, whole: bool) -> Value {
    let created = Timestamp(row.image.created_at);
    json!({
        "Containers": row.image.containers.to_string(),
        "CreatedAt": clock::docker_time(created),
        "CreatedSince": human::ago(created, now),
        "Digest": row.image.digests.first().map_or("<none>", String::as_str),
        "ID": short(&row.image.id, whole),
        "Repository": row.repository,
        "SharedSize": "N/A",
        "Size": human::size(row.image.size),
        "Tag": row.tag,
        "UniqueSize": "N/A",
        "VirtualSize": human::size(row.image.size),
    })
}

/// Prints an array with one object an image, in Docker's shape.
pub async fn inspect(host: &Host, args: InspectArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let mut found = Vec::new();
    let mut failures = 0;
    for image in args.images {
        match client.node.inspect_image(InspectImageRequest { image }).await {
            Ok(reply) => found.push(describe(&reply.into_inner())),
            Err(status) => {
                failures += 1;
                eprintln!("orca: {}", Error::from(status));
            }
        }
    }
    format::print_json(&Value::Array(found))?;
    if failures == 0 { Ok(()) } else { Err(Error::Exit(1)) }
}

fn describe(image: &Image) -> Value {
    let document: Value = serde_json::from_str(&image.config_json).unwrap_or_default();
    json!({
        "Id": image.id,
        "RepoTags": image.references,
        "RepoDigests": image.digests,
        "Comment": document.get("comment").and_then(Value::as_str).unwrap_or_default(),
        "Created": Timestamp(image.created_at).to_rfc3339(),
        "Author": document.get("author").and_then(Value::as_str).unwrap_or_default(),
        "Architecture": image.architecture,
        "Os": image.os,
        "Size": image.size,
        "Config": document.get("config"),
        "RootFS": { "Type": "layers", "Layers": image.layers },
        "Metadata": { "LastTagTime": Timestamp(image.tagged_at).to_rfc3339() },
    })
}

/// Removes names, and images that have none left.
pub async fn remove(host: &Host, args: RemoveArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let mut failures = 0;
    for image in args.images {
        let request = RemoveImageRequest { image, force: args.force, platform: args.platform.clone() };
        match client.node.remove_image(request).await {
            Ok(reply) => {
                let reply = reply.into_inner();
                let untagged = reply.untagged.iter().map(|name| format!("Untagged: {name}\n"));
                let deleted = reply.deleted.iter().map(|id| format!("Deleted: {id}\n"));
                format::write(&untagged.chain(deleted).collect::<String>())?;
            }
            Err(status) => {
                failures += 1;
                eprintln!("orca: {}", Error::from(status));
            }
        }
    }
    if failures == 0 { Ok(()) } else { Err(Error::Exit(1)) }
}
