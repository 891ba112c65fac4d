//! Secrets and configs: what they hold, and where services get them as files.

use std::collections::BTreeMap;
use std::path::Path;

use model::{ConfigFile, ConfigSpec, FileTarget, SecretData, SecretFile, SecretSpec, Stack};

use super::fields::Fields;
use crate::error::Error;
use crate::files::Files;
use crate::node::Node;
use crate::project::Project;

/// Largest secret or config, in bytes (Docker's limits are 500 KiB and 1000 KiB).
const CONTENT_LIMIT: usize = 1000 * 1024;

/// Declares the secrets and configs in use. External ones must be in the store already.
pub fn declare(project: &Project, files: &dyn Files, stack: &mut Stack, errors: &mut Vec<Error>) {
    for (key, node) in &project.secrets {
        if let Some((name, labels, data, template)) = object(project, "secrets", key, node, files, errors) {
            let (stack_name, data) = (Some(project.name.clone()), SecretData::new(data));
            stack.secrets.push(SecretSpec { name, labels, stack: stack_name, data, template });
        }
    }
    for (key, node) in &project.configs {
        if let Some((name, labels, data, template)) = object(project, "configs", key, node, files, errors) {
            stack.configs.push(ConfigSpec { name, labels, stack: Some(project.name.clone()), data, template });
        }
    }
}

/// Name, labels, content, and whether that is a template.
type Object = (String, BTreeMap<String, String>, Vec<u8>, bool);

/// `None` for an external object, and for one that was refused.
fn object(
    project: &Project,
    section: &str,
    key: &str,
    node: &Node,
    files: &dyn Files,
    errors: &mut Vec<Error>,
) -> Option<Object> {
    let fields = Fields::new(node, format!("{section}.{key}"));
    let name = fields.text("name").unwrap_or_else(|| key.to_owned());
    let mut labels = fields.strings("labels");
    labels.insert("com.docker.compose.project".into(), project.name.clone());
    let external = fields.flag("external");
    let data = if external { None } else { content(project, &format!("{section}.{key}"), &fields, files, errors) };
    for key in ["driver", "driver_opts"] {
        if fields.take(key).is_some() {
            fields.refuse(key, Some("Orca keeps secrets itself, by no plug-in"), errors);
        }
    }
    let template = fields.text("template_driver");
    if template.as_ref().is_some_and(|driver| driver != "golang") {
        fields.invalid("template_driver", "there is no other than golang".to_owned(), errors);
    }
    fields.finish(errors);
    let data = data?;
    if data.len() > CONTENT_LIMIT {
        errors.push(Error::invalid(node.key, format!("{section}.{key}"), format!("larger than {CONTENT_LIMIT} bytes")));
        return None;
    }
    Some((name, labels, data, template.is_some()))
}

fn content(
    project: &Project,
    path: &str,
    fields: &Fields,
    files: &dyn Files,
    errors: &mut Vec<Error>,
) -> Option<Vec<u8>> {
    if let Some(text) = fields.text("content") {
        return Some(text.into_bytes());
    }
    if let Some(variable) = fields.text("environment") {
        let of = (path.to_owned(), variable.clone());
        let value = project.contents.get(&of).or_else(|| project.environment.get(&variable)).cloned();
        if value.is_none() {
            fields.invalid("environment", format!("environment variable {variable:?} is not set"), errors);
        }
        return value.map(String::into_bytes);
    }
    let node = fields.take("file")?;
    let path = node.as_str().unwrap_or_default();
    let reason = match files.read(Path::new(path)) {
        Ok(Some(bytes)) => return Some(bytes),
        Ok(None) => "no such file".to_owned(),
        Err(error) => error.reason,
    };
    errors.push(Error::Read { at: node.span.into(), what: "cannot read", file: path.to_owned(), reason });
    None
}

/// What a secret holds; `None` for an external one, and for one that can't be read.
pub fn held(project: &Project, key: &str, node: &Node, files: &dyn Files, errors: &mut Vec<Error>) -> Option<Vec<u8>> {
    let path = format!("secrets.{key}");
    let fields = Fields::new(node, path.clone());
    if fields.flag("external") { None } else { content(project, &path, &fields, files, errors) }
}

/// The secrets of a service.
pub fn secret_files(project: &Project, fields: &Fields) -> Vec<SecretFile> {
    mounts(&project.secrets, fields, "secrets", "/run/secrets/")
        .map(|(secret, file, template)| SecretFile { secret, id: None, template, file })
        .collect()
}

/// The configs of a service.
pub fn config_files(project: &Project, fields: &Fields) -> Vec<ConfigFile> {
    mounts(&project.configs, fields, "configs", "/")
        .map(|(config, file, template)| ConfigFile { config, id: None, template, file })
        .collect()
}

/// Name in the store, place in the container, and whether it is a template; a relative target is below `directory`.
fn mounts<'a>(
    objects: &'a crate::node::Map,
    fields: &Fields<'a>,
    key: &'static str,
    directory: &'a str,
) -> impl Iterator<Item = (String, FileTarget, bool)> + 'a {
    fields.list(key).iter().map(move |node| {
        let text = |field: &str| node.get(field).and_then(Node::as_str);
        let source = text("source").unwrap_or_default();
        let object = objects.get(source);
        let template = object.is_some_and(|object| object.get("template_driver").is_some());
        let name = object.and_then(|object| object.get("name")).and_then(Node::as_str).unwrap_or(source);
        let target = text("target").unwrap_or(source);
        let path = if target.starts_with('/') { target.to_owned() } else { format!("{directory}{target}") };
        // The canonical form of a mode is an octal string of at most four digits.
        let mode = text("mode").and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or(0o444);
        let owner = |field: &str| text(field).unwrap_or("0").to_owned();
        (name.to_owned(), FileTarget { path, uid: owner("uid"), gid: owner("gid"), mode }, template)
    })
}
