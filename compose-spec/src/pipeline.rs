//! From files to one canonical model: the order of the stages, per document, per file and per file set.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path as FilePath, PathBuf};

use crate::canonical;
use crate::error::{Error, Errors, Warning};
use crate::extends;
use crate::files::{Files, relative, text};
use crate::include;
use crate::interpolate;
use crate::merge::reset::Resets;
use crate::merge::{self, unicity};
use crate::node::{Node, Sources, Span};
use crate::normalize;
use crate::path::Path;
use crate::paths::{self, Base};
use crate::schema;
use crate::validate;
use crate::yaml;

/// Variables of a project.
pub type Env = BTreeMap<String, String>;

/// Most files that one load opens, so that includes can't run away.
const FILE_LIMIT: usize = 1_000;

/// What a document's stages need to know about its surroundings.
pub struct Scope<'a> {
    /// What relative paths of `extends` and `include` are relative to.
    pub directory: &'a FilePath,
    /// The file that holds the document.
    pub file: &'a FilePath,
    /// Variables for interpolation.
    pub env: &'a Env,
    /// The files whose `include` led here.
    pub including: &'a [PathBuf],
}

/// One load: its files, their names, and what was noticed on the way.
pub struct Loader<'f> {
    pub files: &'f dyn Files,
    pub stdin: Option<&'f [u8]>,
    pub sources: Sources,
    pub warnings: Vec<Warning>,
    /// Where paths stay relative, what they are relative to.
    pub relative_to: Option<PathBuf>,
    /// Whether `${NAME}` stays as it is; short forms that can't be read for it stay, too.
    pub uninterpolated: bool,
    /// What secrets and configs with `environment:` hold, by `SECTION.KEY`.
    pub contents: BTreeMap<(String, String), String>,
    opened: usize,
    /// Files read for their `name:`, to be parsed only once.
    peeked: HashMap<PathBuf, Vec<Node>>,
}

impl<'f> Loader<'f> {
    pub fn new(files: &'f dyn Files, stdin: Option<&'f [u8]>) -> Self {
        Self {
            files,
            stdin,
            sources: Sources::default(),
            warnings: Vec::new(),
            relative_to: None,
            uninterpolated: false,
            contents: BTreeMap::new(),
            opened: 0,
            peeked: HashMap::new(),
        }
    }

    /// The documents of a file that will be loaded.
    pub fn peek(&mut self, file: &FilePath) -> Result<Vec<Node>, Error> {
        let documents = self.documents(file, Span::default())?;
        self.peeked.insert(file.to_path_buf(), documents.clone());
        Ok(documents)
    }

    /// Parses a file; `-` is standard input.
    pub fn documents(&mut self, file: &FilePath, from: Span) -> Result<Vec<Node>, Error> {
        if let Some(documents) = self.peeked.remove(file) {
            return Ok(documents);
        }
        let name = text(file);
        let unreadable =
            |reason: &str| Error::Read { at: from.into(), what: "open", file: name.clone(), reason: reason.to_owned() };
        self.opened += 1;
        if self.opened > FILE_LIMIT {
            return Err(unreadable(&format!("more than {FILE_LIMIT} files are involved")));
        }
        let bytes = match (name.as_str(), self.stdin) {
            ("-", Some(bytes)) => bytes.to_vec(),
            ("-", None) => return Err(unreadable("no standard input was given")),
            _ => match self.files.read(file) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Err(unreadable("no such file or directory")),
                Err(error) => return Err(unreadable(&error.reason)),
            },
        };
        let source = self.sources.add(&name);
        yaml::parse(&bytes, source)
    }

    /// A file set as one model, with defaults and absolute paths.
    pub fn model(
        &mut self,
        files: &[PathBuf],
        directory: &FilePath,
        env: &Env,
        including: &[PathBuf],
        from: Span,
    ) -> Result<Node, Errors> {
        let mut model = Node::map(Span::default());
        for file in files {
            let documents = self.documents(file, from)?;
            let scope = Scope { directory, file, env, including };
            for document in documents {
                model = self.document(model, document, &scope)?;
            }
        }
        normalize::defaults(&mut model);
        validate::structure(&model)?;
        if self.relative_to.is_none() || !including.is_empty() {
            self.resolve_paths(&mut model, directory, env);
        }
        if !self.uninterpolated {
            normalize::listed_variables(&mut model, env);
            self.keep_contents(&model, env);
        }
        Ok(model)
    }

    /// Keeps what `environment:` of secrets and configs means here: an included file has variables of its own.
    fn keep_contents(&mut self, model: &Node, env: &Env) {
        for section in ["secrets", "configs"] {
            for (key, object) in model.get(section).and_then(Node::as_map).into_iter().flatten() {
                let variable = object.get("environment").and_then(Node::as_str);
                // By variable too: a file that includes this one may name another.
                if let Some((variable, value)) = variable.and_then(|variable| Some((variable, env.get(variable)?))) {
                    let of = (format!("{section}.{key}"), variable.to_owned());
                    self.contents.entry(of).or_insert_with(|| value.clone());
                }
            }
        }
    }

    /// Makes the paths of a model that stands in `directory` absolute, or relative to the project's directory.
    pub fn resolve_paths(&self, model: &mut Node, directory: &FilePath, env: &Env) {
        let relative = self.relative_to.as_ref().map(|root| relative(root, directory));
        let directory = relative.as_deref().unwrap_or(directory);
        paths::resolve(model, Base { directory, home: env.get("HOME").map(String::as_str), files: self.files });
    }

    /// Merges a document over the model so far.
    fn document(&mut self, mut model: Node, mut document: Node, scope: &Scope) -> Result<Node, Errors> {
        let resets = self.interpolated(&mut document, scope.env)?;
        include::apply(self, &mut document, scope, &resets)?;
        resets.apply(&mut model);
        extends::apply(self, &mut document, scope, &resets)?;
        let mut model = merge::merge(model, document, &Path::ROOT)?;
        unicity::enforce(&mut model, &Path::ROOT)?;
        schema::check(&model)?;
        if let Some(version) = model.as_map_mut().and_then(|map| map.shift_remove("version")) {
            let message = "the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential confusion";
            self.warnings.push(Warning::new(version.key, message));
        }
        canonical::canonical(&mut model, &mut self.warnings, self.uninterpolated)?;
        unicity::enforce(&mut model, &Path::ROOT)?;
        Ok(model)
    }

    /// The file of a service that another one extends: neither its includes nor its own `extends` are followed, and its
    /// schema is checked once it is merged.
    pub fn base_file(&mut self, file: &FilePath, env: &Env, from: Span) -> Result<(Node, Resets), Errors> {
        let mut model = Node::map(from);
        let mut last = Resets::default();
        for mut document in self.documents(file, from)? {
            let resets = self.interpolated(&mut document, env)?;
            resets.apply(&mut model);
            model = merge::merge(model, document, &Path::ROOT)?;
            unicity::enforce(&mut model, &Path::ROOT)?;
            canonical::canonical(&mut model, &mut self.warnings, self.uninterpolated)?;
            last = resets;
        }
        Ok((model, last))
    }

    /// Checks that a document is a mapping of mappings, interpolates it and takes its resets out.
    fn interpolated(&mut self, document: &mut Node, env: &Env) -> Result<Resets, Errors> {
        if document.as_map().is_none() {
            return Err(Error::Yaml {
                at: document.span.into(),
                reason: format!("top-level object must be a mapping, not {}", document.kind()),
            }
            .into());
        }
        let resets = Resets::take(document);
        if !self.uninterpolated {
            interpolate::interpolate(document, &|name| env.get(name).cloned(), &mut self.warnings)?;
        }
        if let Some(services) = document.get("services").filter(|node| !node.is_null()) {
            let map = services.as_map().ok_or_else(|| Error::mistyped(services, "services", "a mapping"))?;
            if let Some((name, service)) =
                map.iter().find(|(_, service)| !service.is_null() && service.as_map().is_none())
            {
                let mut error = Error::mistyped(service, format!("services.{name}"), "a mapping");
                if schema::is_service_key(name) {
                    error = error.with_hint(format!(": {name} is a service's attribute: indent it below a service"));
                }
                return Err(error.into());
            }
        }
        Ok(resets)
    }
}
