//! Where COPY and mounts take files from: the client, a stage, an image.

use std::sync::Arc;

use image::MergedRoot;
use image::build::{Context, CopyTo, Files, KeyWriter, Selection, select, write};
use image::dockerfile::{Graph, Ignore, SourceOf};
use image::store::BuiltLayer;

use super::builder::Builder;
use super::failure::{Failure, Result};
use super::state::State;
use crate::service::blocking;

/// A tree to take files from.
#[derive(Clone)]
pub enum Source {
    /// The client's.
    Context(String, Arc<Context>),
    /// Of layers.
    Layers(Arc<State>),
}

impl Builder {
    /// What `--from` means; none: the client's files.
    pub(super) async fn source(self: &Arc<Builder>, from: Option<&str>) -> Result<Source> {
        let Some(from) = from else { return Ok(Source::Context(String::new(), self.context("").await?)) };
        match Graph::source(&self.file, &self.options, from).map_err(Failure::invalid)? {
            SourceOf::Stage(stage) => Ok(Source::Layers(self.outcome(stage).await?)),
            SourceOf::Image(name) if name == "scratch" => {
                Err(Failure::invalid("scratch has no files: --from needs a stage, a context or an image"))
            }
            SourceOf::Image(name) => self.of_image(&name).await,
            SourceOf::Context(name) => match self.start.contexts.get(&name).filter(|value| !value.is_empty()) {
                Some(value) => self.of_image(value.strip_prefix("docker-image://").unwrap_or(value)).await,
                None => Ok(Source::Context(name.clone(), self.context(&name).await?)),
            },
        }
    }

    async fn of_image(self: &Arc<Builder>, name: &str) -> Result<Source> {
        let image = self.image(name, &self.options.platform).await?;
        let layers = self.store.layers_of(&image);
        let state = State { layers, ..State::scratch(&self.options.platform, self.now) };
        Ok(Source::Layers(Arc::new(State { config: image.config, ..state })))
    }

    /// A context as one layer.
    pub(super) async fn whole_context(self: &Arc<Builder>, name: &str) -> Result<Option<BuiltLayer>> {
        let source = Source::Context(name.to_owned(), self.context(name).await?);
        self.subtree(&source, "/").await
    }

    /// What is at `path` of a source as a layer by itself.
    pub(super) async fn subtree(self: &Arc<Builder>, source: &Source, path: &str) -> Result<Option<BuiltLayer>> {
        let selection = self.choose(source, vec![path.to_owned()], false, Vec::new()).await?;
        self.fetch(source, &selection).await?;
        let files = self.files(source).await?;
        let builder = self.clone();
        let made = blocking("writing a layer", move || {
            let nothing = MergedRoot::new(Vec::new());
            let to = CopyTo { destination: "/".to_owned(), now: builder.now, ..CopyTo::default() };
            let is_file = selection.items.first().is_some_and(|item| !item.is_dir);
            let to = if is_file { CopyTo { destination: "/file".to_owned(), ..to } } else { to };
            Ok(builder.store.write_layer(|out| write(files.as_ref(), &selection, &[], &nothing, &to, out))?)
        });
        Ok(made.await?.map(|(layer, lease)| {
            self.keep(lease);
            layer
        }))
    }

    /// The tree itself; layers are unpacked.
    pub(super) async fn files(&self, source: &Source) -> Result<Box<dyn Files + Send>> {
        match source {
            Source::Context(_, context) => Ok(Box::new(Shared(context.clone()))),
            Source::Layers(state) => Ok(Box::new(self.root(state).await?)),
        }
    }

    /// What COPY's sources mean there.
    pub(super) async fn choose(
        &self,
        source: &Source,
        sources: Vec<String>,
        parents: bool,
        exclude: Vec<String>,
    ) -> Result<Selection> {
        let files = self.files(source).await?;
        let selection = blocking("looking for files", move || {
            let exclude =
                Ignore::of(&exclude).map_err(|reason| image::Error::Rootfs { path: "--exclude".into(), reason })?;
            Ok(select(files.as_ref(), &sources, parents, &exclude)?)
        });
        selection.await.map_err(|error| match error {
            crate::Error::Image(image::Error::NoSuchPath { path }) => {
                let hint = match source {
                    Source::Context(name, _) if name.is_empty() => {
                        ": it is not in the build context, or .dockerignore excludes it"
                    }
                    _ => "",
                };
                Failure::invalid(format!("\"{path}\": not found{hint}"))
            }
            other => other.into(),
        })
    }

    /// Adds what is selected to a key, by its content.
    pub(super) async fn describe(
        &self,
        source: &Source,
        selection: &Selection,
        mut key: KeyWriter,
    ) -> Result<KeyWriter> {
        if let Source::Context(name, context) = source {
            self.client.digests(name, context, context.without_digest(selection.paths())).await?;
        }
        let files = self.files(source).await?;
        let selection = selection.clone();
        let key = blocking("reading files", move || {
            selection.describe(files.as_ref(), &mut key)?;
            Ok(key)
        });
        Ok(key.await?)
    }

    /// Has the client send what is selected.
    pub(super) async fn fetch(&self, source: &Source, selection: &Selection) -> Result<()> {
        let Source::Context(name, context) = source else { return Ok(()) };
        let wanted = context.without_content(selection.paths());
        self.client.contents(name, context, wanted).await
    }
}

/// A context that others use too.
struct Shared(Arc<Context>);

impl Files for Shared {
    fn look(&self, path: &[u8]) -> image::Result<Option<image::build::Seen>> {
        self.0.look(path)
    }

    fn names(&self, path: &[u8]) -> image::Result<Vec<Vec<u8>>> {
        self.0.names(path)
    }

    fn open(&self, path: &[u8]) -> image::Result<Box<dyn std::io::Read + '_>> {
        self.0.open(path)
    }

    fn digest(&self, path: &[u8]) -> image::Result<image::Digest> {
        self.0.digest(path)
    }
}
