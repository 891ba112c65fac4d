//! Images by digest: `config --resolve-image-digests` and `--lock-image-digests`.

use compose_spec::Project;
use compose_spec::node::{Node, Value};
use image::Reference;
use serde_json::json;

use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::registry;

/// Gives every image that the services name, and every image volume, the digest that its registry has for it now. Nothing is pulled.
pub async fn resolve(host: &Host, project: &mut Project) -> Result<()> {
    let mut client = Client::connect_or_start(host).await?;
    let names: Vec<String> = project.services.keys().cloned().collect();
    for (service, node) in &mut project.services {
        let of_service = |error: Error| Error::Registry(format!("service {service}: {error}"));
        if let Some(node) = node.get_mut("image") {
            pin_image(&mut client, node).await.map_err(of_service)?;
        }
        for step in node.get_mut("pre_start").and_then(Node::as_list_mut).into_iter().flatten() {
            if let Some(node) = step.get_mut("image") {
                pin_image(&mut client, node).await.map_err(of_service)?;
            }
        }
        for mount in node.get_mut("volumes").and_then(Node::as_list_mut).into_iter().flatten() {
            let of_image = mount.get("type").and_then(Node::as_str) == Some("image");
            // The source of an image volume may be a service, whose image it means.
            let is_service = |source: &Node| source.as_str().is_some_and(|name| names.iter().any(|own| own == name));
            if let Some(source) = mount.get_mut("source").filter(|source| of_image && !is_service(source)) {
                pin_image(&mut client, source).await.map_err(of_service)?;
            }
        }
    }
    Ok(())
}

/// As Docker Compose: the whole name with its tag and digest; one that has a digest already loses its tag.
async fn pin_image(client: &mut Client, node: &mut Node) -> Result<()> {
    let Some(name) = node.as_str().map(str::to_owned) else { return Ok(()) };
    let reference: Reference = name.parse().map_err(|error| Error::Registry(format!("{name}: {error}")))?;
    node.value = Value::String(match reference.digest() {
        Some(digest) => format!("{}@{digest}", reference.name()),
        None => {
            let digest = registry::digest(client, &name).await?;
            format!("{}@{digest}", reference.with_default_tag())
        }
    });
    Ok(())
}

/// An override file that has nothing but images by digest, image volumes among them.
pub fn lock(project: &Project) -> serde_json::Value {
    let of_image = |mount: &&Node| mount.get("type").and_then(Node::as_str) == Some("image");
    let locked = |node: &Node| {
        let mut service = serde_json::Map::new();
        service.extend(node.get("image").and_then(Node::as_str).map(|image| ("image".to_owned(), json!(image))));
        let mounts = node.get("volumes").and_then(Node::as_list).unwrap_or_default().iter().filter(of_image);
        let mounts: Vec<serde_json::Value> = mounts.map(Node::to_json).collect();
        if !mounts.is_empty() {
            service.insert("volumes".into(), mounts.into());
        }
        serde_json::Value::Object(service)
    };
    let mut services: Vec<_> = project.services.iter().map(|(name, node)| (name.clone(), locked(node))).collect();
    services.sort_by(|a, b| a.0.cmp(&b.0));
    json!({ "services": serde_json::Map::from_iter(services) })
}

/// Warns of what a lock cannot hold: lists of steps are joined when files are merged, so that one in it would run twice.
pub fn warn_of_steps(project: &Project) {
    let has_image = |node: &Node| {
        let steps = node.get("pre_start").and_then(Node::as_list).unwrap_or_default();
        steps.iter().any(|step| step.get("image").is_some())
    };
    for name in project.services.iter().filter(|(_, node)| has_image(node)).map(|(name, _)| name) {
        eprintln!(
            "WARNING: service {name:?}: images of pre_start are not in what --lock-image-digests prints: the whole output of \
             --resolve-image-digests has them"
        );
    }
}
