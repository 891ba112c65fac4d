//! `develop.watch`: what of this machine's files is watched, and what a change does to which service.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{Error, Errors};
use crate::node::{Map, Node};
use crate::project::Project;
use crate::service::Service;

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The changed files go into the containers.
    Sync,
    /// The image is built and the containers are made again.
    Rebuild,
    /// The containers are restarted.
    Restart,
    /// The changed files go into the containers, which are restarted then.
    SyncRestart,
    /// The changed files go into the containers, in which a command runs then.
    SyncExec,
}

impl Action {
    /// Whether files go into containers.
    pub fn syncs(self) -> bool {
        matches!(self, Self::Sync | Self::SyncRestart | Self::SyncExec)
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "sync" => Self::Sync,
            "rebuild" => Self::Rebuild,
            "restart" => Self::Restart,
            "sync+restart" => Self::SyncRestart,
            "sync+exec" => Self::SyncExec,
            _ => return None,
        })
    }
}

/// One item of `develop.watch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The service.
    pub service: String,
    /// What a change does.
    pub action: Action,
    /// A file or directory of this machine, absolute.
    pub path: PathBuf,
    /// What it is in the containers; always there where the action syncs.
    pub target: Option<String>,
    /// Patterns of what below the path is left alone.
    pub ignore: Vec<String>,
    /// Patterns of what is meant; none means all.
    pub include: Vec<String>,
    /// Bring the containers up to date at the beginning.
    pub initial_sync: bool,
    /// What is run after a sync.
    pub exec: Option<Hook>,
}

/// A command that runs in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Program and arguments.
    pub command: Vec<String>,
    /// User and group, instead of the container's.
    pub user: Option<String>,
    /// With all capabilities.
    pub privileged: bool,
    /// Working directory, instead of the container's.
    pub working_dir: Option<String>,
    /// Further variables; those without a value have none.
    pub environment: BTreeMap<String, Option<String>>,
}

impl Project {
    /// What the enabled services watch, in the order of the file.
    ///
    /// # Errors
    /// Every item that nothing could come of, with its place.
    pub fn watch_triggers(&self) -> Result<Vec<Trigger>, Errors> {
        let mut triggers = Vec::new();
        let mut errors = Errors::default();
        for service in self.services() {
            for (index, item) in service.list(&["develop", "watch"]).iter().enumerate() {
                match trigger(&service, item) {
                    Ok(trigger) => triggers.push(trigger),
                    Err(reason) => {
                        let path = format!("services.{}.develop.watch[{index}]", service.name);
                        errors.0.push(Error::invalid(item.span, path, reason));
                    }
                }
            }
        }
        errors.locate(&self.sources).into_result().map(|()| triggers)
    }
}

fn trigger(service: &Service<'_>, item: &Node) -> Result<Trigger, &'static str> {
    let text = |key: &str| item.get(key).and_then(Node::as_str).map(str::to_owned);
    let texts = |key: &str| {
        let items = item.get(key).and_then(Node::as_list).unwrap_or_default();
        items.iter().filter_map(Node::as_str).map(str::to_owned).collect()
    };
    let action = text("action").as_deref().and_then(Action::parse).ok_or("it has no action")?;
    let exec = item.get("exec").and_then(hook);
    match (action, &exec) {
        (Action::SyncExec, None) => return Err("exec is required for the action sync+exec"),
        (Action::SyncExec, Some(_)) | (_, None) => {}
        (_, Some(_)) => return Err("exec is for the action sync+exec alone"),
    }
    Ok(Trigger {
        service: service.name.to_owned(),
        action,
        path: text("path").ok_or("it has no path")?.into(),
        target: text("target"),
        ignore: texts("ignore"),
        include: texts("include"),
        initial_sync: item.get("initial_sync").and_then(Node::as_bool).unwrap_or(false),
        exec,
    })
}

fn hook(node: &Node) -> Option<Hook> {
    let command: Vec<String> =
        node.get("command")?.as_list()?.iter().filter_map(Node::as_str).map(str::to_owned).collect();
    let text = |key: &str| node.get(key).and_then(Node::as_str).map(str::to_owned);
    let variables = node.get("environment").and_then(Node::as_map).into_iter().flat_map(Map::iter);
    (!command.is_empty()).then(|| Hook {
        command,
        user: text("user"),
        privileged: node.get("privileged").and_then(Node::as_bool).unwrap_or(false),
        working_dir: text("working_dir"),
        environment: variables.map(|(key, value)| (key.clone(), value.scalar_text())).collect(),
    })
}
