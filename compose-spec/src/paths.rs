//! Relative paths in a model become absolute, against the directory of the project or of the file that holds them.

use std::path::Path as FilePath;

use crate::files::{Files, join, text};
use crate::node::{Map, Node, Value};
use crate::publish::is_remote;

/// What relative paths are relative to.
#[derive(Clone, Copy)]
pub struct Base<'a> {
    /// The project's directory.
    pub directory: &'a FilePath,
    /// What `~` means, if known.
    pub home: Option<&'a str>,
    /// Where symbolic links are known.
    pub files: &'a dyn Files,
}

impl Base<'_> {
    /// The absolute form of a path; an empty one is the directory itself.
    pub fn absolute(&self, path: &str) -> String {
        let expanded = match (path.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) => text(&join(FilePath::new(home), rest.trim_start_matches('/'))),
            _ => path.to_owned(),
        };
        if expanded.starts_with('/') || windows_absolute(&expanded) {
            return expanded;
        }
        text(&join(self.directory, &expanded))
    }

    fn node(&self, node: Option<&mut Node>) {
        if let Some(Node { value: Value::String(path), .. }) = node {
            *path = self.absolute(path);
        }
    }

    /// As `node`, but an empty path stays empty.
    fn unless_empty(&self, node: Option<&mut Node>) {
        self.node(node.filter(|node| node.as_str() != Some("")));
    }

    /// A build context, unless it is a URL or names a service or an image.
    fn context(&self, node: Option<&mut Node>) {
        let Some(node) = node else { return };
        let remote = ["https://", "http://", "git://", "ssh://", "github.com/", "git@", "service:"];
        let elsewhere = node
            .as_str()
            .is_some_and(|path| path.contains("://") || remote.iter().any(|prefix| path.starts_with(prefix)));
        if !elsewhere {
            self.unless_empty(Some(node));
        }
    }
}

fn windows_absolute(path: &str) -> bool {
    let mut chars = path.chars();
    let drive = chars.next().is_some_and(char::is_alphabetic) && chars.next() == Some(':');
    (drive && matches!(chars.next(), Some('\\' | '/'))) || path.starts_with("\\\\")
}

/// Resolves every path of a canonical model.
pub fn resolve(model: &mut Node, base: Base) {
    let Some(top) = model.as_map_mut() else { return };
    for service in entries(top, "services") {
        self::service(service, base);
    }
    for section in ["configs", "secrets"] {
        for resource in entries(top, section) {
            base.node(resource.get_mut("file"));
        }
    }
    for volume in entries(top, "volumes") {
        let local = volume.get("driver").and_then(Node::as_str) == Some("local");
        if let Some(options) = volume.get_mut("driver_opts").filter(|_| local)
            && options.get("o").and_then(Node::as_str) == Some("bind")
        {
            base.node(options.get_mut("device"));
        }
    }
}

fn entries<'a>(top: &'a mut Map, section: &str) -> impl Iterator<Item = &'a mut Node> {
    top.get_mut(section).and_then(Node::as_map_mut).into_iter().flat_map(Map::values_mut)
}

fn items<'a>(service: &'a mut Map, key: &str) -> impl Iterator<Item = &'a mut Node> {
    service.get_mut(key).and_then(Node::as_list_mut).into_iter().flatten()
}

fn service(service: &mut Node, base: Base) {
    let Some(service) = service.as_map_mut() else { return };
    if let Some(build) = service.get_mut("build") {
        base.context(build.get_mut("context"));
        for context in
            build.get_mut("additional_contexts").and_then(Node::as_map_mut).into_iter().flat_map(Map::values_mut)
        {
            base.context(Some(context));
        }
        for key in build.get_mut("ssh").and_then(Node::as_map_mut).into_iter().flat_map(Map::values_mut) {
            base.node(Some(key));
        }
    }
    for item in items(service, "env_file") {
        base.unless_empty(item.get_mut("path"));
    }
    for item in items(service, "label_file") {
        base.unless_empty(Some(item));
    }
    if let Some(extends) = service.get_mut("extends") {
        base.unless_empty(extends.get_mut("file").filter(|file| !file.as_str().is_some_and(is_remote)));
    }
    if let Some(develop) = service.get_mut("develop") {
        for watch in develop.get_mut("watch").and_then(Node::as_list_mut).into_iter().flatten() {
            base.unless_empty(watch.get_mut("path"));
            // What changes is told of by its real name.
            if let Some(Node { value: Value::String(path), .. }) = watch.get_mut("path")
                && let Some(real) = base.files.resolved(FilePath::new(path))
            {
                *path = text(&real);
            }
        }
    }
    for volume in items(service, "volumes") {
        if volume.get("type").and_then(Node::as_str) == Some("bind") {
            base.node(volume.get_mut("source"));
        }
    }
}
