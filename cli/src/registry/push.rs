//! `orca push`.

use api::image::PushRequest;
use clap::Args;

use super::{Bars, credentials, parse};
use crate::client::{Client, Host};
use crate::error::Result;
use crate::output::format;

/// Arguments of `orca push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Every tag that the repository has here
    #[arg(short, long)]
    all_tags: bool,
    /// Only if the image is of this platform
    #[arg(long)]
    platform: Option<String>,
    /// Only print the image's name
    #[arg(short, long)]
    quiet: bool,
    /// NAME[:TAG]
    image: String,
}

/// Pushes an image.
pub async fn push(host: &Host, args: PushArgs) -> Result<()> {
    let reference = parse(&args.image)?;
    let with_tag = reference.tag().is_none() && !args.all_tags;
    let mut client = Client::connect(host).await?;
    let mut bars = Bars::stdout(args.quiet, true);
    if with_tag {
        bars.say("Using default tag: latest");
    }
    let request = PushRequest {
        credentials: credentials(&reference)?,
        reference: args.image,
        all_tags: args.all_tags,
        platform: args.platform,
    };
    bars.follow(client.images.push(request).await?.into_inner()).await?;
    if args.quiet {
        let name = if args.all_tags { reference } else { reference.with_default_tag() };
        format::write(&format!("{name}\n"))?;
    }
    Ok(())
}

/// Pushes `image` and tells of it on standard error.
pub async fn push_image(client: &mut Client, image: &str, quiet: bool) -> Result<()> {
    let credentials = credentials(&parse(image)?)?;
    let request = PushRequest { reference: image.to_owned(), all_tags: false, credentials, platform: None };
    let mut bars = Bars::stderr(quiet);
    bars.follow(client.images.push(request).await?.into_inner()).await?;
    Ok(())
}
