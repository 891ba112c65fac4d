//! `include`: other Compose files, each loaded with its own directory and environment, then merged under the including one.

use std::path::{Path as FilePath, PathBuf};

use crate::dotenv::{self, Variables};
use crate::error::{Error, Errors};
use crate::files::{join, text};
use crate::merge;
use crate::merge::reset::Resets;
use crate::node::{Map, Node, Value};
use crate::path::Path;
use crate::pipeline::{Env, Loader, Scope};
use crate::publish::is_remote;

/// Deepest nesting of includes.
const NESTING_LIMIT: usize = 50;

/// Loads what `document` includes and merges the document over it; removes the key `include`.
///
/// # Errors
/// [`Error::IncludeCycle`], files that aren't there, and whatever is wrong with them.
pub fn apply(loader: &mut Loader, document: &mut Node, scope: &Scope, resets: &Resets) -> Result<(), Errors> {
    let Some(include) = document.as_map_mut().and_then(|map| map.shift_remove("include")) else { return Ok(()) };
    if include.is_null() {
        return Ok(());
    }
    let Value::List(entries) = &include.value else {
        return Err(Error::mistyped(&include, "include", "a list").into());
    };
    for (index, entry) in entries.iter().enumerate() {
        let included = one(loader, entry, &format!("include[{index}]"), scope)?;
        import(included, document, resets)?;
    }
    Ok(())
}

fn one(loader: &mut Loader, entry: &Node, place: &str, scope: &Scope) -> Result<Node, Errors> {
    let paths = match entry.as_str() {
        Some(_) => strings(Some(entry)),
        None => strings(entry.get("path")),
    };
    let files: Result<Vec<PathBuf>, Error> = paths.iter().map(|path| file(loader, entry, path, place, scope)).collect();
    let files = files?;
    let Some(main) = files.first() else {
        return Err(Error::invalid(entry.span, place, "needs a path").into());
    };
    if scope.including.contains(main) || scope.file == main {
        let chain = scope.including.iter().chain([main]).map(|file| text(file)).collect();
        return Err(Error::IncludeCycle { at: entry.span.into(), chain }.into());
    }
    if scope.including.len() >= NESTING_LIMIT {
        return Err(
            Error::invalid(entry.span, place, format!("includes nest deeper than {NESTING_LIMIT} files")).into()
        );
    }
    let directory = match entry.get("project_directory").and_then(Node::as_str).filter(|path| !path.is_empty()) {
        Some(path) => join(scope.directory, path),
        None => main.parent().unwrap_or(FilePath::new("/")).to_path_buf(),
    };
    let env = environment(loader, entry, &directory, scope)?;
    let mut including = scope.including.to_vec();
    including.push(scope.file.to_path_buf());
    loader.model(&files, &directory, &env, &including, entry.span)
}

/// Where an included file is on this machine.
fn file(loader: &Loader, entry: &Node, path: &str, place: &str, scope: &Scope) -> Result<PathBuf, Error> {
    if !is_remote(path) {
        return Ok(join(scope.directory, path));
    }
    match loader.files.local(path) {
        Some(Ok(file)) => Ok(file),
        Some(Err(error)) => {
            let (file, reason) = (path.to_owned(), error.reason);
            Err(Error::Read { at: entry.span.into(), what: "fetch", file, reason })
        }
        None => Err(Error::Unsupported {
            at: entry.span.into(),
            path: format!("{place}: {path}"),
            hint: Some("only local files can be included"),
        }),
    }
}

/// The including project's environment, over the entry's env files or its directory's `.env`.
fn environment(loader: &mut Loader, entry: &Node, directory: &FilePath, scope: &Scope) -> Result<Env, Errors> {
    let named = strings(entry.get("env_file"));
    let explicit = !named.is_empty();
    let files = if explicit {
        named.iter().filter(|path| *path != "/dev/null").map(|path| join(scope.directory, path)).collect()
    } else {
        vec![directory.join(".env")]
    };
    let mut variables = Variables::new();
    for file in files {
        let bytes = match loader.files.read(&file) {
            Ok(Some(bytes)) => bytes,
            Ok(None) if !explicit => continue,
            Err(error) if !explicit && error.is_directory => continue,
            Ok(None) => return Err(unreadable(entry, &file, "not found")),
            Err(error) => return Err(unreadable(entry, &file, &error.reason)),
        };
        dotenv::parse(&bytes, &text(&file), &|name| scope.env.get(name).cloned(), &mut variables)?;
    }
    let mut env = scope.env.clone();
    for (name, value) in variables {
        env.entry(name).or_insert(value);
    }
    Ok(env)
}

fn unreadable(entry: &Node, file: &FilePath, reason: &str) -> Errors {
    Error::Read { at: entry.span.into(), what: "env file", file: text(file), reason: reason.to_owned() }.into()
}

fn strings(node: Option<&Node>) -> Vec<String> {
    match node.map(|node| &node.value) {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::List(items)) => items.iter().filter_map(Node::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Merges the included resources under the document's.
fn import(included: Node, document: &mut Node, resets: &Resets) -> Result<(), Error> {
    let (Value::Map(mut included), Some(document)) = (included.value, document.as_map_mut()) else { return Ok(()) };
    for section in ["services", "volumes", "networks", "secrets", "configs", "models"] {
        let Some(Node { value: Value::Map(from), span, .. }) = included.shift_remove(section) else { continue };
        let target = document.entry(section.to_owned()).or_insert_with(|| Node::map(span));
        if target.is_null() {
            target.value = Value::Map(Map::new());
        }
        let root = Path::ROOT.key(section);
        let Some(into) = target.as_map_mut() else {
            return Err(Error::mistyped(target, section, "a mapping"));
        };
        for (name, mut resource) in from {
            if let Some(own) = into.get_mut(&name) {
                resets.apply_to_entry(section, &name, &mut resource);
                let own_value = std::mem::replace(own, Node::new(Value::Null, resource.span));
                *own = merge::merge(resource, own_value, &root.key(&name))?;
            } else {
                into.insert(name, resource);
            }
        }
    }
    Ok(())
}
