//! `orca inspect`: an object of whatever kind has the name.

use clap::Args;
use serde_json::Value as Json;

use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;
use crate::{container, image, network, volume};

/// Arguments of `orca inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// json, or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// How much containers have written
    #[arg(short, long)]
    size: bool,
    /// Only objects of this kind: container, image, network, volume
    #[arg(long = "type", value_name = "KIND")]
    kind: Option<String>,
    /// Names or ids
    #[arg(required = true)]
    names: Vec<String>,
}

/// The kinds, in the order in which a name is looked for.
const KINDS: &[&str] = &["container", "image", "network", "volume"];

/// Kinds of Docker's that a node has none of yet.
const LATER: &[&str] = &["config", "node", "plugin", "secret", "service", "task"];

/// Prints an array with one object a name; what is not found is told on standard error.
pub async fn inspect(host: &Host, args: InspectArgs) -> Result<()> {
    let kinds: Vec<&'static str> = match args.kind.as_deref() {
        None | Some("") => KINDS.to_vec(),
        Some(kind) if KINDS.contains(&kind) => KINDS.iter().copied().filter(|own| *own == kind).collect(),
        Some(kind) => {
            let later = LATER.contains(&kind);
            let reason =
                format!("{} {}", if later { "not supported yet: there are" } else { "there are" }, KINDS.join(", "));
            return Err(Error::Flag { flag: "--type", value: kind.to_owned(), reason });
        }
    };
    let mut client = Client::connect(host).await?;
    each(args.format.as_deref(), &args.names, async |name| {
        for kind in &kinds {
            let found = match *kind {
                "container" => container::inspect::find(&mut client, name, args.size).await,
                "image" => image::find(&mut client, name).await,
                "network" => network::find(&mut client, name).await,
                _ => volume::find(&mut client, name).await,
            };
            match found {
                Err(Error::Daemon { missing: true, .. }) => {}
                found => return found,
            }
        }
        let kind = if let [kind] = kinds[..] { kind } else { "object" };
        Err(Error::NotFound { kind, name: name.to_owned() })
    })
    .await
}

/// Prints the objects that a function finds by these names, and tells of each that it does not find.
pub async fn each<F>(format: Option<&str>, names: &[String], mut find: F) -> Result<()>
where
    F: AsyncFnMut(&str) -> Result<Json>,
{
    format::check(format)?;
    let mut found = Vec::new();
    let mut failures = 0;
    for name in names {
        match find(name).await {
            Ok(object) => found.push(object),
            Err(error) => {
                failures += 1;
                eprintln!("orca: {error}");
            }
        }
    }
    format::print_inspected(format, &found)?;
    if failures == 0 { Ok(()) } else { Err(Error::Exit(1)) }
}
