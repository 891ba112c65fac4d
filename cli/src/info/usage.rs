//! `orca system df`.

use std::collections::BTreeMap;

use api::image::BuildCacheEntry;
use api::node::{Container, Image, ListContainersRequest, ListImagesRequest, ListVolumesRequest, Volume};
use clap::Args;
use model::Timestamp;
use serde_json::{Value as Json, json};

use super::shares::Layers;
use crate::build;
use crate::client::{Client, Host};
use crate::clock;
use crate::container::ps;
use crate::error::{Error, Result};
use crate::output::format::{self, Format, Listing};
use crate::output::human;
use template::Value;

/// Arguments of `orca system df`.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// Every image, container and volume
    #[arg(short, long)]
    verbose: bool,
    /// table, json, or a Go template
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
}

/// What is on the disk.
struct Found {
    images: Vec<Image>,
    containers: Vec<Container>,
    volumes: Vec<Volume>,
    cache: Vec<BuildCacheEntry>,
}

const SUMMARY: Listing<'_> = Listing {
    kind: "*formatter.diskUsageImagesContext",
    columns: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
    headers: &[("TotalCount", "TOTAL")],
};

/// Shows how much disk images, containers and volumes use.
pub async fn usage(host: &Host, args: UsageArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let containers = ListContainersRequest { all: true, size: true, ..Default::default() };
    let volumes = ListVolumesRequest { size: true, ..Default::default() };
    let found = Found {
        images: client.node.list_images(ListImagesRequest { all: true, reference: None }).await?.into_inner().images,
        containers: client.node.list_containers(containers).await?.into_inner().containers,
        volumes: client.node.list_volumes(volumes).await?.into_inner().volumes,
        cache: build::cache_entries(&mut client).await?,
    };
    match (args.verbose, &args.format) {
        (false, format) => SUMMARY.print(format, &summary(&found).iter().map(Value::from).collect::<Vec<_>>()),
        (true, Format::Table) => format::write(&verbose(&found)?),
        (true, Format::Json) => format::write(&format!("{}\n", details(&found))),
        (true, Format::Template(text)) => {
            format::print_one(Some(text), "*formatter.diskUsageContext", &details(&found), String::new)
        }
        (true, Format::Columns(text)) => Err(Error::Flag {
            flag: "--format",
            value: format!("table {text}"),
            reason: "-v has several tables: use json, or a template".into(),
        }),
    }
}

fn summary(found: &Found) -> Vec<Json> {
    let row = |kind: &str, total: usize, active: usize, size: u64, free: u64| {
        let share = (free * 100).checked_div(size).unwrap_or(0);
        let reclaimable = if size == 0 { human::size(free) } else { format!("{} ({share}%)", human::size(free)) };
        json!({
            "Type": kind,
            "TotalCount": total.to_string(),
            "Active": active.to_string(),
            "Size": human::size(size),
            "Reclaimable": reclaimable,
        })
    };
    let layers = Layers::of(&found.images);
    let used = found.images.iter().filter(|image| image.containers > 0).count();
    let written = |container: &&Container| container.size_rw.unwrap_or(0);
    let stopped = found.containers.iter().filter(|container| !human::is_up(container));
    let bytes = |volume: &&Volume| volume.size.unwrap_or(0);
    let unused = found.volumes.iter().filter(|volume| volume.used_by.is_empty());
    let active = found.containers.iter().filter(|container| human::is_up(container)).count();
    vec![
        row("Images", found.images.len(), used, layers.size(), layers.idle()),
        row(
            "Containers",
            found.containers.len(),
            active,
            found.containers.iter().map(|container| written(&container)).sum(),
            stopped.map(|container| written(&container)).sum(),
        ),
        row(
            "Local Volumes",
            found.volumes.len(),
            found.volumes.iter().filter(|volume| !volume.used_by.is_empty()).count(),
            found.volumes.iter().map(|volume| bytes(&volume)).sum(),
            unused.map(|volume| bytes(&volume)).sum(),
        ),
        row("Build Cache", found.cache.len(), 0, cache_size(found), cache_size(found)),
    ]
}

fn image_rows(found: &Found) -> Vec<Json> {
    let now = clock::now();
    let layers = Layers::of(&found.images);
    let row = |image: &Image| {
        let shared = layers.shared(image);
        let name = image.references.first().map_or("<none>:<none>", String::as_str);
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "<none>"));
        json!({
            "Repository": repository,
            "Tag": tag,
            "ID": image.id.trim_start_matches("sha256:").chars().take(12).collect::<String>(),
            "CreatedSince": human::ago(Timestamp(image.created_at), now),
            "Size": human::size(image.size),
            "SharedSize": human::size(shared),
            "UniqueSize": human::size(image.size.saturating_sub(shared)),
            "Containers": image.containers.to_string(),
        })
    };
    found.images.iter().map(row).collect()
}

fn volume_rows(found: &Found) -> Vec<Json> {
    let row = |volume: &Volume| {
        json!({
            "Name": volume.name,
            "Driver": volume.driver,
            "Links": volume.used_by.len().to_string(),
            // Files that are not Orca's own are not counted.
            "Size": volume.size.map_or_else(|| "N/A".into(), human::size),
        })
    };
    found.volumes.iter().map(row).collect()
}

fn details(found: &Found) -> Json {
    let now = clock::now();
    json!({
        "Images": image_rows(found),
        "Containers": found.containers.iter().map(|container| ps::row(container, now, false)).collect::<Vec<_>>(),
        "Volumes": volume_rows(found),
        "BuildCache": cache_rows(found),
    })
}

fn cache_size(found: &Found) -> u64 {
    found.cache.iter().map(|entry| entry.size).sum()
}

fn cache_rows(found: &Found) -> Vec<Json> {
    let now = clock::now();
    let ago = |seconds: i64| human::ago(Timestamp(seconds.saturating_mul(1_000_000_000)), now);
    let row = |entry: &BuildCacheEntry| {
        json!({
            "ID": entry.id.chars().take(12).collect::<String>(),
            "CacheType": "regular",
            "Description": entry.description,
            "Size": human::size(entry.size),
            "CreatedSince": ago(entry.created_at),
            "LastUsedSince": ago(entry.used_at),
            "InUse": "false",
            "Shared": "false",
        })
    };
    found.cache.iter().map(row).collect()
}

fn verbose(found: &Found) -> Result<String> {
    let details = details(found);
    let rows = |key: &str| -> Vec<Value> {
        details[key].as_array().into_iter().flatten().map(|row| Value::row(row, BTreeMap::new())).collect()
    };
    let images = Listing {
        kind: "*formatter.imageContext",
        columns: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
        headers: &[
            ("ID", "IMAGE ID"),
            ("CreatedSince", "CREATED"),
            ("SharedSize", "SHARED SIZE"),
            ("UniqueSize", "UNIQUE SIZE"),
        ],
    };
    let containers = Listing {
        kind: "*formatter.ContainerContext",
        columns: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
        headers: &[("ID", "CONTAINER ID"), ("RunningFor", "CREATED")],
    };
    let volumes = Listing {
        kind: "*formatter.volumeContext",
        columns: "{{.Name}}\t{{.Links}}\t{{.Size}}",
        headers: &[("Name", "VOLUME NAME")],
    };
    let cache = Listing {
        kind: "*formatter.buildCacheContext",
        columns: "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.Shared}}",
        headers: &[
            ("ID", "CACHE ID"),
            ("CacheType", "CACHE TYPE"),
            ("CreatedSince", "CREATED"),
            ("LastUsedSince", "LAST USED"),
        ],
    };
    let table = |listing: Listing<'_>, key: &str| listing.render(&Format::Table, &rows(key));
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\nBuild cache usage: {}\n\n{}",
        table(images, "Images")?,
        table(containers, "Containers")?,
        table(volumes, "Volumes")?,
        human::size(cache_size(found)),
        table(cache, "BuildCache")?
    ))
}
