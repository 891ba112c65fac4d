//! Records to bytes and back. Both sides are taken apart field by field, so that a forgotten field does not compile.

use std::path::Path;

use api::agent as wire;
use model::{Assignments, AssignmentsDiff, Health, LocalNetwork, TaskState, Timestamp};
use prost::Message;

use super::RECORD_FORMAT;
use crate::Error;
use crate::containers::{Record, TaskRef, VolumeUse};
use crate::mounts::{VolumeOwner, VolumeRecord};
use crate::task::{Exit, Goal, Saved};

/// Why a record can't be read.
#[derive(Debug)]
pub enum Unreadable {
    /// A later version wrote it.
    Format(u32),
    /// It lacks something, or holds what its type does not have.
    Damaged(String),
}

impl Unreadable {
    /// As an error about this record.
    pub fn of(self, path: &Path, key: &str) -> Error {
        match self {
            Self::Format(found) => Error::Format { path: path.into(), found, known: RECORD_FORMAT },
            Self::Damaged(reason) => Error::Damaged { path: path.into(), reason: format!("record {key}: {reason}") },
        }
    }
}

impl From<api::Error> for Unreadable {
    fn from(error: api::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

type Read<T> = std::result::Result<T, Unreadable>;

fn check(format: u32) -> Read<()> {
    if format == RECORD_FORMAT { Ok(()) } else { Err(Unreadable::Format(format)) }
}

fn missing(what: &str) -> Unreadable {
    Unreadable::Damaged(format!("it has no {what}"))
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Read<T> {
    text.parse().map_err(|error: T::Err| Unreadable::Damaged(error.to_string()))
}

fn all<W, M: TryFrom<W, Error = api::Error>>(items: Vec<W>) -> Read<Vec<M>> {
    Ok(items.into_iter().map(M::try_from).collect::<Result<_, _>>()?)
}

pub fn container(record: &Record) -> Vec<u8> {
    let Record {
        id,
        name,
        spec,
        network,
        ports,
        auto_remove,
        task,
        image_id,
        args,
        labels,
        created_at,
        attachments,
        volumes,
        intent,
        life,
        status,
    } = record.clone();
    wire::ContainerRecord {
        format: RECORD_FORMAT,
        id: id.to_string(),
        name,
        spec: Some(spec.into()),
        network: Some(network.into()),
        ports: ports.into_iter().map(Into::into).collect(),
        auto_remove,
        task: task.map(|TaskRef { task, service, slot, spec_version, volumes_since }| wire::TaskRef {
            task: task.to_string(),
            service: service.to_string(),
            slot,
            spec_version,
            volumes_since,
        }),
        image_id,
        args,
        labels,
        created_at: created_at.0,
        attachments: attachments.into_iter().map(Into::into).collect(),
        volumes: volumes
            .into_iter()
            .map(|VolumeUse { target, name, anonymous }| wire::VolumeUse { target, name, anonymous })
            .collect(),
        intent: Some(api::types::RunIntent { stopped: intent.stopped, restarts: intent.restarts }),
        life: Some(life_to_wire(life)),
        status: Some(status.into()),
    }
    .encode_to_vec()
}

pub fn read_container(wire: wire::ContainerRecord) -> Read<Record> {
    check(wire.format)?;
    let intent = wire.intent.ok_or_else(|| missing("intent"))?;
    Ok(Record {
        id: parse(&wire.id)?,
        name: wire.name,
        spec: wire.spec.ok_or_else(|| missing("spec"))?.try_into()?,
        network: wire.network.ok_or_else(|| missing("network"))?.try_into()?,
        ports: all(wire.ports)?,
        auto_remove: wire.auto_remove,
        task: wire
            .task
            .map(|task| {
                Ok::<_, Unreadable>(TaskRef {
                    task: parse(&task.task)?,
                    service: parse(&task.service)?,
                    slot: task.slot,
                    spec_version: task.spec_version,
                    volumes_since: task.volumes_since,
                })
            })
            .transpose()?,
        image_id: wire.image_id,
        args: wire.args,
        labels: wire.labels,
        created_at: Timestamp(wire.created_at),
        attachments: all(wire.attachments)?,
        volumes: wire
            .volumes
            .into_iter()
            .map(|wire::VolumeUse { target, name, anonymous }| VolumeUse { target, name, anonymous })
            .collect(),
        intent: model::RunIntent { stopped: intent.stopped, restarts: intent.restarts },
        life: life_from_wire(wire.life.ok_or_else(|| missing("life"))?)?,
        status: wire.status.ok_or_else(|| missing("status"))?.try_into()?,
    })
}

fn life_to_wire(life: Saved) -> wire::Life {
    let Saved {
        goal,
        prepared,
        rejected,
        pending,
        reached,
        stopped,
        generation,
        attempts,
        restart_count,
        restarts_done,
        last_exit,
        error,
        health,
        post_started,
        pre_stopped,
    } = life;
    wire::Life {
        goal: Some(match goal {
            Goal::Exist => wire::life::Goal::Exist(true),
            Goal::Ready => wire::life::Goal::Ready(true),
            Goal::Run => wire::life::Goal::Run(true),
            Goal::End => wire::life::Goal::End(true),
            Goal::Remove { volumes, force } => wire::life::Goal::Remove(wire::Remove { volumes, force }),
        }),
        prepared,
        rejected,
        pending,
        reached: u32::from(reached as u16),
        stopped,
        generation,
        attempts,
        restart_count,
        restarts_done,
        last_exit: last_exit.map(|Exit { code, oom_killed, started_at, finished_at }| wire::Exit {
            code,
            oom_killed,
            started_at: started_at.0,
            finished_at: finished_at.0,
        }),
        error,
        health: match health {
            Health::None => api::types::Health::None,
            Health::Starting => api::types::Health::Starting,
            Health::Healthy => api::types::Health::Healthy,
            Health::Unhealthy => api::types::Health::Unhealthy,
        }
        .into(),
        post_started,
        pre_stopped,
    }
}

fn life_from_wire(life: wire::Life) -> Read<Saved> {
    let reached = u16::try_from(life.reached).ok().and_then(TaskState::from_number);
    Ok(Saved {
        goal: match life.goal.ok_or_else(|| missing("goal"))? {
            wire::life::Goal::Exist(_) => Goal::Exist,
            wire::life::Goal::Ready(_) => Goal::Ready,
            wire::life::Goal::Run(_) => Goal::Run,
            wire::life::Goal::End(_) => Goal::End,
            wire::life::Goal::Remove(wire::Remove { volumes, force }) => Goal::Remove { volumes, force },
        },
        prepared: life.prepared,
        rejected: life.rejected,
        pending: life.pending,
        reached: reached.ok_or_else(|| Unreadable::Damaged(format!("task state {} is unknown", life.reached)))?,
        stopped: life.stopped,
        generation: life.generation,
        attempts: life.attempts,
        restart_count: life.restart_count,
        restarts_done: life.restarts_done,
        last_exit: life.last_exit.map(|exit| Exit {
            code: exit.code,
            oom_killed: exit.oom_killed,
            started_at: Timestamp(exit.started_at),
            finished_at: Timestamp(exit.finished_at),
        }),
        error: life.error,
        health: match api::types::Health::try_from(life.health) {
            Ok(api::types::Health::None) => Health::None,
            Ok(api::types::Health::Starting) => Health::Starting,
            Ok(api::types::Health::Healthy) => Health::Healthy,
            Ok(api::types::Health::Unhealthy) => Health::Unhealthy,
            Err(error) => return Err(Unreadable::Damaged(error.to_string())),
        },
        post_started: life.post_started,
        pre_stopped: life.pre_stopped,
    })
}

pub fn volume(record: &VolumeRecord) -> Vec<u8> {
    let VolumeRecord { name, spec, created_at, anonymous, owner } = record.clone();
    wire::VolumeRecord {
        format: RECORD_FORMAT,
        name,
        spec: Some(spec.into()),
        created_at: created_at.0,
        anonymous,
        owner: owner.map(|VolumeOwner { service, slot, target, spec_version }| wire::VolumeOwner {
            service: service.to_string(),
            slot,
            target,
            spec_version,
        }),
    }
    .encode_to_vec()
}

pub fn read_volume(wire: wire::VolumeRecord) -> Read<VolumeRecord> {
    check(wire.format)?;
    Ok(VolumeRecord {
        name: wire.name,
        spec: wire.spec.ok_or_else(|| missing("spec"))?.try_into()?,
        created_at: Timestamp(wire.created_at),
        anonymous: wire.anonymous,
        owner: wire.owner.map(volume_owner).transpose()?,
    })
}

fn volume_owner(wire::VolumeOwner { service, slot, target, spec_version }: wire::VolumeOwner) -> Read<VolumeOwner> {
    Ok(VolumeOwner { service: parse(&service)?, slot, target, spec_version })
}

pub fn local_network(network: &LocalNetwork) -> Vec<u8> {
    wire::LocalNetworkRecord { format: RECORD_FORMAT, network: Some(network.clone().into()) }.encode_to_vec()
}

pub fn read_local_network(wire: wire::LocalNetworkRecord) -> Read<LocalNetwork> {
    check(wire.format)?;
    Ok(wire.network.ok_or_else(|| missing("network"))?.try_into()?)
}

/// Networks, endpoints and other nodes alone: tasks are in their containers' records, contents never on disk.
pub fn networks(assignments: &Assignments) -> Vec<u8> {
    let Assignments { tasks: _, networks, endpoints, secrets: _, configs: _, peers, data_path_port } = assignments;
    let (networks, endpoints, peers) = (networks.clone(), endpoints.clone(), peers.clone());
    let kept = Assignments { networks, endpoints, peers, data_path_port: *data_path_port, ..Assignments::default() };
    let diff: AssignmentsDiff = Assignments::default().diff(&kept);
    wire::NetworksRecord { format: RECORD_FORMAT, assignments: Some(diff.into()) }.encode_to_vec()
}

pub fn read_networks(wire: wire::NetworksRecord) -> Read<Assignments> {
    check(wire.format)?;
    let diff: AssignmentsDiff = wire.assignments.ok_or_else(|| missing("assignments"))?.try_into()?;
    let mut kept = Assignments::default();
    kept.apply(diff);
    Ok(kept)
}
