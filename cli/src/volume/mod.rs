//! `orca volume ls|create|inspect|rm|prune`.

mod prune;

use std::collections::BTreeMap;

use api::node::{CreateVolumeRequest, InspectVolumeRequest, ListVolumesRequest, RemoveVolumeRequest, Volume};
use api::types::VolumeSpec;
use clap::Args;
use model::Timestamp;
use serde_json::{Value as Json, json};

use crate::client::{Client, Host};
use crate::container::flags;
use crate::docker_config::DockerConfig;
use crate::error::{Error, Result};
use crate::filter::Filters;
use crate::inspect;
use crate::output::format::{self, Format, Listing};
use template::Value;

pub use prune::{PruneArgs, prune, prune_now, prune_request};

/// Arguments of `orca volume ls`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only volumes that fit, such as dangling=true or label=KEY
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Only names
    #[arg(short, long)]
    quiet: bool,
    /// table, json, or a Go template; "table TEMPLATE" has headers
    #[arg(long, value_parser = format::parse)]
    format: Option<Format>,
}

/// Arguments of `orca volume create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Driver: local
    #[arg(short, long, default_value = "local")]
    driver: String,
    /// Label: KEY[=VALUE]
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = flags::label)]
    label: Vec<String>,
    /// Option of the local driver: type, o, device
    #[arg(short, long = "opt", value_name = "KEY=VALUE")]
    opt: Vec<String>,
    /// Name
    name: Option<String>,
}

/// Arguments of `orca volume inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// json, or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// Volumes
    #[arg(required = true)]
    volumes: Vec<String>,
}

/// Arguments of `orca volume rm`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// A volume that is not there is no failure
    #[arg(short, long)]
    force: bool,
    /// Volumes
    #[arg(required = true)]
    volumes: Vec<String>,
}

const LISTING: Listing<'_> = Listing {
    kind: "*formatter.volumeContext",
    columns: "{{.Driver}}\t{{.Name}}",
    headers: &[("Name", "VOLUME NAME")],
};

/// Lists volumes by name.
pub async fn list(host: &Host, args: ListArgs) -> Result<()> {
    let filters = Filters::parse(&args.filter, &["dangling", "driver", "label", "name"])?;
    let dangling = filters.switch("dangling")?;
    let format = match args.format {
        Some(format) => format,
        None => format::configured(DockerConfig::read().volumes_format.filter(|_| !args.quiet))?,
    };
    let mut client = Client::connect(host).await?;
    let mut volumes = client.node.list_volumes(ListVolumesRequest::default()).await?.into_inner().volumes;
    volumes.retain(|volume| {
        dangling.is_none_or(|wanted| volume.used_by.is_empty() == wanted)
            && filters.any("driver", |wanted| wanted == volume.driver)
            && filters.matches("name", &volume.name)
            && filters.fits_labels(&labels(volume))
    });
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    let rows: Vec<Value> = volumes.iter().map(|volume| Value::row(&row(volume), labels(volume))).collect();
    if args.quiet && matches!(format, Format::Table | Format::Columns(_)) {
        return LISTING.print(&Format::Template("{{.Name}}".into()), &rows);
    }
    LISTING.print(&format, &rows)
}

fn labels(volume: &Volume) -> BTreeMap<String, String> {
    volume.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Docker's keys for one volume.
fn row(volume: &Volume) -> Json {
    json!({
        "Availability": "N/A",
        "Driver": volume.driver,
        "Group": "N/A",
        "Labels": format::labels(&volume.labels),
        "Links": "N/A",
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Scope": "local",
        "Size": "N/A",
        "Status": "N/A",
    })
}

/// Makes a volume and prints its name.
pub async fn create(host: &Host, args: CreateArgs) -> Result<()> {
    crate::container::mounts::driver(&args.driver).map_err(|reason| Error::Flag {
        flag: "--driver",
        value: args.driver.clone(),
        reason,
    })?;
    let mut client = Client::connect_or_start(host).await?;
    let spec =
        VolumeSpec { labels: flags::labels(&args.label), driver_opts: flags::labels(&args.opt), external: false };
    let volume = client.node.create_volume(CreateVolumeRequest { name: args.name, spec: Some(spec) }).await?;
    format::write(&format!("{}\n", volume.into_inner().name))
}

/// Prints an array with one object a volume, in Docker's shape.
pub async fn inspect(host: &Host, args: InspectArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    inspect::each(args.format.as_deref(), &args.volumes, async |name| find(&mut client, name).await).await
}

/// Docker's object for the volume of a name.
pub async fn find(client: &mut Client, name: &str) -> Result<Json> {
    let volume = client.node.inspect_volume(InspectVolumeRequest { volume: name.to_owned() }).await?.into_inner();
    let options: BTreeMap<&String, &String> = volume.options.iter().collect();
    let none_if_empty = |empty: bool, value: Json| if empty { Json::Null } else { value };
    Ok(json!({
        "CreatedAt": Timestamp(volume.created_at).to_rfc3339(),
        "Driver": volume.driver,
        "Labels": none_if_empty(volume.labels.is_empty(), json!(labels(&volume))),
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": none_if_empty(options.is_empty(), json!(options)),
        "Scope": "local",
    }))
}

/// Removes volumes that no container uses.
pub async fn remove(host: &Host, args: RemoveArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let mut failures = 0;
    for volume in args.volumes {
        let request = RemoveVolumeRequest { volume: volume.clone(), force: args.force };
        match client.node.remove_volume(request).await {
            Ok(_) => format::write(&format!("{volume}\n"))?,
            Err(status) => {
                failures += 1;
                eprintln!("orca: {}", Error::from(status));
            }
        }
    }
    if failures == 0 { Ok(()) } else { Err(Error::Exit(1)) }
}
