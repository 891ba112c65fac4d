//! What the agent knows, as messages. Pure.

use api::node as wire;
use model::Timestamp;
use net::plan::Family;

use crate::containers::{AttachmentView, ContainerView, MountView, TaskRef};
use crate::health::Probe;
use crate::logs::{Record, Run};

/// A container.
pub fn container(view: ContainerView) -> wire::Container {
    let ContainerView {
        id,
        name,
        spec,
        network,
        ports,
        image_id,
        created_at,
        status,
        task,
        auto_remove,
        args,
        log_path,
        error,
        attachments,
        mounts,
        stopped_by_user,
        labels,
        health_log,
    } = view;
    wire::Container {
        id: id.to_string(),
        name,
        spec: Some(spec.into()),
        network: Some(network.into()),
        ports: ports.into_iter().map(Into::into).collect(),
        image_id,
        created_at: created_at.0,
        status: Some(status.into()),
        task: task.map(task_ref),
        auto_remove,
        args,
        log_path: log_path.display().to_string(),
        error,
        attachments: attachments.into_iter().map(attachment).collect(),
        mounts: mounts.into_iter().map(mount).collect(),
        stopped_by_user,
        labels,
        health_log: health_log.into_iter().map(probe).collect(),
        apparmor_profile: String::new(),
        process_label: String::new(),
        mount_label: String::new(),
        size_rw: None,
        size_root_fs: None,
    }
}

fn task_ref(TaskRef { task, service, slot, spec_version: _, volumes_since: _ }: TaskRef) -> wire::TaskRef {
    wire::TaskRef { task: task.to_string(), service: service.to_string(), slot }
}

fn attachment(view: AttachmentView) -> wire::NamedAttachment {
    let AttachmentView { network_id, network, addresses, subnets, aliases, mac } = view;
    let of = |family: Family| subnets.iter().find(|side| family.has(&side.subnet));
    let prefix = |family| of(family).map_or(0, |side| side.subnet.prefix().into());
    let gateway = |family| of(family).map(|side| side.gateway.to_string()).unwrap_or_default();
    wire::NamedAttachment {
        network_id: network_id.to_string(),
        network,
        addresses: addresses.iter().map(ToString::to_string).collect(),
        prefix: prefix(Family::V4),
        gateway: gateway(Family::V4),
        prefix6: prefix(Family::V6),
        gateway6: gateway(Family::V6),
        aliases,
        mac: mac.map(|mac| mac.to_string()).unwrap_or_default(),
    }
}

fn mount(MountView { kind, name, source, target, read_only }: MountView) -> wire::MountPoint {
    wire::MountPoint { kind: kind.into(), name, source, target, read_only }
}

fn probe(Probe { start, end, exit_code, output }: Probe) -> wire::HealthRun {
    wire::HealthRun { start: start.0, end: end.0, exit_code, output }
}

/// Many lines of output.
pub fn log_batch(runs: Vec<Run>) -> wire::LogBatch {
    wire::LogBatch { runs: runs.into_iter().map(|Run { stderr, text }| wire::LogRun { stderr, text }).collect() }
}

/// A line of output.
pub fn log_record(Record { at: Timestamp(at), stderr, line }: Record) -> wire::LogRecord {
    wire::LogRecord { at, stderr, line }
}
