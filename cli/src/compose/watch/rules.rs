//! Which changed files mean what: `develop.watch` with its patterns. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compose_spec::watch::{Action, Trigger};
use image::dockerfile::Ignore;

/// What editors leave behind while they work, and what Git keeps: never meant, as in Compose.
const NEVER: &str = "
**/.git
**/*___jb_old___
**/*___jb_tmp___
**/.idea
**/.#*
**/#*#
**/4913
**/*~
**/.*.swp
**/.*.swx
**/.*.swo
**/.*.swn
**/.*.kate-swp
**/*-go-tmp-umask
";

/// The directory that a service is built from, and its `.dockerignore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Absolute.
    pub directory: PathBuf,
    /// Relative to it.
    pub ignored: Ignore,
}

/// One item of `develop.watch`, ready to be asked.
#[derive(Debug, Clone)]
pub struct Rule {
    /// As the file has it.
    pub trigger: Trigger,
    /// Its path was a file at the beginning: then the target is a file too.
    pub is_file: bool,
    never: Ignore,
    ignored: Ignore,
    included: Ignore,
    context: Option<Arc<Context>>,
}

/// What files become in containers: by path there, the path here.
pub type Copies = BTreeMap<Vec<u8>, PathBuf>;

/// What a batch of changes asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Services to build and make again.
    pub rebuild: BTreeSet<String>,
    /// Files for the containers of services. What is gone here goes there.
    pub sync: BTreeMap<String, Copies>,
    /// Services to restart.
    pub restart: BTreeSet<String>,
    /// Commands to run: numbers of rules.
    pub exec: BTreeSet<usize>,
}

impl Rule {
    /// Reads the patterns.
    pub fn new(trigger: Trigger, is_file: bool, context: Option<Arc<Context>>) -> Result<Self, String> {
        Ok(Self {
            never: Ignore::parse(NEVER)?,
            ignored: Ignore::of(&trigger.ignore)?,
            included: Ignore::of(&trigger.include)?,
            trigger,
            is_file,
            context,
        })
    }

    /// Whether a change of `path` is meant.
    pub fn matches(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.trigger.path) else { return false };
        if below.as_os_str().is_empty() {
            // The directory itself is nobody's file.
            return self.is_file;
        }
        let below = below.as_os_str().as_encoded_bytes();
        !self.never.ignores(below)
            && !self.ignored.ignores(below)
            && (self.included.is_empty() || self.included.ignores(below))
            && !self.in_context(path).is_some_and(|(ignored, path)| ignored.ignores(path))
    }

    /// Whether nothing in the directory `path` can be meant, so that it need not be watched.
    pub fn is_blind_to(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.trigger.path) else { return true };
        if below.as_os_str().is_empty() {
            return false;
        }
        let below = below.as_os_str().as_encoded_bytes();
        self.never.prunes(below)
            || self.ignored.prunes(below)
            || self.in_context(path).is_some_and(|(ignored, path)| ignored.prunes(path))
    }

    /// The path as `.dockerignore` has it, if it is in the context.
    fn in_context<'p>(&self, path: &'p Path) -> Option<(&Ignore, &'p [u8])> {
        let context = self.context.as_ref()?;
        let below = path.strip_prefix(&context.directory).ok()?;
        Some((&context.ignored, below.as_os_str().as_encoded_bytes()))
    }

    /// What `path`, which matches, is in the containers.
    fn target(&self, path: &Path) -> Option<Vec<u8>> {
        let target = self.trigger.target.as_deref()?;
        let below = path.strip_prefix(&self.trigger.path).ok()?;
        Some(Path::new(target).join(below).components().collect::<PathBuf>().into_os_string().into_encoded_bytes())
    }
}

/// What changes of these paths ask for.
pub fn plan<'p>(rules: &[Rule], changed: impl IntoIterator<Item = &'p PathBuf>) -> Plan {
    let mut plan = Plan::default();
    for path in changed {
        for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.matches(path)) {
            plan.add(index, rule, path);
        }
    }
    plan
}

/// What the containers need to be as this machine is: all files of rules with `initial_sync`.
pub fn initial<'p>(rules: &[Rule], present: impl IntoIterator<Item = &'p PathBuf>) -> Plan {
    let mut plan = Plan::default();
    for path in present {
        for rule in rules.iter().filter(|rule| rule.trigger.initial_sync && rule.matches(path)) {
            plan.add_copy(rule, path);
        }
    }
    plan
}

impl Plan {
    fn add(&mut self, index: usize, rule: &Rule, path: &Path) {
        let service = &rule.trigger.service;
        match rule.trigger.action {
            Action::Sync => {}
            Action::Rebuild => drop(self.rebuild.insert(service.clone())),
            Action::Restart | Action::SyncRestart => drop(self.restart.insert(service.clone())),
            Action::SyncExec => drop(self.exec.insert(index)),
        }
        self.add_copy(rule, path);
    }

    fn add_copy(&mut self, rule: &Rule, path: &Path) {
        if rule.trigger.action.syncs()
            && let Some(target) = rule.target(path)
        {
            self.sync.entry(rule.trigger.service.clone()).or_default().insert(target, path.to_owned());
        }
    }

    /// Services that are restarted: what is made again is fresh in any case.
    pub fn restarts(&self) -> Vec<String> {
        self.restart.difference(&self.rebuild).cloned().collect()
    }
}

/// What is below the topmost of these only, each once: what goes with a directory needs no removal of its own.
pub fn topmost<'p>(paths: impl IntoIterator<Item = &'p [u8]>) -> Vec<&'p [u8]> {
    let mut top: Vec<&[u8]> = Vec::new();
    let sorted: BTreeSet<PathKey<'_>> = paths.into_iter().map(PathKey).collect();
    for PathKey(path) in sorted {
        let is_below = top.last().is_some_and(|last| path.starts_with(last) && path.get(last.len()) == Some(&b'/'));
        if !is_below && top.last() != Some(&path) {
            top.push(path);
        }
    }
    top
}

/// A path that is sorted component by component, so that what is in a directory comes right after it.
#[derive(PartialEq, Eq)]
struct PathKey<'p>(&'p [u8]);

impl PathKey<'_> {
    fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }
}

impl Ord for PathKey<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.components().cmp(other.components()).then_with(|| self.0.cmp(other.0))
    }
}

impl PartialOrd for PathKey<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
