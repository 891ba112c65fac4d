//! Images: the node's own rpcs here; `orca.image.v1.Images` in [`server`], with [`names`], [`save`] and [`registry`].

mod names;
mod registry;
mod save;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::node as wire;
use image::catalog::Removal;
use image::manifest::Platform;
use image::store::{ImageDetails, ImportOptions};
use image::{Reference, Store};
use tonic::{Status, Streaming};

pub use names::until;
pub use server::{ImagesService, Outgoing};

use super::upload::Upload;
use super::{NodeService, blocking};
use crate::containers::Containers;
use crate::events::Kind;
use crate::logs::parse_rfc3339;
use crate::{Error, Result, clock};

fn now_seconds() -> i64 {
    clock::wall().0.div_euclid(1_000_000_000)
}

fn platform(text: Option<&str>) -> Result<Option<Platform>> {
    Ok(text.filter(|text| !text.is_empty()).map(str::parse).transpose()?)
}

pub async fn import_image(
    service: &NodeService,
    mut stream: Streaming<wire::ImportImageRequest>,
) -> Result<wire::ImportImageReply, Status> {
    use wire::import_image_request::Part;
    let Some(Part::Header(header)) = stream.message().await?.and_then(|message| message.part) else {
        return Err(Status::invalid_argument("the first message of an import must be its header"));
    };
    let name = header.reference.filter(|name| !name.is_empty());
    let options = ImportOptions {
        name: name.map(|name| name.parse::<Reference>()).transpose().map_err(Error::from)?,
        changes: header.changes,
        message: header.message,
        platform: platform(header.platform.as_deref())?,
        source: "-".into(),
        now: now_seconds(),
    };
    let upload = Upload::of(stream, |message: wire::ImportImageRequest| match message.part? {
        Part::Chunk(chunk) => Some(chunk),
        Part::Header(_) => None,
    });
    let store = service.containers().images().clone();
    let name = options.name.as_ref().map(ToString::to_string);
    let id = blocking("importing an image", move || Ok(store.import(upload, &options)?)).await?;
    tell(service, "import", &id.to_string(), name);
    Ok(wire::ImportImageReply { id: id.to_string() })
}

pub async fn load_image(
    service: &NodeService,
    mut stream: Streaming<wire::LoadImageRequest>,
) -> Result<wire::LoadImageReply, Status> {
    use wire::load_image_request::Part;
    let Some(Part::Header(header)) = stream.message().await?.and_then(|message| message.part) else {
        return Err(Status::invalid_argument("the first message of a load must be its header"));
    };
    let platform = platform(header.platform.as_deref())?.unwrap_or_else(Platform::host);
    let upload = Upload::of(stream, |message: wire::LoadImageRequest| match message.part? {
        Part::Chunk(chunk) => Some(chunk),
        Part::Header(_) => None,
    });
    let store = service.containers().images().clone();
    let loaded = blocking("loading images", move || Ok(store.load(upload, &platform, now_seconds())?)).await?;
    let name =
        |image: image::store::Loaded| if image.names.is_empty() { vec![image.id.to_string()] } else { image.names };
    for image in &loaded {
        tell(service, "load", &image.id.to_string(), image.names.first().cloned());
    }
    Ok(wire::LoadImageReply { loaded: loaded.into_iter().flat_map(name).collect() })
}

/// Tells users what has become of an image.
pub fn tell(service: &NodeService, action: &str, id: &str, name: Option<String>) {
    let name = name.unwrap_or_else(|| id.to_owned());
    service.containers().events().record(Kind::Image, action, id, &[("name", name)]);
}

/// Every image is shown whole; there are no intermediate ones that only `all` would show.
pub async fn list_images(
    service: &NodeService,
    request: wire::ListImagesRequest,
) -> Result<wire::ListImagesReply, Status> {
    let wanted = request.reference.filter(|text| !text.is_empty());
    let wanted = wanted.map(|text| text.parse::<Reference>()).transpose().map_err(Error::from)?;
    let users = users(service.containers());
    let store = service.containers().images().clone();
    let mut images = blocking("listing images", move || {
        let fits =
            |names: &[String]| wanted.as_ref().is_none_or(|wanted| names.iter().any(|name| is_named(name, wanted)));
        let listed = store.list()?.into_iter().filter(|summary| fits(&summary.repo_tags));
        listed.map(|summary| describe(&store, &summary.id.to_string(), &users)).collect::<Result<Vec<_>>>()
    })
    .await?;
    images.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
    Ok(wire::ListImagesReply { images })
}

/// Whether `name` is the wanted one, or of the wanted repository if that has no tag.
fn is_named(name: &str, wanted: &Reference) -> bool {
    let Ok(name) = name.parse::<Reference>() else { return false };
    name.name() == wanted.name() && wanted.tag().is_none_or(|tag| name.tag() == Some(tag))
}

pub async fn inspect_image(service: &NodeService, request: wire::InspectImageRequest) -> Result<wire::Image, Status> {
    let users = users(service.containers());
    let store = service.containers().images().clone();
    Ok(blocking("reading an image", move || describe(&store, &request.image, &users)).await?)
}

/// How many containers use each image.
fn users(containers: &Containers) -> BTreeMap<String, u32> {
    let mut users = BTreeMap::new();
    for container in containers.list() {
        *users.entry(container.image_id).or_default() += 1;
    }
    users
}

fn describe(store: &Arc<Store>, text: &str, users: &BTreeMap<String, u32>) -> Result<wire::Image> {
    let image = store.get(text)?;
    let details: ImageDetails = store.inspect(&image.id.to_string())?;
    let id = image.id.to_string();
    let config = serde_json::to_string(&image.config);
    let reason =
        |error: serde_json::Error| image::Error::InvalidDocument { what: id.clone(), reason: error.to_string() };
    Ok(wire::Image {
        containers: users.get(&id).copied().unwrap_or_default(),
        references: details.repo_tags,
        digests: details.repo_digests,
        created_at: parse_rfc3339(details.created.as_bytes()).unwrap_or_default().0,
        size: details.size,
        architecture: details.architecture,
        os: details.os,
        config_json: config.map_err(reason)?,
        tagged_at: parse_rfc3339(details.metadata.last_tag_time.as_bytes()).unwrap_or_default().0,
        layer_sizes: details.layer_sizes,
        layers: details.root_fs.layers.iter().map(ToString::to_string).collect(),
        id,
    })
}

/// Removes by Docker's rules, and the content that nothing holds any more.
pub async fn remove_image(
    service: &NodeService,
    request: wire::RemoveImageRequest,
) -> Result<wire::RemoveImageReply, Status> {
    let wanted = platform(request.platform.as_deref())?;
    let containers = service.containers().clone();
    let removals = blocking("removing an image", move || {
        let store = containers.images();
        if let Some(wanted) = wanted {
            store.check_platform(&request.image, &wanted)?;
        }
        Ok(store.remove(&request.image, request.force, || containers.image_users())?)
    })
    .await?;
    for removal in &removals {
        match removal {
            Removal::Untagged(name) => tell(service, "untag", name, Some(name.clone())),
            Removal::Deleted(id) => tell(service, "delete", &id.to_string(), None),
        }
    }
    let mut reply = wire::RemoveImageReply::default();
    for removal in removals {
        match removal {
            Removal::Untagged(name) => reply.untagged.push(name),
            Removal::Deleted(id) => reply.deleted.push(id.to_string()),
        }
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_without_a_tag_names_all_of_them() {
        let wanted = |text: &str| text.parse::<Reference>().unwrap();
        assert!(is_named("busybox:1.36", &wanted("busybox")));
        assert!(is_named("busybox:1.36", &wanted("docker.io/library/busybox:1.36")));
        assert!(!is_named("busybox:1.36", &wanted("busybox:latest")));
        assert!(!is_named("busybox:1.36", &wanted("example.org/busybox")));
        assert!(!is_named("", &wanted("busybox")));
    }
}
