//! `orca rmi`.

use api::node::RemoveImageRequest;
use clap::Args;

use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;

/// Arguments of `orca rmi`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Remove all its names, and an image that ended containers still refer to
    #[arg(short, long)]
    force: bool,
    /// Images
    #[arg(required = true)]
    images: Vec<String>,
}

/// Removes names, and images that have none left.
pub async fn remove(host: &Host, args: RemoveArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let mut failures = 0;
    for image in args.images {
        match client.node.remove_image(RemoveImageRequest { image, force: args.force }).await {
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
