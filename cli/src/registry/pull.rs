//! `orca pull`.

use api::image::{PullRequest, ResolveRequest};
use clap::Args;

use super::{Bars, credentials, parse};
use crate::client::{Client, Host};
use crate::error::Result;
use crate::output::format;

/// Arguments of `orca pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// Every tag of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Which platform of a multi-platform image
    #[arg(long, env = "DOCKER_DEFAULT_PLATFORM")]
    platform: Option<String>,
    /// Only print the image's name
    #[arg(short, long)]
    quiet: bool,
    /// NAME[:TAG|@DIGEST]
    image: String,
}

/// Pulls an image.
pub async fn pull(host: &Host, args: PullArgs) -> Result<()> {
    let reference = parse(&args.image)?;
    let with_tag = reference.tag().is_none() && reference.digest().is_none() && !args.all_tags;
    let mut client = Client::connect_or_start(host).await?;
    let mut bars = Bars::stdout(args.quiet, false);
    if with_tag {
        bars.say("Using default tag: latest");
    }
    let request = PullRequest {
        reference: args.image,
        platform: args.platform,
        all_tags: args.all_tags,
        credentials: credentials(&reference)?,
    };
    pull_with(&mut client, request, &mut bars).await?;
    let name = if args.all_tags { reference } else { reference.with_default_tag() };
    format::write(&format!("{name}\n"))
}

/// Pulls `image` and tells of it on standard error.
pub async fn pull_image(client: &mut Client, image: &str, platform: Option<&str>, quiet: bool) -> Result<()> {
    let request = pull_request(image, platform.map(str::to_owned))?;
    pull_with(client, request, &mut Bars::stderr(quiet)).await
}

/// What a daemon is asked to pull `image`, with who one is at its registry.
pub fn pull_request(image: &str, platform: Option<String>) -> Result<PullRequest> {
    let credentials = credentials(&parse(image)?)?;
    Ok(PullRequest { reference: image.to_owned(), platform, all_tags: false, credentials })
}

/// The digest under which its registry has `image` now; nothing is pulled.
pub async fn digest(client: &mut Client, image: &str) -> Result<String> {
    let request =
        ResolveRequest { reference: image.to_owned(), credentials: credentials(&parse(image)?)?, cluster: false };
    Ok(client.images.resolve(request).await?.into_inner().digest)
}

async fn pull_with(client: &mut Client, request: PullRequest, bars: &mut Bars) -> Result<()> {
    let reference = parse(&request.reference)?;
    let name = if request.all_tags { reference } else { reference.with_default_tag() };
    let done = bars.follow(client.images.pull(request).await?.into_inner()).await?;
    let what = if done.iter().any(|tag| tag.changed) { "Downloaded newer image" } else { "Image is up to date" };
    bars.say(&format!("Status: {what} for {}", name.familiar()));
    Ok(())
}
