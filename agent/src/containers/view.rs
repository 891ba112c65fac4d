//! A container as callers see it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use model::{
    ContainerId, ContainerSpec, ContainerStatus, MacAddress, MountSource, NetworkId, NetworkMode, PortSpec, Timestamp,
};
use net::plan::SubnetPlan;

use super::record::{Record, TaskRef, container_status};
use crate::health::Probe;
use crate::network::Networks;
use crate::paths::Paths;
use crate::task::Machine;

/// Everything about one container at one moment.
#[derive(Debug, Clone)]
pub struct ContainerView {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// What it is made from.
    pub spec: ContainerSpec,
    /// How it is connected.
    pub network: NetworkMode,
    /// Its ports as published.
    pub ports: Vec<PortSpec>,
    /// Digest of the image's config.
    pub image_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it does.
    pub status: ContainerStatus,
    /// Whose it is; `None`: standalone.
    pub task: Option<TaskRef>,
    /// It goes when it ends.
    pub auto_remove: bool,
    /// Entrypoint and command as run.
    pub args: Vec<String>,
    /// Its current log file.
    pub log_path: PathBuf,
    /// What went wrong at the last start.
    pub error: Option<String>,
    /// Its networks.
    pub attachments: Vec<AttachmentView>,
    /// Its mounts.
    pub mounts: Vec<MountView>,
    /// A user has stopped it.
    pub stopped_by_user: bool,
    /// The spec's labels over the image's.
    pub labels: BTreeMap<String, String>,
    /// Its last health probes, oldest first.
    pub health_log: Vec<Probe>,
}

/// A container on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentView {
    /// Which network.
    pub network_id: NetworkId,
    /// Its name.
    pub network: String,
    /// Addresses there.
    pub addresses: Vec<IpAddr>,
    /// The network's subnets, with the node's own address in each.
    pub subnets: Vec<SubnetPlan>,
    /// Further names there.
    pub aliases: Vec<String>,
    /// Its device's link address.
    pub mac: Option<MacAddress>,
}

/// A mount of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountView {
    /// `volume`, `bind` or `tmpfs`.
    pub kind: &'static str,
    /// Name of the volume; else empty.
    pub name: String,
    /// Path on the host; empty for tmpfs.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Read-only.
    pub read_only: bool,
}

/// Puts a view together.
pub fn view(record: &Record, machine: &Machine, paths: &Paths, networks: &Networks) -> ContainerView {
    let spec = |name: &str| record.network.attachments().iter().find(|spec| spec.network == name);
    let attachments = record.attachments.iter().map(|attachment| {
        let network = networks.describe(attachment.network);
        let name = network.as_ref().map_or_else(|| attachment.network.to_string(), |network| network.name.clone());
        let is_parents = network.as_ref().is_some_and(|network| matches!(network.link, model::Link::Ipvlan { .. }));
        AttachmentView {
            network_id: attachment.network,
            addresses: attachment.addresses.clone(),
            subnets: network.map(|network| network.subnets).unwrap_or_default(),
            aliases: spec(&name).map(|spec| spec.aliases.clone()).unwrap_or_default(),
            mac: spec(&name)
                .and_then(|spec| spec.mac_address)
                .or_else(|| attachment.addresses.first().copied().map(MacAddress::of))
                // Devices of an ipvlan network have none of their own.
                .filter(|_| !is_parents),
            network: name,
        }
    });
    ContainerView {
        id: record.id,
        name: record.name.clone(),
        spec: record.spec.clone(),
        network: record.network.clone(),
        ports: networks.published(record),
        image_id: record.image_id.clone(),
        created_at: record.created_at,
        status: container_status(record, machine),
        task: record.task,
        auto_remove: record.auto_remove,
        args: record.args.clone(),
        log_path: paths.log(record.id),
        error: machine.error().map(Into::into),
        attachments: attachments.collect(),
        mounts: mounts(record, paths),
        stopped_by_user: machine.is_stopped(),
        labels: record.labels.clone(),
        health_log: machine.monitor().map(|monitor| monitor.log().cloned().collect()).unwrap_or_default(),
    }
}

fn mounts(record: &Record, paths: &Paths) -> Vec<MountView> {
    let volume = |target: &str| record.volumes.iter().find(|volume| volume.target == target);
    let data = |name: &str| paths.volumes().join(name).join("_data").display().to_string();
    let declared = record.spec.mounts.iter().map(|mount| {
        let (kind, name, source) = match &mount.source {
            MountSource::Volume { .. } => {
                let name = volume(&mount.target).map(|volume| volume.name.clone()).unwrap_or_default();
                ("volume", name.clone(), data(&name))
            }
            MountSource::Bind { path, .. } => ("bind", String::new(), path.clone()),
            MountSource::Tmpfs { .. } => ("tmpfs", String::new(), String::new()),
            MountSource::Image { image, .. } => ("image", String::new(), image.clone()),
            MountSource::VolumesOf { container } => ("volumes", String::new(), container.clone()),
        };
        MountView { kind, name, source, target: mount.target.clone(), read_only: mount.read_only }
    });
    let of_image =
        record.volumes.iter().filter(|volume| !record.spec.mounts.iter().any(|mount| mount.target == volume.target));
    let of_image = of_image.map(|volume| MountView {
        kind: "volume",
        name: volume.name.clone(),
        source: data(&volume.name),
        target: volume.target.clone(),
        read_only: false,
    });
    declared.chain(of_image).collect()
}
