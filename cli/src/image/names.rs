//! `orca tag`.

use api::image::TagRequest;
use clap::Args;

use crate::client::{Client, Host};
use crate::error::Result;

/// Arguments of `orca tag`.
#[derive(Debug, Args)]
pub struct TagArgs {
    /// An image
    source: String,
    /// Its further name: NAME[:TAG]
    target: String,
}

/// Gives an image another name.
pub async fn tag(host: &Host, args: TagArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    client.images.tag(TagRequest { source: args.source, target: args.target }).await?;
    Ok(())
}
