//! `orca ps`.

use api::node::{Container, ListContainersRequest, ListImagesRequest};
use clap::Args;
use model::Timestamp;
use serde_json::{Value as Json, json};

use super::select::{self, Selection};
use crate::client::{Client, Host};
use crate::clock;
use crate::docker_config::DockerConfig;
use crate::error::Result;
use crate::filter::Filters;
use crate::output::format::{self, Format, Listing};
use crate::output::human;
use crate::registry;
use template::Value;

/// Arguments of `orca ps`.
#[derive(Debug, Args)]
pub struct PsArgs {
    /// Also containers that do not run
    #[arg(short, long)]
    all: bool,
    /// Only containers that fit, such as status=exited or label=KEY
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// table, json, or a Go template; "table TEMPLATE" has headers
    #[arg(long, value_parser = format::parse)]
    format: Option<Format>,
    /// Only the newest so many, in all states
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = -1, allow_negative_numbers = true)]
    last: i64,
    /// Only the newest, in all states
    #[arg(short, long)]
    latest: bool,
    /// Do not shorten
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// How much each has written
    #[arg(short, long)]
    size: bool,
}

const HEADERS: &[(&str, &str)] = &[("ID", "CONTAINER ID"), ("RunningFor", "CREATED")];
const KIND: &str = "*formatter.ContainerContext";
const COLUMNS: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";

/// Lists containers, the newest first.
pub async fn ps(host: &Host, args: PsArgs) -> Result<()> {
    let last = if args.latest { Some(1) } else { usize::try_from(args.last).ok().filter(|last| *last > 0) };
    let selection = Selection { all: args.all, last, filters: Filters::parse(&args.filter, select::KEYS)? };
    selection.check()?;
    let configured = || DockerConfig::read().ps_format.filter(|_| !args.quiet);
    let format = match args.format {
        Some(format) => format,
        None => format::configured(configured())?,
    };
    let mut client = Client::connect(host).await?;
    let size = args.size || format.mentions(".Size");
    let request = ListContainersRequest { all: selection.needs_all(), size, ..Default::default() };
    let containers = client.node.list_containers(request).await?.into_inner().containers;
    let images = match selection.filters.has("ancestor") {
        true => client.node.list_images(ListImagesRequest { all: true, reference: None }).await?.into_inner().images,
        false => Vec::new(),
    };
    let containers = selection.of(containers, &images)?;
    let now = clock::now();
    let rows: Vec<Value> = containers.iter().map(|container| value(container, now, args.no_trunc)).collect();
    let quiet = args.quiet && matches!(format, Format::Table | Format::Columns(_));
    if quiet {
        return Listing::default().print(&Format::Template("{{.ID}}".into()), &rows);
    }
    let columns = format!("{COLUMNS}\t{{{{.Size}}}}");
    Listing { kind: KIND, headers: HEADERS, columns: if args.size { &columns } else { COLUMNS } }.print(&format, &rows)
}

/// A row, with its labels.
pub fn value(container: &Container, now: Timestamp, whole: bool) -> Value {
    let labels = container.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    Value::row(&row(container, now, whole), labels)
}

/// The image as the user named it.
pub fn image(container: &Container) -> String {
    container.spec.as_ref().map(|spec| spec.image.clone()).unwrap_or_default()
}

/// The STATUS column.
pub fn status(container: &Container, now: Timestamp) -> String {
    container.status.as_ref().map_or_else(|| "Created".into(), |status| human::status(status, now))
}

fn short(id: &str, whole: bool) -> String {
    if whole { id.into() } else { id.chars().take(12).collect() }
}

/// Docker's keys for one container.
pub fn row(container: &Container, now: Timestamp, whole: bool) -> Json {
    let created = Timestamp(container.created_at);
    let networks: Vec<&str> = container.attachments.iter().map(|a| a.network.as_str()).collect();
    let mount = |mount: &api::node::MountPoint| {
        let name = if mount.name.is_empty() { &mount.source } else { &mount.name };
        match whole || name.chars().count() <= 15 {
            true => name.clone(),
            false => name.chars().take(14).chain(['…']).collect(),
        }
    };
    let mounts: Vec<String> = container.mounts.iter().filter(|mount| mount.kind != "tmpfs").map(mount).collect();
    let volumes = container.mounts.iter().filter(|mount| mount.kind == "volume").count();
    json!({
        "Command": human::command(&container.args, whole),
        "CreatedAt": clock::docker_time(created),
        "ID": short(&container.id, whole),
        "Image": if whole { image(container) } else { registry::shown(&image(container)).to_owned() },
        "Labels": format::labels(&container.labels),
        "LocalVolumes": volumes.to_string(),
        "Mounts": mounts.join(","),
        "Names": container.name,
        "Networks": networks.join(","),
        "Platform": null,
        "Ports": human::ports(container),
        "RunningFor": human::ago(created, now),
        "Size": size(container),
        "State": container.status.as_ref().map_or("created", human::state),
        "Status": status(container, now),
    })
}

/// `2B (virtual 4.3MB)`: what it has written, and that with its image.
fn size(container: &Container) -> String {
    let written = human::size(container.size_rw.unwrap_or(0));
    match container.size_root_fs {
        Some(all) => format!("{written} (virtual {})", human::size(all)),
        None => written,
    }
}
