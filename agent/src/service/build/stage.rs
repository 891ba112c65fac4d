//! One stage: its base, then its instructions one after the other.

use std::sync::Arc;

use image::MergedRoot;
use image::build::{CopyTo, Key, exists, make_dirs};
use image::dockerfile::{self, Base, Expander, Instruction, Kind, Stage, clean, parse_trigger, set_working_dir};
use image::store::{BuiltLayer, CacheRecord, Lease};

use super::builder::Builder;
use super::failure::{Failure, Result};
use super::state::State;
use crate::clock;
use crate::service::blocking;

/// What a step makes.
pub type Made = Option<(BuiltLayer, Lease)>;

/// A step of a stage, for people and for the cache.
pub struct Step {
    /// `[stage 2/5] RUN make`.
    pub name: String,
    /// As the image's history has it.
    pub created_by: String,
    /// What it is known by.
    pub key: Key,
}

/// Where in a stage its steps are.
pub struct Place<'a> {
    pub(super) index: usize,
    pub(super) stage: &'a Stage,
    /// Of steps that make layers: how many there are, and how many are done.
    total: usize,
    done: usize,
}

impl Place<'_> {
    /// The name of the next step.
    pub fn title(&mut self, stages: usize, text: &str) -> String {
        self.done += 1;
        let name = match &self.stage.name {
            Some(name) => format!("{name} "),
            None if stages > 1 => format!("stage-{} ", self.index),
            None => String::new(),
        };
        let width = self.total.to_string().len();
        format!("[{name}{:>width$}/{}] {}", self.done, self.total, text.lines().next().unwrap_or_default())
    }
}

fn makes_layers(kind: &Kind) -> bool {
    matches!(kind, Kind::Run(_) | Kind::Copy(_) | Kind::Workdir(_))
}

impl Builder {
    /// Makes a stage.
    pub(super) async fn stage(self: &Arc<Builder>, index: usize) -> Result<State> {
        let stage = &self.file.stages[index];
        let mut state = self.base(index).await.map_err(|failure| failure.at(stage.span))?;
        let triggers = std::mem::take(&mut state.config.config.on_build);
        let triggers: std::result::Result<Vec<Instruction>, String> =
            triggers.iter().map(|text| parse_trigger(text, stage.span)).collect();
        let triggers =
            triggers.map_err(|reason| Failure::invalid(format!("ONBUILD of its base: {reason}")).at(stage.span))?;
        let layers = triggers.iter().chain(&stage.instructions).filter(|own| makes_layers(&own.kind)).count();
        let mut place = Place { index, stage, total: layers + 1, done: 0 };
        let title = place.title(self.file.stages.len(), &stage.text);
        let step = self.client.begin(title).await?;
        self.client.end(step, true, None).await?;
        if self.replaced(index) {
            return Ok(state);
        }
        for instruction in triggers.iter().chain(&stage.instructions) {
            let done = self.instruction(&mut place, &mut state, instruction).await;
            done.map_err(|failure| failure.at(instruction.span))?;
        }
        Ok(state)
    }

    /// Whether a context of the caller's takes the place of the whole stage.
    fn replaced(&self, index: usize) -> bool {
        let name = self.file.stages[index].name.as_ref();
        name.is_some_and(|name| self.options.contexts.contains(name))
    }

    async fn base(self: &Arc<Builder>, index: usize) -> Result<State> {
        let Some(planned) = &self.graph.stages[index] else { return Err(Failure::invalid("the stage is not needed")) };
        match &planned.base {
            Base::Scratch => Ok(State::scratch(&planned.platform, self.now)),
            Base::Stage(stage) => {
                let base = self.outcome(*stage).await?;
                Ok(State { has_cmd: false, ..State::clone(&base) })
            }
            Base::Image(name) => self.from_image(name, index).await,
            Base::Context(name) => match self.start.contexts.get(name).filter(|value| !value.is_empty()) {
                Some(value) => {
                    let image = value.strip_prefix("docker-image://");
                    let image =
                        image.ok_or_else(|| Failure::invalid(format!("context {name}: {value} is no image")))?;
                    self.from_image(image, index).await
                }
                None => {
                    let mut state = State::scratch(&planned.platform, self.now);
                    let layer = self.whole_context(name).await?;
                    state.push(layer, self.now, format!("FROM {name}"));
                    Ok(state)
                }
            },
        }
    }

    async fn from_image(self: &Arc<Builder>, name: &str, index: usize) -> Result<State> {
        let platform = self.graph.stages[index].as_ref().map(|planned| planned.platform.clone());
        let image = self.image(name, &platform.unwrap_or_else(|| self.options.platform.clone())).await?;
        let created = image.config.created.as_deref().and_then(image::parse_utc).unwrap_or(self.now);
        let mut config = image.config.clone();
        config.author = config.author.filter(|author| !author.is_empty());
        let layers = self.store.layers_of(&image);
        Ok(State { config, layers, scope: dockerfile::Scope::default(), created, has_cmd: false })
    }

    async fn instruction(
        self: &Arc<Builder>,
        place: &mut Place<'_>,
        state: &mut State,
        instruction: &Instruction,
    ) -> Result<()> {
        match &instruction.kind {
            Kind::Run(run) => self.run_step(place, state, instruction, run).await,
            Kind::Copy(copy) => self.copy_step(place, state, instruction, copy).await,
            Kind::Workdir(text) => self.working_dir(place, state, instruction, text).await,
            kind => self.edit(state, instruction, kind),
        }
    }

    /// Instructions that make no layer.
    fn edit(&self, state: &mut State, instruction: &Instruction, kind: &Kind) -> Result<()> {
        let escape = self.file.directives.escape;
        match kind {
            Kind::Arg(args) => {
                let config = state.config.config.clone();
                let declared = state.scope.declare(args, &self.options.args, &self.graph.global, &config, escape);
                declared.map_err(Failure::invalid)?;
            }
            Kind::Maintainer(author) => state.config.author = Some(author.clone()),
            kind => {
                let (scope, before) = (state.scope.clone(), state.config.config.clone());
                let lookup = |name: &str| scope.value(&before, name);
                let applied = dockerfile::apply(&mut state.config.config, kind, &Expander::new(&lookup, escape));
                applied.map_err(Failure::invalid)?;
                match kind {
                    Kind::Cmd(_) => state.has_cmd = true,
                    // A command of the base belongs to the base's entrypoint.
                    Kind::Entrypoint(_) if !state.has_cmd => state.config.config.cmd = None,
                    _ => {}
                }
            }
        }
        state.note_empty(instruction.text.clone());
        Ok(())
    }

    async fn working_dir(
        self: &Arc<Builder>,
        place: &mut Place<'_>,
        state: &mut State,
        instruction: &Instruction,
        text: &str,
    ) -> Result<()> {
        let name = place.title(self.file.stages.len(), &instruction.text);
        let path = self.expand(state, text)?;
        set_working_dir(&mut state.config.config, &path);
        let path = state.config.config.working_dir.clone();
        let user = state.config.config.user.clone();
        let mut key = state.key("workdir");
        key.field(&path).field(&user);
        let step = Step { name, created_by: format!("WORKDIR {path}"), key: key.finish() };
        let snapshot = state.clone();
        self.step(place, state, step, |_| async {
            let root = self.root(&snapshot).await?;
            let builder = self.clone();
            let made = blocking("making a working directory", move || {
                if exists(&root, path.trim_matches('/').as_bytes())? {
                    return Ok(None);
                }
                let owner = Some(owner_of(&root, &user)?);
                let to =
                    CopyTo { owner, now: builder.now, newest: builder.start.source_date_epoch, ..CopyTo::default() };
                Ok(builder.store.write_layer(|out| make_dirs(&root, &path, &to, out).map(drop))?)
            });
            Ok(made.await?)
        })
        .await
    }

    /// Text with the stage's variables in it.
    pub(super) fn expand(&self, state: &State, text: &str) -> Result<String> {
        let lookup = |name: &str| state.scope.value(&state.config.config, name);
        Expander::new(&lookup, self.file.directives.escape).word(text).map_err(Failure::invalid)
    }

    /// The merged view of a stage's layers, unpacked.
    pub(super) async fn root(&self, state: &State) -> Result<MergedRoot> {
        let image = image::Store::assemble(&state.config, &state.layers)?;
        let (store, unpacker) = (self.store.clone(), self.containers.unpacker().clone());
        let held = self.store.hold(image.clone());
        let root = blocking("unpacking layers", move || {
            store.prepare(&image, &unpacker)?;
            Ok(store.merged_root(&image))
        });
        let root = root.await?;
        drop(held);
        Ok(root)
    }

    /// Does a step, or takes what it made earlier.
    pub(super) async fn step<F: Future<Output = Result<Made>>>(
        &self,
        place: &Place<'_>,
        state: &mut State,
        step: Step,
        make: impl FnOnce(u32) -> F,
    ) -> Result<()> {
        let Step { name, created_by, key } = step;
        let number = self.client.begin(name.clone()).await?;
        let stage = place.stage.name.clone().unwrap_or_else(|| place.index.to_string());
        let skip = self.start.no_cache || self.start.no_cache_filter.iter().any(|own| own.eq_ignore_ascii_case(&stage));
        if !skip {
            let store = self.store.clone();
            let cached = blocking("looking into the cache", move || Ok(store.cached(&key))).await?;
            if let Some((record, lease)) = cached {
                self.keep(lease);
                state.push(record.layer, record.created, created_by);
                return self.client.end(number, true, None).await;
            }
        }
        let made = match make(number).await {
            Ok(made) => made,
            Err(failure) => {
                self.client.end(number, false, Some(failure.message.clone())).await?;
                let output = failure.output.map(|output| format!(" > {name}:\n{output}"));
                return Err(Failure { output, ..failure });
            }
        };
        let created = match self.start.source_date_epoch {
            Some(epoch) => epoch,
            None => clock::wall().0.div_euclid(1_000_000_000),
        };
        let layer = made.map(|(layer, lease)| {
            self.keep(lease);
            layer
        });
        state.push(layer.clone(), created, created_by);
        let record = CacheRecord::new(name, layer, state.chain(), created);
        let store = self.store.clone();
        blocking("remembering a step", move || Ok(store.remember(&key, &record)?)).await?;
        self.client.end(number, false, None).await
    }
}

/// The user and group that `USER`'s text means in an image.
pub fn owner_of(root: &MergedRoot, user: &str) -> crate::Result<(u32, u32)> {
    let read = |path: &str| match root.read_file(path, DATABASE_MAX) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(image::Error::NotFoundInRootfs { .. }) => Ok(String::new()),
        Err(error) => Err(error),
    };
    let only_numbers = !user.is_empty() && user.bytes().all(|b| b.is_ascii_digit());
    if only_numbers {
        // A number without a group is the group too, as in BuildKit.
        let user = image::user::resolve_user(user, "", "")?;
        return Ok((user.uid, user.uid));
    }
    let user = image::user::resolve_user(user, &read("/etc/passwd")?, &read("/etc/group")?)?;
    Ok((user.uid, user.gid))
}

/// The largest /etc/passwd or /etc/group that is read.
const DATABASE_MAX: u64 = 8 << 20;

/// A path as it is seen from the working directory; a slash at its end stays.
pub fn absolute(state: &State, path: &str) -> String {
    let working_dir = &state.config.config.working_dir;
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{working_dir}/{path}") };
    let is_dir = whole.ends_with('/') || matches!(whole.rsplit('/').next(), Some("." | ".."));
    let clean = clean(&whole);
    if is_dir && clean != "/" { format!("{clean}/") } else { clean }
}
