//! `--dry-run`: what a verb would do, told instead of done. The managers say what becomes of services; the rest is known here. That
//! nothing is changed does not hang on this: a connection of a dry run refuses every call that changes something.

use std::collections::BTreeSet;
use std::fmt;

use api::control::{PlanAction, PlanKind, PlanRequest, PlanStep, plan_request::Change};
use api::node::ListVolumesRequest;
use model::{MountSource, Stack};

use crate::client::Client;
use crate::error::Result;
use crate::output::table::printable;

/// Something that would happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    kind: &'static str,
    name: String,
    action: &'static str,
}

impl Step {
    /// A step in Compose's words: `Container`, its name, `Started`.
    pub fn new(kind: &'static str, name: impl Into<String>, action: &'static str) -> Self {
        Self { kind, name: name.into(), action }
    }

    /// Whether a container is ended by it.
    pub fn is_stop(&self) -> bool {
        self.action == "Stopped"
    }
}

impl From<PlanStep> for Step {
    fn from(step: PlanStep) -> Self {
        let kind = match step.kind() {
            PlanKind::Network => "Network",
            PlanKind::Secret => "Secret",
            PlanKind::Config => "Config",
            PlanKind::Container => "Container",
        };
        let action = match step.action() {
            PlanAction::Unchanged => "Running",
            PlanAction::Created => "Created",
            PlanAction::Updated => "Updated",
            PlanAction::Started => "Started",
            PlanAction::Restarted => "Restarted",
            PlanAction::Healthy => "Healthy",
            PlanAction::Exited => "Exited",
            PlanAction::Stopped => "Stopped",
            PlanAction::Removed => "Removed",
        };
        Self { kind, name: step.name, action }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " DRY-RUN MODE -  {} {}  {}", self.kind, printable(&self.name), self.action)
    }
}

/// Tells steps, one a line.
pub fn tell(steps: impl IntoIterator<Item = Step>) {
    steps.into_iter().for_each(|step| eprintln!("{step}"));
}

/// What the managers say a change would lead to.
pub async fn plan(client: &mut Client, change: Change) -> Result<Vec<Step>> {
    let reply = client.control.plan(PlanRequest { change: Some(change) }).await?.into_inner();
    Ok(reply.steps.into_iter().map(Step::from).collect())
}

/// The volumes that a stack names and that are not there: its containers' node makes them.
pub async fn new_volumes(client: &mut Client, stack: &Stack) -> Result<Vec<Step>> {
    let mounts = stack.services.iter().flat_map(|service| &service.container.mounts);
    let named = mounts.filter_map(|mount| match &mount.source {
        MountSource::Volume { name: Some(name), .. } => Some(name.clone()),
        _ => None,
    });
    let mut names: BTreeSet<String> = named.collect();
    let request = ListVolumesRequest { labels: Default::default(), size: false };
    for volume in client.node.list_volumes(request).await?.into_inner().volumes {
        names.remove(&volume.name);
    }
    Ok(names.into_iter().map(|name| Step::new("Volume", name, "Created")).collect())
}
