//! Volumes, binds and tmpfs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path in the container.
    pub target: String,
    /// Read-only.
    pub read_only: bool,
    /// What is mounted.
    pub source: MountSource,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountSource {
    /// A named volume, or an anonymous one that lives as long as its container.
    Volume {
        /// Name on the node; `None`: anonymous.
        name: Option<String>,
        /// Do not fill a new volume from the image.
        no_copy: bool,
        /// Only this directory of the volume.
        subpath: Option<String>,
        /// What to create when the volume does not exist yet.
        spec: VolumeSpec,
    },
    /// A path of the host.
    Bind {
        /// Absolute path on the node.
        path: String,
        /// Make a directory when nothing is there (short Compose syntax, `-v`).
        create: bool,
        /// Mount propagation (mount_namespaces(7)).
        propagation: Propagation,
    },
    /// A file system in memory.
    Tmpfs {
        /// Limit in bytes; `None`: the kernel's half of memory.
        size: Option<u64>,
        /// Permission bits of its root; Docker's default is 1777.
        mode: Option<u32>,
    },
}

/// How mounts made below a bind on one side show on the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // mount_namespaces(7) names them
pub enum Propagation {
    #[default]
    Rprivate,
    Private,
    Rshared,
    Shared,
    Rslave,
    Slave,
}

/// How to make a volume: the `local` driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeSpec {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `type`, `o` and `device` of the local driver.
    pub driver_opts: BTreeMap<String, String>,
    /// It must exist already.
    pub external: bool,
}
