//! `orca secret rm` and `orca config rm`.

use api::control::{RemoveConfigRequest, RemoveSecretRequest};

use super::{Content, Kind, all, find, several};
use crate::client::{Client, Host};
use crate::error::Result;
use crate::output::format;

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which: names or ids
    #[arg(required = true)]
    names: Vec<String>,
}

/// Removes those that no service has, and prints their names as they were given.
pub async fn remove(host: &Host, kind: Kind, args: Args) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let all = all(&mut client, kind).await?;
    let mut failed = Vec::new();
    for name in &args.names {
        let removed = match find(kind, &all, name) {
            Ok(content) => remove_one(&mut client, kind, content).await,
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => format::write(&format!("{name}\n"))?,
            Err(error) => failed.push(error.to_string()),
        }
    }
    several(failed)
}

async fn remove_one(client: &mut Client, kind: Kind, content: &Content) -> Result<()> {
    let (id, seen) = (content.id.clone(), content.meta.version);
    match kind {
        Kind::Secret => client.control.remove_secret(RemoveSecretRequest { secret: id, seen }).await.map(drop)?,
        Kind::Config => client.control.remove_config(RemoveConfigRequest { config: id, seen }).await.map(drop)?,
    }
    Ok(())
}
