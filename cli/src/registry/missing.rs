//! `--pull`: images that a container or a service needs and the node may lack.

use api::node::{CreateContainerReply, CreateContainerRequest, InspectImageRequest};
use clap::{Args, ValueEnum};
use tonic::Code;

use super::pull_image;
use crate::client::Client;
use crate::error::{Error, Result};

/// When to pull.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// Before every use
    Always,
    /// When the node doesn't have it
    #[default]
    Missing,
    /// Never
    Never,
}

/// The flags of `run` and `create` that concern pulling.
#[derive(Debug, Clone, Args)]
pub struct PullFlags {
    /// Pull the image before: always, missing, never
    #[arg(long = "pull", value_enum, default_value_t, value_name = "POLICY", hide_possible_values = true)]
    policy: Policy,
    /// Platform of the image, such as linux/arm64
    #[arg(long, env = "DOCKER_DEFAULT_PLATFORM")]
    platform: Option<String>,
    /// Do not show how a pull comes along
    #[arg(short, long)]
    quiet: bool,
}

/// What a daemon's answer begins with when it lacks an image.
const NO_SUCH_IMAGE: &str = "No such image: ";

/// Makes a container, with its image pulled as the flags say.
pub async fn create(
    client: &mut Client,
    request: CreateContainerRequest,
    flags: &PullFlags,
) -> Result<CreateContainerReply> {
    let image = request.spec.as_ref().map(|spec| spec.image.clone()).unwrap_or_default();
    let platform = flags.platform.as_deref();
    if flags.policy == Policy::Always || !has_platform(client, &image, flags).await? {
        pull_image(client, &image, platform, flags.quiet).await?;
        return Ok(client.node.create_container(request).await?.into_inner());
    }
    match client.node.create_container(request.clone()).await {
        Ok(reply) => Ok(reply.into_inner()),
        Err(status) if flags.policy == Policy::Missing && lacks_image(&status) && could_be_pulled(&image) => {
            if !flags.quiet {
                eprintln!("Unable to find image '{}' locally", familiar(&image));
            }
            pull_image(client, &image, platform, flags.quiet).await?;
            Ok(client.node.create_container(request).await?.into_inner())
        }
        Err(status) if lacks_image(&status) => Err(misnamed(&image).unwrap_or_else(|| status.into())),
        Err(status) => Err(status.into()),
    }
}

/// What is wrong with a name that is neither an id nor any image's.
fn misnamed(image: &str) -> Option<Error> {
    let id = image.strip_prefix("sha256:").unwrap_or(image);
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let wrong = image.parse::<image::Reference>().err().filter(|_| !is_id)?;
    Some(Error::Registry(wrong.to_string()))
}

/// Whether the image that is here, if any, is of the platform that was asked for.
async fn has_platform(client: &mut Client, image: &str, flags: &PullFlags) -> Result<bool> {
    let Some(text) = &flags.platform else { return Ok(true) };
    let wanted: image::manifest::Platform = text.parse().map_err(|error: image::Error| Error::Flag {
        flag: "--platform",
        value: text.clone(),
        reason: error.to_string(),
    })?;
    let Some(found) = find(client, image).await? else { return Ok(true) };
    if wanted.os == found.os && wanted.architecture == found.architecture {
        return Ok(true);
    }
    if flags.policy == Policy::Never {
        let (os, architecture) = (found.os, found.architecture);
        return Err(Error::Registry(format!("image {image} is for {os}/{architecture}, not for {wanted}")));
    }
    Ok(false)
}

/// The image, if the node has it.
pub async fn find(client: &mut Client, image: &str) -> Result<Option<api::node::Image>> {
    match client.node.inspect_image(InspectImageRequest { image: image.to_owned() }).await {
        Ok(reply) => Ok(Some(reply.into_inner())),
        Err(status) if lacks_image(&status) => Ok(None),
        Err(status) => Err(status.into()),
    }
}

fn lacks_image(status: &tonic::Status) -> bool {
    status.code() == Code::NotFound && status.message().starts_with(NO_SUCH_IMAGE)
}

/// An id is no name that a registry knows.
fn could_be_pulled(image: &str) -> bool {
    image.parse::<image::Reference>().is_ok()
}

fn familiar(image: &str) -> String {
    image.parse::<image::Reference>().map_or_else(|_| image.to_owned(), |name| name.with_default_tag().familiar())
}
