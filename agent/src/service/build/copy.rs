//! COPY and ADD.

use std::sync::Arc;

use image::build::{Chmod, CopyTo, KeyWriter, Text, write};
use image::dockerfile::{Copy, Expander, Instruction};

use super::builder::Builder;
use super::failure::{Failure, Result};
use super::sources::Source;
use super::stage::{Place, Step, absolute, owner_of};
use super::state::State;
use crate::service::blocking;

impl Builder {
    pub(super) async fn copy_step(
        self: &Arc<Builder>,
        place: &mut Place<'_>,
        state: &mut State,
        instruction: &Instruction,
        copy: &Copy,
    ) -> Result<()> {
        let name = place.title(self.file.stages.len(), &instruction.text);
        let expand = |text: &String| self.expand(state, text);
        let sources = copy.sources.iter().map(expand).collect::<Result<Vec<_>>>()?;
        let exclude = copy.exclude.iter().map(expand).collect::<Result<Vec<_>>>()?;
        let chown = copy.chown.as_ref().map(expand).transpose()?;
        let chmod = copy.chmod.as_ref().map(expand).transpose()?;
        let destination = absolute(state, &expand(&copy.destination)?);
        let texts = self.texts(state, copy)?;
        refuse_remote(copy, &sources)?;
        let parsed = chmod.as_deref().map(Chmod::parse).transpose().map_err(Failure::invalid)?;

        let key = || {
            let mut key = if copy.link { KeyWriter::new("copy --link") } else { state.key("copy") };
            key.field(&destination).field([u8::from(copy.is_add), u8::from(copy.parents), unpack(copy)]);
            key.list(chown.iter()).list(chmod.iter()).list(&sources).list(&exclude);
            key.list(texts.iter().flat_map(|text| [&text.name, &text.content]));
            key
        };
        // Without sources only texts are written, and no context is asked for.
        let source = match sources.is_empty() {
            true => Source::Layers(Arc::new(State::scratch(&self.options.platform, self.now))),
            false => self.source(copy.from.as_deref()).await?,
        };
        // Of layers it is enough that they are the same ones; if they aren't, their files may be.
        let created_by = instruction.text.clone();
        if let Source::Layers(layers) = &source {
            let mut quick = key();
            quick.field("layers").field(layers.chain().map(|chain| chain.to_string()).unwrap_or_default());
            let step = Step { name, created_by, key: quick.finish() };
            let snapshot = state.clone();
            let make = self.copied(
                snapshot,
                source.clone(),
                copy.clone(),
                sources,
                exclude,
                texts,
                (destination, chown, parsed),
            );
            return self.step(place, state, step, |_| make).await;
        }
        let selection = self.choose(&source, sources.clone(), copy.parents, exclude.clone()).await?;
        let key = self.describe(&source, &selection, key()).await?;
        let step = Step { name, created_by, key: key.finish() };
        let snapshot = state.clone();
        let make = self.copied(snapshot, source, copy.clone(), sources, exclude, texts, (destination, chown, parsed));
        self.step(place, state, step, |_| make).await
    }

    /// Makes the layer.
    #[allow(clippy::too_many_arguments)] // one instruction, taken apart once
    async fn copied(
        self: &Arc<Builder>,
        state: State,
        source: Source,
        copy: Copy,
        sources: Vec<String>,
        exclude: Vec<String>,
        texts: Vec<Text>,
        (destination, chown, chmod): (String, Option<String>, Option<Chmod>),
    ) -> Result<super::stage::Made> {
        let selection = self.choose(&source, sources, copy.parents, exclude).await?;
        self.fetch(&source, &selection).await?;
        let files = self.files(&source).await?;
        let root = self.root(&state).await?;
        // What comes from the client is root's; what comes from elsewhere stays whose it was.
        let is_context = matches!(source, Source::Context(..));
        let builder = self.clone();
        let made = blocking("copying files", move || {
            let owner = match &chown {
                Some(text) => Some(owner_of(&root, text)?),
                None => is_context.then_some((0, 0)),
            };
            let unpack = copy.is_add && copy.unpack.unwrap_or(true);
            let owner = if unpack && chown.is_none() { None } else { owner };
            let (now, newest) = (builder.now, builder.start.source_date_epoch);
            let to = CopyTo { destination, owner, chmod, unpack, link: copy.link, now, newest };
            Ok(builder.store.write_layer(|out| write(files.as_ref(), &selection, &texts, &root, &to, out))?)
        });
        Ok(made.await?)
    }

    /// The files whose text the instruction brings along.
    fn texts(&self, state: &State, copy: &Copy) -> Result<Vec<Text>> {
        let lookup = |name: &str| state.scope.value(&state.config.config, name);
        let expander = Expander::new(&lookup, self.file.directives.escape);
        let text = |own: &image::dockerfile::Heredoc| {
            let content = if own.expand { expander.text(&own.content)? } else { own.content.clone() };
            Ok(Text { name: own.name.clone(), content })
        };
        copy.heredocs.iter().map(text).collect::<std::result::Result<_, String>>().map_err(Failure::invalid)
    }
}

fn unpack(copy: &Copy) -> u8 {
    match copy.unpack {
        None => 2,
        Some(unpack) => u8::from(unpack),
    }
}

/// Orca fetches nothing for ADD: what a build depends on is in its context.
fn refuse_remote(copy: &Copy, sources: &[String]) -> Result<()> {
    let is_remote = |source: &&String| {
        let remote = ["http://", "https://", "git://", "git@", "ssh://"];
        remote.iter().any(|scheme| source.starts_with(scheme))
    };
    match sources.iter().filter(|_| copy.is_add).find(is_remote) {
        None if copy.checksum.is_some() || copy.keep_git_dir => {
            Err(Failure::invalid("--checksum and --keep-git-dir are for remote sources, which are not fetched"))
        }
        None => Ok(()),
        Some(source) => Err(Failure::invalid(format!(
            "ADD {source} is not supported: nothing is fetched for ADD; use RUN with a program that downloads and verifies it, or put it into the context"
        ))),
    }
}
