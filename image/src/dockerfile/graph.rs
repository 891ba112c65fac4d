//! Which stages a target needs, what each begins with, and in which order they can be made.

use std::collections::{BTreeMap, BTreeSet};

use super::suggest::hint;
use super::{Dockerfile, Expander, Kind, Mount, MountKind, ParseError, Scope, Stage, platform_args};
use crate::manifest::{Platform, RunConfig};

/// What the caller says of the whole.
#[derive(Clone, Debug)]
pub struct Options {
    /// The stage that is wanted; none: the last.
    pub target: Option<String>,
    /// `--build-arg`.
    pub args: BTreeMap<String, String>,
    /// Names of `--build-context`.
    pub contexts: BTreeSet<String>,
    /// What is built for.
    pub platform: Platform,
    /// Where it is built.
    pub host: Platform,
}

/// What a stage begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// Another stage.
    Stage(usize),
    /// A context that the caller names.
    Context(String),
    /// An image.
    Image(String),
}

/// What `--from` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceOf {
    /// A stage.
    Stage(usize),
    /// A context that the caller names.
    Context(String),
    /// An image.
    Image(String),
}

/// A stage that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What it begins with.
    pub base: Base,
    /// What it is built for.
    pub platform: Platform,
    /// The stages that must be made before.
    pub needs: BTreeSet<usize>,
    /// The images that it begins with or copies from.
    pub images: BTreeSet<String>,
}

/// The stages of a Dockerfile that a target needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// By stage; those that aren't needed are none.
    pub stages: Vec<Option<Planned>>,
    /// The needed stages, each after what it needs.
    pub order: Vec<usize>,
    /// The one that is wanted.
    pub target: usize,
    /// What was declared before the first FROM, and the platforms.
    pub global: Scope,
}

impl Graph {
    /// Plans the stages.
    ///
    /// # Errors
    /// A target that isn't there, a base without a name, stages that need each other.
    pub fn plan(file: &Dockerfile, options: &Options) -> Result<Graph, ParseError> {
        let target = target(file, options)?;
        let global = global(file, options)?;
        let mut graph = Graph { stages: vec![None; file.stages.len()], order: Vec::new(), target, global };
        let mut open = Vec::new();
        graph.visit(file, options, target, &mut open)?;
        Ok(graph)
    }

    fn visit(
        &mut self,
        file: &Dockerfile,
        options: &Options,
        at: usize,
        open: &mut Vec<usize>,
    ) -> Result<(), ParseError> {
        if self.stages[at].is_some() {
            return Ok(());
        }
        let stage = &file.stages[at];
        if open.contains(&at) {
            let name = stage.name.clone().unwrap_or_else(|| at.to_string());
            return Err(ParseError::at(stage.span, format!("circular dependency detected on stage: {name}")));
        }
        open.push(at);
        let planned = self.planned(file, options, at)?;
        for need in &planned.needs {
            self.visit(file, options, *need, open)?;
        }
        open.pop();
        self.stages[at] = Some(planned);
        self.order.push(at);
        Ok(())
    }

    fn planned(&self, file: &Dockerfile, options: &Options, at: usize) -> Result<Planned, ParseError> {
        let stage = &file.stages[at];
        let base = self.base(file, options, at)?;
        let platform = self.platform(file, options, stage)?;
        let mut planned = Planned { base, platform, needs: BTreeSet::new(), images: BTreeSet::new() };
        if let Base::Context(_) = planned.base
            && stage.name.as_ref().is_some_and(|name| options.contexts.contains(name))
        {
            return Ok(planned);
        }
        match &planned.base {
            Base::Stage(base) => drop(planned.needs.insert(*base)),
            Base::Image(image) => drop(planned.images.insert(image.clone())),
            Base::Scratch | Base::Context(_) => {}
        }
        for instruction in &stage.instructions {
            for from in sources(&instruction.kind) {
                let source =
                    source(file, options, &from).map_err(|message| ParseError::at(instruction.span, message))?;
                match source {
                    SourceOf::Stage(stage) => drop(planned.needs.insert(stage)),
                    SourceOf::Image(image) => drop(planned.images.insert(image)),
                    SourceOf::Context(_) => {}
                }
            }
        }
        Ok(planned)
    }

    /// A stage's base; a context of the stage's own name takes the place of the whole stage.
    fn base(&self, file: &Dockerfile, options: &Options, at: usize) -> Result<Base, ParseError> {
        let stage = &file.stages[at];
        if let Some(name) = stage.name.as_ref().filter(|name| options.contexts.contains(*name)) {
            return Ok(Base::Context(name.clone()));
        }
        let name = self.expanded(file, stage, &stage.base)?;
        if name.is_empty() {
            return Err(ParseError::at(stage.span, format!("base name ({}) should not be blank", stage.base)));
        }
        if options.contexts.contains(&name.to_ascii_lowercase()) {
            return Ok(Base::Context(name.to_ascii_lowercase()));
        }
        let lower = name.to_ascii_lowercase();
        let before = file.stages[..at].iter().position(|stage| stage.name.as_deref() == Some(&lower));
        Ok(match before {
            Some(stage) => Base::Stage(stage),
            None if name == "scratch" => Base::Scratch,
            None => Base::Image(name),
        })
    }

    fn platform(&self, file: &Dockerfile, options: &Options, stage: &Stage) -> Result<Platform, ParseError> {
        let Some(text) = &stage.platform else { return Ok(options.platform.clone()) };
        let text = self.expanded(file, stage, text)?;
        text.parse().map_err(|error: crate::Error| ParseError::at(stage.span, error.to_string()))
    }

    fn expanded(&self, file: &Dockerfile, stage: &Stage, text: &str) -> Result<String, ParseError> {
        let lookup = |name: &str| self.global.value(&RunConfig::default(), name);
        let expander = Expander::new(&lookup, file.directives.escape);
        expander.word(text).map_err(|message| ParseError::at(stage.span, message))
    }

    /// What `--from` of an instruction of a planned stage means.
    ///
    /// # Errors
    /// A number that no stage has, a variable.
    pub fn source(file: &Dockerfile, options: &Options, from: &str) -> Result<SourceOf, String> {
        source(file, options, from)
    }
}

fn target(file: &Dockerfile, options: &Options) -> Result<usize, ParseError> {
    let last = file.stages.len() - 1;
    let Some(target) = options.target.as_ref().filter(|target| !target.is_empty()) else { return Ok(last) };
    file.stage(target).ok_or_else(|| {
        let names: Vec<&str> = file.stages.iter().filter_map(|stage| stage.name.as_deref()).collect();
        let message = format!("target stage {target:?} could not be found{}", hint(target, &names));
        ParseError::at(file.stages[last].span, message)
    })
}

fn global(file: &Dockerfile, options: &Options) -> Result<Scope, ParseError> {
    let mut global = Scope::default();
    for (name, value) in platform_args(&options.platform, &options.host) {
        let value = options.args.get(&name).cloned().unwrap_or(value);
        global.set(&name, Some(value));
    }
    for instruction in &file.arguments {
        if let Kind::Arg(args) = &instruction.kind {
            let nothing = Scope::default();
            let declared = global.declare(args, &options.args, &nothing, &RunConfig::default(), file.directives.escape);
            declared.map_err(|message| ParseError::at(instruction.span, message))?;
        }
    }
    Ok(global)
}

/// The `--from` values of an instruction.
fn sources(kind: &Kind) -> Vec<String> {
    match kind {
        Kind::Copy(copy) => copy.from.iter().cloned().collect(),
        Kind::Run(run) => {
            let nothing = |_: &str| None;
            let expander = Expander::new(&nothing, '\\');
            let mounts = run.mounts.iter().filter_map(|mount| Mount::parse(mount, &expander).ok());
            mounts
                .filter_map(|mount| match mount.kind {
                    MountKind::Bind { from, .. } | MountKind::Cache { from, .. } => from,
                    _ => None,
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

fn source(file: &Dockerfile, options: &Options, from: &str) -> Result<SourceOf, String> {
    if from.contains('$') {
        return Err(format!("variables are not expanded in --from={from}: name a stage whose FROM has the variable"));
    }
    let lower = from.to_ascii_lowercase();
    if options.contexts.contains(&lower) {
        return Ok(SourceOf::Context(lower));
    }
    if let Some(stage) = file.stage(from) {
        return Ok(SourceOf::Stage(stage));
    }
    if from.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("invalid --from={from}: there are {} stages, counted from 0", file.stages.len()));
    }
    Ok(SourceOf::Image(from.to_owned()))
}
