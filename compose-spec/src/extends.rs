//! `extends`: a service merged over another one, of the same file or of another.

use std::collections::HashMap;
use std::path::{Path as FilePath, PathBuf};

use crate::error::{Error, Errors};
use crate::files::{join, text};
use crate::merge;
use crate::merge::reset::Resets;
use crate::node::{Map, Node};
use crate::path::Path;
use crate::pipeline::{Loader, Scope};

/// Longest chain of services that extend one another.
const CHAIN_LIMIT: usize = 100;

/// A file that services extend, parsed once.
struct BaseFile {
    services: Map,
    resets: Resets,
}

/// The state of resolving one document's `extends`.
struct Pass<'l, 'f, 's> {
    loader: &'l mut Loader<'f>,
    scope: &'s Scope<'s>,
    bases: HashMap<PathBuf, BaseFile>,
    /// Services being extended, from the outermost.
    chain: Vec<(PathBuf, String)>,
}

/// Resolves `extends` in every service of a document.
///
/// # Errors
/// [`Error::ExtendsCycle`], a base that isn't there, and whatever is wrong with a base's file.
pub fn apply(loader: &mut Loader, document: &mut Node, scope: &Scope, resets: &Resets) -> Result<(), Errors> {
    let Some(services) = document.get_mut("services").and_then(Node::as_map_mut) else { return Ok(()) };
    let names: Vec<String> =
        services.iter().filter(|(_, node)| node.get("extends").is_some()).map(|(name, _)| name.clone()).collect();
    let mut pass = Pass { loader, scope, bases: HashMap::new(), chain: Vec::new() };
    for name in names {
        pass.service(&name, services, scope.file, resets)?;
    }
    Ok(())
}

impl Pass<'_, '_, '_> {
    /// Makes sure that `services[name]` extends nothing any more.
    fn service(&mut self, name: &str, services: &mut Map, file: &FilePath, resets: &Resets) -> Result<(), Errors> {
        let Some(extends) = services.get(name).and_then(|service| service.get("extends")).cloned() else {
            return Ok(());
        };
        let path = format!("services.{name}.extends");
        let base_name = match extends.as_str().or_else(|| extends.get("service").and_then(Node::as_str)) {
            Some(base) => base.to_owned(),
            None => {
                return Err(Error::invalid(extends.span, path, format!("extends.{name}.service is required")).into());
            }
        };
        self.enter(name, file, &extends)?;
        let base = match extends.get("file").and_then(Node::as_str) {
            Some(other) => self.base_of_file(name, &base_name, other, &extends)?,
            None => {
                if !services.contains_key(&base_name) {
                    let reason =
                        format!("cannot extend service {name:?} in {}: service {base_name:?} not found", text(file));
                    return Err(Error::invalid(extends.span, path, reason).into());
                }
                self.service(&base_name, services, file, resets)?;
                services.get(&base_name).cloned()
            }
        };
        self.chain.pop();
        let Some(slot) = services.get_mut(name) else { return Ok(()) };
        if let Some(mut base) = base.filter(|base| !base.is_null()) {
            resets.apply_to_entry("services", name, &mut base);
            let own = std::mem::replace(slot, Node::map(extends.span));
            let root = Path::ROOT.key("services");
            *slot = merge::merge(base, own, &root.key(name))?;
        }
        if let Some(map) = slot.as_map_mut() {
            map.shift_remove("extends");
        }
        Ok(())
    }

    fn enter(&mut self, name: &str, file: &FilePath, extends: &Node) -> Result<(), Error> {
        let here = (file.to_path_buf(), name.to_owned());
        let cycle = self.chain.contains(&here);
        if self.chain.len() >= CHAIN_LIMIT {
            let path = format!("services.{name}.extends");
            return Err(Error::invalid(
                extends.span,
                path,
                format!("more than {CHAIN_LIMIT} services extend one another"),
            ));
        }
        self.chain.push(here);
        if cycle {
            let chain = self.chain.iter().map(|(file, name)| format!("{name} in {}", text(file))).collect();
            return Err(Error::ExtendsCycle { at: extends.span.into(), chain });
        }
        Ok(())
    }

    fn base_of_file(&mut self, name: &str, base: &str, other: &str, extends: &Node) -> Result<Option<Node>, Errors> {
        let path = match self.loader.files.local(other) {
            None => join(self.scope.directory, other),
            Some(Ok(path)) => path,
            Some(Err(error)) => {
                let (file, reason) = (other.to_owned(), error.reason);
                return Err(Error::Read { at: extends.span.into(), what: "fetch", file, reason }.into());
            }
        };
        // Taken out while its services resolve; a request for it from there loads it again and ends in the cycle check.
        let mut file = match self.bases.remove(&path) {
            Some(file) => file,
            None => self.load(&path, extends)?,
        };
        if !file.services.contains_key(base) {
            let reason = format!(
                "cannot extend service {name:?} in {}: service {base:?} not found in {other}",
                text(self.scope.file)
            );
            return Err(Error::invalid(extends.span, format!("services.{name}.extends"), reason).into());
        }
        let resets = file.resets.clone();
        self.service(base, &mut file.services, &path, &resets)?;
        let found = file.services.get(base).cloned();
        self.bases.insert(path, file);
        Ok(found)
    }

    fn load(&mut self, path: &FilePath, extends: &Node) -> Result<BaseFile, Errors> {
        let directory = path.parent().unwrap_or(FilePath::new("/"));
        let (mut model, resets) = self.loader.base_file(path, self.scope.env, extends.span)?;
        self.loader.resolve_paths(&mut model, directory, self.scope.env);
        let services = model.as_map_mut().and_then(|map| map.shift_remove("services"));
        match services.map(|node| node.value) {
            Some(crate::node::Value::Map(services)) => Ok(BaseFile { services, resets }),
            _ => {
                let reason = format!("{} has no services section", text(path));
                Err(Error::invalid(extends.span, "extends.file", reason).into())
            }
        }
    }
}
