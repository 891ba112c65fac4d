//! `orca image inspect`, in Docker's JSON shape.

use std::collections::BTreeSet;

use api::node::{Image, InspectImageRequest};
use clap::Args;
use model::Timestamp;
use serde_json::{Map, Value as Json, json};

use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::inspect;

/// Arguments of `orca image inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// json, or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// Only if the image is of this platform: OS[/ARCHITECTURE[/VARIANT]]
    #[arg(long)]
    platform: Option<::image::manifest::Platform>,
    /// Images
    #[arg(required = true)]
    images: Vec<String>,
}

/// Prints an array with one object an image.
pub async fn inspect(host: &Host, args: InspectArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    inspect::each(args.format.as_deref(), &args.images, async |name| {
        let image = find(&mut client, name).await?;
        check(&image, name, args.platform.as_ref())?;
        Ok(image)
    })
    .await
}

/// An image here is of one platform.
fn check(image: &Json, name: &str, wanted: Option<&::image::manifest::Platform>) -> Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    let part = |key: &str| image.get(key).and_then(Json::as_str).unwrap_or_default();
    let variant = wanted.variant.as_deref().unwrap_or_default();
    let fits = (part("Os"), part("Architecture")) == (wanted.os.as_str(), wanted.architecture.as_str())
        && (variant.is_empty() || variant == part("Variant"));
    if fits {
        return Ok(());
    }
    let has = format!("{}/{}", part("Os"), part("Architecture"));
    Err(Error::NotFound { kind: "image", name: format!("{name} of platform {wanted} (it is of {has})") })
}

/// Docker's object for the image of a name.
pub async fn find(client: &mut Client, name: &str) -> Result<Json> {
    let request = InspectImageRequest { image: name.to_owned() };
    Ok(describe(&client.node.inspect_image(request).await?.into_inner()))
}

/// In Docker's order.
fn describe(image: &Image) -> Json {
    let document: Json = serde_json::from_str(&image.config_json).unwrap_or_default();
    let text = |key: &str| document.get(key).and_then(Json::as_str).unwrap_or_default();
    let last = document.get("history").and_then(Json::as_array).and_then(|history| history.last());
    let of_history = last.and_then(|last| last.get("comment")).and_then(Json::as_str).unwrap_or_default();
    let comment = if text("comment").is_empty() { of_history } else { text("comment") };
    let mut object = Map::new();
    let mut set = |name: &str, value: Json| {
        object.insert(name.to_owned(), value);
    };
    set("Id", json!(image.id));
    set("RepoTags", json!(image.references));
    set("RepoDigests", json!(image.digests.iter().collect::<BTreeSet<_>>()));
    set("Parent", json!(""));
    set("Comment", json!(comment));
    set("Created", json!(Timestamp(image.created_at).to_rfc3339()));
    set("DockerVersion", json!(text("docker_version")));
    set("Author", json!(text("author")));
    set("Config", document.get("config").cloned().unwrap_or_default());
    set("Architecture", json!(image.architecture));
    if !text("variant").is_empty() {
        set("Variant", json!(text("variant")));
    }
    set("Os", json!(image.os));
    set("Size", json!(image.size));
    set("GraphDriver", json!({ "Data": null, "Name": "overlay2" }));
    set("RootFS", json!({ "Type": "layers", "Layers": image.layers }));
    let tagged = match image.tagged_at {
        0 => "0001-01-01T00:00:00Z".to_owned(),
        at => Timestamp(at).to_rfc3339(),
    };
    set("Metadata", json!({ "LastTagTime": tagged }));
    Json::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_dockers_in_its_order() {
        let config = r#"{"author":"me","variant":"v8","config":{"Cmd":["sh"]},"history":[{"comment":"imported"}]}"#;
        let image = Image { id: "sha256:a".into(), config_json: config.into(), ..Default::default() };
        let object = describe(&image);
        let keys: Vec<&String> = object.as_object().unwrap().keys().collect();
        let expected = "Id RepoTags RepoDigests Parent Comment Created DockerVersion Author Config Architecture Variant Os Size \
                        GraphDriver RootFS Metadata";
        assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
        assert_eq!((&object["Comment"], &object["Config"]["Cmd"][0]), (&json!("imported"), &json!("sh")));
    }
}
