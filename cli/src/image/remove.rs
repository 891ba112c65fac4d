//! `orca rmi`.

use api::node::RemoveImageRequest;
use clap::Args;

use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;

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
