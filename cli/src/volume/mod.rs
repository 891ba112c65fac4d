//! `orca volume ls|create|inspect|rm`.

use api::node::{CreateVolumeRequest, InspectVolumeRequest, ListVolumesRequest, RemoveVolumeRequest, Volume};
use api::types::VolumeSpec;
use clap::Args;
use model::Timestamp;
use serde_json::{Value, json};

use crate::client::{Client, Host};
use crate::container::flags;
use crate::error::{Error, Result};
use crate::output::format::{self, Format};
use crate::output::table::Table;

/// Arguments of `orca volume ls`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only names
    #[arg(short, long)]
    quiet: bool,
    /// table or json
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
}

/// Arguments of `orca volume create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Label: KEY[=VALUE]
    #[arg(long)]
    label: Vec<String>,
    /// Option of the local driver: type, o, device
    #[arg(short, long = "opt", value_name = "KEY=VALUE")]
    opt: Vec<String>,
    /// Name
    name: Option<String>,
}

/// Volumes by name.
#[derive(Debug, Args)]
pub struct Names {
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

/// Lists volumes by name.
pub async fn list(host: &Host, args: ListArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let mut volumes = client.node.list_volumes(ListVolumesRequest::default()).await?.into_inner().volumes;
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    let names = args.quiet.then(|| volumes.iter().map(|volume| volume.name.clone()).collect());
    let json = || volumes.iter().map(row).collect();
    let table = || {
        let mut table = Table::new(&["DRIVER", "VOLUME NAME"]);
        for volume in &volumes {
            table.row([volume.driver.clone(), volume.name.clone()]);
        }
        table
    };
    format::print(args.format, names, json, table)
}

fn row(volume: &Volume) -> Value {
    let labels: Vec<String> = volume.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    json!({
        "Availability": "N/A",
        "Driver": volume.driver,
        "Group": "N/A",
        "Labels": labels.join(","),
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
    let mut client = Client::connect_or_start(host).await?;
    let spec =
        VolumeSpec { labels: flags::labels(&args.label), driver_opts: flags::labels(&args.opt), external: false };
    let volume = client.node.create_volume(CreateVolumeRequest { name: args.name, spec: Some(spec) }).await?;
    format::write(&format!("{}\n", volume.into_inner().name))
}

/// Prints an array with one object a volume, in Docker's shape.
pub async fn inspect(host: &Host, args: Names) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let mut found = Vec::new();
    let mut failures = 0;
    for volume in args.volumes {
        match client.node.inspect_volume(InspectVolumeRequest { volume }).await {
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

fn describe(volume: &Volume) -> Value {
    json!({
        "CreatedAt": Timestamp(volume.created_at).to_rfc3339(),
        "Driver": volume.driver,
        "Labels": volume.labels,
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
    })
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
