//! Containers whose users are not the host's.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::shim::{IdMap, SPEC_FILE, ShimSpec};
use model::{ContainerId, MountSource, VolumeSpec};
use net::plan::NodeKey;

use super::Executor;
use crate::bundle::Peers;
use crate::bundle::users::{Databases, Ids, mapped, remap, reservation, staged_root};
use crate::containers::Record;
use crate::network::NetworkOwner;
use crate::{Error, Result, UsersConfig};

/// The kernel from which overlayfs takes idmapped layers.
const IDMAPPED_LAYERS: (u32, u32) = (5, 19);

/// Where shims put, each in its own mount namespace, what the first process of a container with other users must reach by
/// its path. Everybody may enter it and what is above it, which cannot be said of the node's own directories.
pub fn stage(key: &NodeKey) -> PathBuf {
    PathBuf::from(format!("/run/orca-{key}"))
}

/// The ids of `--userns-remap`, if this node can show files with them.
///
/// # Errors
/// What is missing, in the user databases or in the kernel.
pub fn remapped(users: &UsersConfig, data: &Path, kernel: (u32, u32)) -> Result<IdMap> {
    let wanted = users.remap.as_str();
    let refused = |reason: String| Error::Spec { key: "--userns-remap", value: wanted.into(), reason };
    if wanted == "default" {
        reserve(&users.databases.join("subuid"))?;
        reserve(&users.databases.join("subgid"))?;
    }
    let read = |name: &str| read_database(&users.databases.join(name));
    let (passwd, group) = (read("passwd")?, read("group")?);
    let (subuid, subgid) = (read("subuid")?, read("subgid")?);
    let map = remap(wanted, Databases { passwd: &passwd, group: &group, subuid: &subuid, subgid: &subgid })?;
    if kernel < IDMAPPED_LAYERS {
        let (major, minor) = kernel;
        return Err(refused(format!(
            "layers are shown through idmapped mounts, which overlayfs takes from Linux 5.19: this is {major}.{minor}"
        )));
    }
    let shown = net::netlink::userns::try_idmapped(data, &map);
    shown.map_err(|error| {
        let data = data.display();
        refused(format!(
            "{data} cannot be shown to other users: {error}; the kernel must allow user namespaces \
                (user.max_user_namespaces), and the file system idmapped mounts (ext4, xfs, btrfs, f2fs do)"
        ))
    })?;
    Ok(map)
}

/// One that is missing is empty.
fn read_database(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("read", path)(error)),
        text => Ok(text.unwrap_or_default()),
    }
}

/// Reserves ids for the default user, as useradd(8) would for a new one. Nobody needs to log in as that user, so none is made.
fn reserve(path: &Path) -> Result<()> {
    if let Some(line) = reservation(&read_database(path)?) {
        // One short append is whole, whoever else appends.
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).map_err(Error::io("open", path))?;
        file.write_all(line.as_bytes()).map_err(Error::io("write", path))?;
        tracing::info!(path = %path.display(), line = line.trim(), "ids are reserved for containers");
    }
    Ok(())
}

/// Whether a volume is a path of the host.
fn is_path(spec: &VolumeSpec) -> bool {
    let options = spec.driver_opts.get("o").map_or("", String::as_str);
    options.split(',').any(|option| matches!(option, "bind" | "rbind"))
}

/// The number of the user namespace that a file of /proc or of the run directory names.
fn namespace_number(path: &Path) -> Result<u64> {
    fs::metadata(path).map(|found| found.ino()).map_err(Error::io("inspect", path))
}

impl Executor {
    /// Which user namespace a run's network namespace belongs to; `None`: the host's. A container that shares namespaces
    /// shares the users whom they belong to.
    pub(super) fn network_owner(&self, record: &Record, peers: Peers) -> Result<Option<NetworkOwner>> {
        let Some(map) = mapped(&record.spec, &self.host) else { return Ok(None) };
        let of_process = |pid: u32| PathBuf::from(format!("/proc/{pid}/ns/user"));
        let mut donors: Vec<PathBuf> =
            [peers.pid, peers.ipc].into_iter().flatten().map(|peer| of_process(peer.process)).collect();
        if let Some(partner) = self.networks.partner(record.id).filter(|_| record.network.is_shared()) {
            let users = self.paths.userns(&partner.netns);
            donors.push(if users.exists() { users } else { of_process(std::process::id()) });
        }
        let Some(first) = donors.first() else { return Ok(Some(NetworkOwner::New(map.clone()))) };
        let number = namespace_number(first)?;
        let refused = |reason: &str| Error::Spec { key: "userns", value: "private".into(), reason: reason.into() };
        if number == namespace_number(&of_process(std::process::id()))? {
            return Err(refused(
                "the container whose namespace it shares has the host's users: run this one with --userns host too",
            ));
        }
        for donor in &donors {
            if namespace_number(donor)? != number {
                return Err(refused("the containers whose namespaces it shares have different users"));
            }
        }
        Ok(Some(NetworkOwner::Of(first.clone())))
    }

    /// Whose ids files there have: what a volume holds has the container's, like a layer, and binds if the node is told so. A
    /// volume that is a path of the host by another name is a bind.
    pub(super) fn ids_of(&self, record: &Record, source: &Path) -> Ids {
        let is_bind = |mount: &model::Mount| match &mount.source {
            MountSource::Bind { path, .. } => Path::new(path) == source,
            _ => false,
        };
        if self.host.idmapped_binds && record.spec.mounts.iter().any(is_bind) {
            return Ids::Bind;
        }
        let held = self.volumes.held();
        let part = |index: usize| held.part_point(record.id, index) == source;
        let part =
            record.spec.mounts.iter().enumerate().find(|(index, _)| part(*index)).map(|(_, mount)| &mount.target);
        let of_volume = record.volumes.iter().any(|volume| {
            let is_its = source.starts_with(self.volumes.mountpoint(&volume.name)) || part == Some(&volume.target);
            is_its && !self.volumes.get(&volume.name).is_some_and(|found| is_path(&found.spec))
        });
        if of_volume { Ids::Volume } else { Ids::Host }
    }

    /// Where the shim of a running container has mounted its root file system.
    pub fn mounted_root(&self, id: ContainerId) -> PathBuf {
        let spec = fs::read(self.paths.bundle(id).join(SPEC_FILE)).ok();
        let spec: Option<ShimSpec> = spec.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let staged = spec.and_then(|spec| spec.users).map(|users| staged_root(&users.stage));
        staged.unwrap_or_else(|| self.paths.rootfs(id))
    }
}
