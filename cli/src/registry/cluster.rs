//! Images of services: which digest a name means for every node of the cluster.

use api::image::ResolveRequest;
use clap::ValueEnum;
use image::Reference;
use model::ServiceSpec;

use super::credentials;
use crate::client::Client;
use crate::error::{Error, Result};

/// When a service's image gets the digest that its name means now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ResolveImage {
    /// Whenever the service is declared
    #[default]
    Always,
    /// When its image is another one than before
    Changed,
    /// Never: each node takes what it has under the name
    Never,
}

/// Gives the images of services the digests that they mean, so that all nodes run the same. `before` are the services as they are.
pub async fn pin_images(
    client: &mut Client,
    services: &mut [ServiceSpec],
    before: &[ServiceSpec],
    when: ResolveImage,
) -> Result<()> {
    if when == ResolveImage::Never {
        return Ok(());
    }
    for service in services {
        let known = before.iter().find(|known| known.name == service.name).map(|known| known.container.image.as_str());
        let kept = known.filter(|known| when == ResolveImage::Changed && is_same(known, &service.container.image));
        service.container.image = match kept {
            Some(kept) => kept.to_owned(),
            None => in_cluster(client, &service.container.image).await?,
        };
    }
    Ok(())
}

/// The whole name of an image with the digest that it means for the cluster; an id, which has none, as it is.
pub async fn in_cluster(client: &mut Client, image: &str) -> Result<String> {
    let Ok(name) = image.parse::<Reference>() else { return Ok(image.to_owned()) };
    if name.digest().is_some() {
        return Ok(image.to_owned());
    }
    let credentials = credentials(&name)?;
    let request = ResolveRequest { reference: image.to_owned(), credentials, cluster: true };
    let digest = client.images.resolve(request).await?.into_inner().digest;
    let digest = digest.parse().map_err(|error: image::Error| Error::Registry(error.to_string()))?;
    Ok(format!("{}@{}", name.with_default_tag().familiar(), image::Digest::to_string(&digest)))
}

/// Whether a pinned name is what somebody wrote without a digest.
fn is_same(pinned: &str, written: &str) -> bool {
    let name = |text: &str| text.parse::<Reference>().map(|name| name.with_default_tag().to_string());
    let (Some((before, _)), Ok(written)) = (pinned.split_once('@'), name(written)) else { return false };
    name(before).is_ok_and(|before| before == written)
}

/// An image as lists show it: where it has a tag, without the digest that it was given.
pub fn shown(image: &str) -> &str {
    match image.split_once('@') {
        Some((name, _)) if name.rsplit('/').next().is_some_and(|last| last.contains(':')) => name,
        _ => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinned_names_are_compared_and_shown_without_their_digests() {
        let pinned = format!("shop:latest@sha256:{}", "a".repeat(64));
        assert!(is_same(&pinned, "shop") && is_same(&pinned, "docker.io/library/shop:latest"));
        assert!(!is_same(&pinned, "shop:2") && !is_same("shop:latest", "shop"));
        assert_eq!((shown(&pinned), shown("shop"), shown("r:5000/shop@x")), ("shop:latest", "shop", "r:5000/shop@x"));
    }
}
