//! What the node keeps of a container.

use std::collections::BTreeMap;

use model::{
    Attachment, ContainerId, ContainerPhase, ContainerSpec, ContainerStatus, NetworkMode, PortSpec, RunIntent,
    ServiceId, Task, TaskId, TaskStatus, Timestamp,
};

use crate::mounts::VolumeOwner;
use crate::task::{Exit, Machine, Saved, Stage};

/// Compose's labels of what belongs to a project, to one of its services, and to one command.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const ONE_OFF: &str = "com.docker.compose.oneoff";

/// A container as it is in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: ContainerId,
    /// Its name, unique on the node.
    pub name: String,
    /// What it is made from.
    pub spec: ContainerSpec,
    /// How it is connected.
    pub network: NetworkMode,
    /// Published ports of a standalone container; those of tasks belong to their service.
    pub ports: Vec<PortSpec>,
    /// Remove it when it ends.
    pub auto_remove: bool,
    /// Whose it is; `None`: standalone.
    pub task: Option<TaskRef>,
    /// Digest of the image's config; empty until the image was found.
    pub image_id: String,
    /// Entrypoint and command as run.
    pub args: Vec<String>,
    /// The spec's labels over the image's.
    pub labels: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its networks and the addresses that it keeps.
    pub attachments: Vec<Attachment>,
    /// Its volumes by where they are mounted.
    pub volumes: Vec<VolumeUse>,
    /// What its task's user wants, as last carried out.
    pub intent: RunIntent,
    /// What outlives the daemon of its life.
    pub life: Saved,
    /// The task's last report.
    pub status: TaskStatus,
}

impl Record {
    /// The project that it belongs to.
    pub fn project(&self) -> Option<&str> {
        self.labels.get(PROJECT).map(String::as_str)
    }

    /// The service of that project.
    pub fn service(&self) -> Option<&str> {
        self.labels.get(SERVICE).map(String::as_str)
    }

    /// Whether it is there for one command of a project, though it is no task (`compose run`).
    pub fn is_one_off(&self) -> bool {
        self.labels.get(ONE_OFF).is_some_and(|value| value == "True")
    }
}

/// Whose container it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskRef {
    /// The task.
    pub task: TaskId,
    /// Its service.
    pub service: ServiceId,
    /// Its slot.
    pub slot: u32,
    /// The version of the service's spec that it was made from.
    pub spec_version: u64,
    /// Anonymous volumes stay for the next container in the slot, which takes over those made since this version. `None`: they go
    /// with the container.
    pub volumes_since: Option<u64>,
}

impl TaskRef {
    /// What a container keeps of its task.
    pub fn of(task: &Task) -> Self {
        let Task { id, service, slot, spec_version, volumes_since, .. } = task;
        Self { task: *id, service: *service, slot: *slot, spec_version: *spec_version, volumes_since: *volumes_since }
    }

    /// The place that an anonymous volume at this target is made for.
    pub fn place(&self, target: &str) -> VolumeOwner {
        let Self { service, slot, spec_version, .. } = *self;
        VolumeOwner { service, slot, target: target.to_owned(), spec_version }
    }
}

/// A volume that a container has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeUse {
    /// Where it is mounted.
    pub target: String,
    /// Its name on the node.
    pub name: String,
    /// It goes with the container.
    pub anonymous: bool,
}

/// What a machine's container looks like from outside.
pub fn container_status(record: &Record, machine: &Machine) -> ContainerStatus {
    let last = machine.last_exit();
    let (pid, started_at) = match machine.stage() {
        Stage::Running { pid, started_at } => (Some(pid), started_at),
        _ => (None, last.map_or(Timestamp::NEVER, |exit: Exit| exit.started_at)),
    };
    ContainerStatus {
        id: record.id,
        phase: machine.phase(),
        pid,
        exit_code: last.map(|exit| exit.code),
        oom_killed: last.is_some_and(|exit| exit.oom_killed),
        health: machine.health(),
        restart_count: machine.restart_count(),
        restarts_done: machine.restarts_done(),
        started_at,
        finished_at: last.map_or(Timestamp::NEVER, |exit| exit.finished_at),
        attachments: record.attachments.clone(),
    }
}

/// What to report of the task: state, message and error; the caller numbers it.
pub fn task_status(record: &Record, machine: &Machine) -> TaskStatus {
    let container = container_status(record, machine);
    let message = match (machine.stage(), container.phase) {
        (Stage::New | Stage::Preparing, _) => "preparing image, volumes and networks".into(),
        (Stage::Prepared, _) => "ready to start".into(),
        (Stage::Starting, _) => "starting".into(),
        (Stage::Running { .. }, _) => match machine.hook() {
            Some((turn, index)) => format!("running, with {turn} hook {}", index + 1),
            None => "running".into(),
        },
        (Stage::Waiting { .. }, _) => format!("restarting after code {}", container.exit_code.unwrap_or_default()),
        (Stage::Exited, ContainerPhase::Exited) if machine.is_stopped() => "stopped by user".into(),
        (Stage::Exited, ContainerPhase::Exited) => {
            format!("exited with code {}", container.exit_code.unwrap_or_default())
        }
        (Stage::Exited, _) => "could not be started".into(),
        (Stage::Rejected, _) => "could not be prepared".into(),
        (Stage::Removing | Stage::Removed, _) => "being removed".into(),
    };
    TaskStatus {
        state: machine.task_state(),
        revision: 0,
        at: Timestamp::NEVER,
        message,
        error: machine.error().map(Into::into),
        container: Some(container),
    }
}
