//! Tasks: one slot's assignment of one spec to one node.

use serde::{Deserialize, Serialize};

use crate::{Attachment, ContainerId, ContainerSpec, Health, Meta, NetworkMode, NodeId, ServiceId, TaskId, Timestamp};

/// How far a task has come. It only moves forward; the numbers leave room and are those of SwarmKit's `TaskState`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u16)]
pub enum TaskState {
    /// Made by an orchestrator.
    #[default]
    New = 0,
    /// Waits for a node.
    Pending = 64,
    /// The scheduler has chosen a node.
    Assigned = 192,
    /// The agent has it.
    Accepted = 256,
    /// Image, volumes, networks are being made ready.
    Preparing = 320,
    /// Can start; waits for its desired state to be RUNNING.
    Ready = 384,
    /// The process is being started.
    Starting = 448,
    /// The container has been started; it may be between two runs of its restart policy, or stopped by a user.
    Running = 512,
    /// Ended with code 0, and the restart policy lets it rest.
    Complete = 576,
    /// Ended because Orca was asked to.
    Shutdown = 640,
    /// Failed after STARTING, and the restart policy gives up.
    Failed = 704,
    /// Failed before STARTING: it could not be carried out.
    Rejected = 768,
    /// Only desired: end, then remove the container.
    Remove = 800,
    /// Its node was gone for too long.
    Orphaned = 832,
}

impl TaskState {
    /// Every state in order.
    pub const ALL: [Self; 14] = [
        Self::New,
        Self::Pending,
        Self::Assigned,
        Self::Accepted,
        Self::Preparing,
        Self::Ready,
        Self::Starting,
        Self::Running,
        Self::Complete,
        Self::Shutdown,
        Self::Failed,
        Self::Rejected,
        Self::Remove,
        Self::Orphaned,
    ];

    /// The state of this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u16 == number)
    }

    /// Whether nothing more happens to the task.
    pub fn is_terminal(self) -> bool {
        self > Self::Running
    }
}

impl std::fmt::Display for TaskState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::New => "new",
            Self::Pending => "pending",
            Self::Assigned => "assigned",
            Self::Accepted => "accepted",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Shutdown => "shutdown",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Remove => "remove",
            Self::Orphaned => "orphaned",
        })
    }
}

/// One slot's assignment of one spec to one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Version and times.
    pub meta: Meta,
    /// The service that it is a task of.
    pub service: ServiceId,
    /// Which of the service's replicas, from 1.
    pub slot: u32,
    /// Name of its container: `PROJECT-SERVICE-SLOT` for a Compose project.
    pub name: String,
    /// The service's spec at the time the task was made.
    pub spec: TaskSpec,
    /// The service's `spec_version` at that time.
    pub spec_version: u64,
    /// Where; `None` until scheduled.
    pub node: Option<NodeId>,
    /// What the manager wants: READY, RUNNING, SHUTDOWN or REMOVE; it only moves forward.
    pub desired: TaskState,
    /// What a user wants of the container while the task lives.
    pub intent: RunIntent,
    /// An ended task of the same slot and spec on the same node whose container this one takes over.
    pub continues: Option<TaskId>,
    /// Its container's anonymous volumes stay on the node for the next container of the slot, and it takes over those that were
    /// made for this or a later version of the service's spec. `None`: they go with the container.
    pub volumes_since: Option<u64>,
    /// How many tasks of this slot a node has refused, or was lost with, in a row before this one.
    pub tries: u32,
    /// The only node that it may run on: it is of a service that has one task a node, and is no slot's.
    #[serde(default)]
    pub bound: Option<NodeId>,
    /// What the agent reports.
    pub status: TaskStatus,
}

/// What of a service a task stands for; at most one lasts there, beside the one that takes over from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// One of the replicas.
    Slot(u32),
    /// A node, of a service that has one task on each.
    Node(NodeId),
}

impl Task {
    /// What of its service it stands for.
    pub fn place(&self) -> Place {
        self.bound.map_or(Place::Slot(self.slot), Place::Node)
    }

    /// Whether it is to be there, running or having ended by itself.
    pub fn is_live(&self) -> bool {
        self.desired <= TaskState::Running
    }
}

/// The frozen part of a service's spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskSpec {
    /// What to run.
    pub container: ContainerSpec,
    /// How it is connected.
    pub network: NetworkMode,
}

/// `stop`, `start` and `restart` of a task's container, which stays the same one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunIntent {
    /// A user has stopped it.
    pub stopped: bool,
    /// Counts `restart` commands; the agent restarts when it is above what it has carried out.
    pub restarts: u64,
}

/// What an agent reports of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskStatus {
    /// How far it has come.
    pub state: TaskState,
    /// Counts the reports of one task, so that an old one never overwrites a new one.
    pub revision: u64,
    /// When this was so.
    pub at: Timestamp,
    /// What is going on, in words: `pulling image`, `waiting for db to be healthy`.
    pub message: String,
    /// What went wrong.
    pub error: Option<String>,
    /// The container, once there is one.
    pub container: Option<ContainerStatus>,
}

/// The observed state of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Which container.
    pub id: ContainerId,
    /// What it does.
    pub phase: ContainerPhase,
    /// Process id on the node while it runs.
    pub pid: Option<u32>,
    /// Code of the last run, 128+n for a signal.
    pub exit_code: Option<i32>,
    /// The kernel's OOM killer ended the last run.
    pub oom_killed: bool,
    /// What the health checks say.
    pub health: Health,
    /// How often the restart policy has run it again.
    pub restart_count: u32,
    /// The `restarts` of the intent that has been carried out.
    pub restarts_done: u64,
    /// When the last run began.
    pub started_at: Timestamp,
    /// When the last run ended.
    pub finished_at: Timestamp,
    /// Its networks and addresses.
    pub attachments: Vec<Attachment>,
}

/// Docker's container states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerPhase {
    /// Made, never started.
    #[default]
    Created,
    /// Its process runs.
    Running,
    /// Its process is frozen.
    Paused,
    /// Waits for its next run.
    Restarting,
    /// Ended.
    Exited,
    /// Being removed.
    Removing,
    /// Could not be removed.
    Dead,
}

impl std::fmt::Display for ContainerPhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Dead => "dead",
        })
    }
}

impl TaskStatus {
    /// Whether traffic may go to the container: it runs, and its health check (if any) passes.
    pub fn serves(&self) -> bool {
        self.state == TaskState::Running
            && self.container.as_ref().is_some_and(|container| {
                container.phase == ContainerPhase::Running && matches!(container.health, Health::None | Health::Healthy)
            })
    }

    /// Whether `next` may replace this report: later, and not further back.
    pub fn accepts(&self, next: &Self) -> bool {
        next.revision > self.revision && next.state >= self.state && !self.state.is_terminal()
            || self.state.is_terminal() && next.state == self.state && next.revision > self.revision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_order_and_come_back() {
        assert!(TaskState::ALL.is_sorted());
        for state in TaskState::ALL {
            assert_eq!(TaskState::from_number(state as u16), Some(state));
        }
        assert_eq!(TaskState::from_number(1), None);
    }

    #[test]
    fn a_report_never_goes_back() {
        let at = |state, revision| TaskStatus { state, revision, ..TaskStatus::default() };
        assert!(at(TaskState::Ready, 1).accepts(&at(TaskState::Running, 2)));
        assert!(at(TaskState::Running, 1).accepts(&at(TaskState::Running, 2)));
        assert!(!at(TaskState::Running, 2).accepts(&at(TaskState::Running, 2)));
        assert!(!at(TaskState::Running, 1).accepts(&at(TaskState::Ready, 2)));
        assert!(!at(TaskState::Failed, 1).accepts(&at(TaskState::Orphaned, 2)));
    }
}
