//! Images by digest: `config --resolve-image-digests` and `--lock-image-digests`.

use compose_spec::Project;
use compose_spec::node::{Node, Value};
use image::Reference;
use serde_json::json;

use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::registry;

/// Gives every image that the services name, and every image volume, its digest. The node knows it, once it has the image:
/// what it lacks is pulled.
pub async fn resolve(host: &Host, project: &mut Project) -> Result<()> {
    let mut client = Client::connect_or_start(host).await?;
    let names: Vec<String> = project.services.keys().cloned().collect();
    for service in project.services.values_mut() {
        if let Some(node) = service.get_mut("image") {
            pin_image(&mut client, node).await?;
        }
        for mount in service.get_mut("volumes").and_then(Node::as_list_mut).into_iter().flatten() {
            let of_image = mount.get("type").and_then(Node::as_str) == Some("image");
            // The source of an image volume may be a service, whose image it means.
            let is_service = |source: &Node| source.as_str().is_some_and(|name| names.iter().any(|own| own == name));
            if let Some(source) = mount.get_mut("source").filter(|source| of_image && !is_service(source)) {
                pin_image(&mut client, source).await?;
            }
        }
    }
    Ok(())
}

async fn pin_image(client: &mut Client, node: &mut Node) -> Result<()> {
    let Some(name) = node.as_str().map(str::to_owned) else { return Ok(()) };
    if name.contains('@') {
        return Ok(());
    }
    let reference: Reference = name.parse().map_err(|error| Error::Registry(format!("{name}: {error}")))?;
    let mut found = registry::find(client, &name).await?;
    if found.as_ref().is_none_or(|found| digest(found, &reference).is_none()) {
        registry::pull_image(client, &name, None, true).await?;
        found = registry::find(client, &name).await?;
    }
    let Some(digest) = found.as_ref().and_then(|found| digest(found, &reference)) else {
        return Err(Error::Registry(format!("{name} has no digest: no registry knows it yet; push it first")));
    };
    node.value = Value::String(format!("{name}@{digest}"));
    Ok(())
}

/// The digest under which the image's own repository has it.
fn digest(image: &api::node::Image, reference: &Reference) -> Option<String> {
    let named = image.digests.iter().filter_map(|named| Some((named.split_once('@')?.0, named.split_once('@')?.1)));
    let same = |name: &str| {
        name.parse::<Reference>()
            .is_ok_and(|name| (name.domain(), name.path()) == (reference.domain(), reference.path()))
    };
    named.into_iter().find(|(name, _)| same(name)).map(|(_, digest)| digest.to_owned())
}

/// An override file that has nothing but images by digest.
pub fn lock(project: &Project) -> serde_json::Value {
    let image = |node: &Node| json!({ "image": node.get("image").and_then(Node::as_str) });
    let services = project.services.iter().filter(|(_, node)| node.get("image").is_some());
    let mut services: Vec<_> = services.map(|(name, node)| (name.clone(), image(node))).collect();
    services.sort_by(|a, b| a.0.cmp(&b.0));
    json!({ "services": serde_json::Map::from_iter(services) })
}
