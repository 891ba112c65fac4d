//! Tasks and what agents report of them.

use model::{TaskState, Timestamp};

use super::{WireEnum, all, optional_text, or_default, required, text, wires};
use crate::{Error, types};

fn state(field: &'static str, number: u32) -> Result<TaskState, Error> {
    let state = u16::try_from(number).ok().and_then(TaskState::from_number);
    state.ok_or_else(|| Error::invalid(field, number))
}

impl From<model::Task> for types::Task {
    fn from(task: model::Task) -> Self {
        let model::Task {
            id,
            meta,
            service,
            slot,
            name,
            spec,
            spec_version,
            node,
            desired,
            intent,
            continues,
            volumes_since,
            tries,
            bound,
            status,
        } = task;
        Self {
            id: id.to_string(),
            meta: Some(meta.into()),
            service: service.to_string(),
            slot,
            name,
            spec: Some(spec.into()),
            spec_version,
            node: node.map(|node| node.to_string()),
            desired: u32::from(desired as u16),
            intent: Some(intent.into()),
            continues: continues.map(|task| task.to_string()),
            volumes_since,
            tries,
            bound: bound.map(|node| node.to_string()),
            status: Some(status.into()),
        }
    }
}

impl TryFrom<types::Task> for model::Task {
    type Error = Error;

    fn try_from(task: types::Task) -> Result<Self, Error> {
        let types::Task {
            id,
            meta,
            service,
            slot,
            name,
            spec,
            spec_version,
            node,
            desired,
            intent,
            continues,
            volumes_since,
            tries,
            bound,
            status,
        } = task;
        Ok(Self {
            id: text("task.id", id)?,
            meta: or_default(meta)?,
            service: text("task.service", service)?,
            slot,
            name,
            spec: required(spec, "task.spec")?,
            spec_version,
            node: optional_text("task.node", node)?,
            desired: state("task.desired", desired)?,
            intent: or_default(intent)?,
            continues: optional_text("task.continues", continues)?,
            volumes_since,
            tries,
            bound: optional_text("task.bound", bound)?,
            status: or_default(status)?,
        })
    }
}

impl From<model::TaskSpec> for types::TaskSpec {
    fn from(model::TaskSpec { container, network }: model::TaskSpec) -> Self {
        Self { container: Some(container.into()), network: Some(network.into()) }
    }
}

impl TryFrom<types::TaskSpec> for model::TaskSpec {
    type Error = Error;

    fn try_from(types::TaskSpec { container, network }: types::TaskSpec) -> Result<Self, Error> {
        let container = required(container, "task_spec.container")?;
        Ok(Self { container, network: required(network, "task_spec.network")? })
    }
}

impl From<model::TaskStatus> for types::TaskStatus {
    fn from(status: model::TaskStatus) -> Self {
        let model::TaskStatus { state, revision, at, message, error, container } = status;
        let container = container.map(Into::into);
        Self { state: u32::from(state as u16), revision, at: at.0, message, error, container }
    }
}

impl TryFrom<types::TaskStatus> for model::TaskStatus {
    type Error = Error;

    fn try_from(status: types::TaskStatus) -> Result<Self, Error> {
        let types::TaskStatus { state: number, revision, at, message, error, container } = status;
        Ok(Self {
            state: state("task_status.state", number)?,
            revision,
            at: Timestamp(at),
            message,
            error,
            container: container.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<model::ContainerStatus> for types::ContainerStatus {
    fn from(status: model::ContainerStatus) -> Self {
        let model::ContainerStatus {
            id,
            phase,
            pid,
            exit_code,
            oom_killed,
            health,
            restart_count,
            restarts_done,
            started_at,
            finished_at,
            attachments,
        } = status;
        Self {
            id: id.to_string(),
            phase: phase.number(),
            pid,
            exit_code,
            oom_killed,
            health: health.number(),
            restart_count,
            restarts_done,
            started_at: started_at.0,
            finished_at: finished_at.0,
            attachments: wires(attachments),
        }
    }
}

impl TryFrom<types::ContainerStatus> for model::ContainerStatus {
    type Error = Error;

    fn try_from(status: types::ContainerStatus) -> Result<Self, Error> {
        let types::ContainerStatus {
            id,
            phase,
            pid,
            exit_code,
            oom_killed,
            health,
            restart_count,
            restarts_done,
            started_at,
            finished_at,
            attachments,
        } = status;
        Ok(Self {
            id: text("container_status.id", id)?,
            phase: WireEnum::from_number("container_status.phase", phase)?,
            pid,
            exit_code,
            oom_killed,
            health: WireEnum::from_number("container_status.health", health)?,
            restart_count,
            restarts_done,
            started_at: Timestamp(started_at),
            finished_at: Timestamp(finished_at),
            attachments: all(attachments)?,
        })
    }
}
