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
        /// What becomes of mounts below it.
        #[serde(default)]
        recursive: Recursive,
        /// SELinux label that the path is to have (`:z`, `:Z`).
        #[serde(default)]
        relabel: Option<Relabel>,
    },
    /// A file system in memory.
    Tmpfs {
        /// Limit in bytes; `None`: the kernel's half of memory.
        size: Option<u64>,
        /// Permission bits of its root; Docker's default is 1777.
        mode: Option<u32>,
        /// Further options as mount(8) takes them, of those that [`is_tmpfs_option`] knows; `exec`, `suid` and `dev` lift what
        /// is set otherwise.
        #[serde(default)]
        options: Vec<String>,
    },
    /// The files of an image, read-only.
    Image {
        /// Image reference as the user wrote it.
        image: String,
        /// What it meant when the container was made; resolved by the agent.
        id: Option<String>,
        /// Only this directory of the image.
        subpath: Option<String>,
    },
    /// Everything that another container mounts, at the same places; the target is empty. The agent puts those mounts in its
    /// place when the container is made.
    VolumesOf {
        /// Name or id of a container; `service:KEY` for one of that service of the same project.
        container: String,
    },
}

/// What becomes of mounts below a bind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recursive {
    /// They are seen; if the bind is read-only so are they, where the kernel can do that (Linux 5.12).
    #[default]
    Enabled,
    /// They are not seen.
    Disabled,
    /// They are seen, and stay writable under a read-only bind.
    Writable,
    /// They are seen and read-only, or the container does not start.
    Readonly,
}

impl Recursive {
    /// The word for it in Docker's and Compose's options.
    ///
    /// # Errors
    /// What is expected.
    pub fn parse(word: &str) -> Result<Self, String> {
        match word {
            "enabled" => Ok(Self::Enabled),
            "disabled" => Ok(Self::Disabled),
            "writable" => Ok(Self::Writable),
            "readonly" => Ok(Self::Readonly),
            _ => Err(format!("{word:?} is none of enabled, disabled, writable and readonly")),
        }
    }
}

/// Which SELinux label a bind's path is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relabel {
    /// One that all containers share (`z`).
    Shared,
    /// The container's own (`Z`).
    Private,
}

impl Relabel {
    /// Docker's letter for it.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Shared => "z",
            Self::Private => "Z",
        }
    }
}

/// Whether a tmpfs takes this option, besides `size` and `mode`.
pub fn is_tmpfs_option(option: &str) -> bool {
    const WORDS: [&str; 18] = [
        "ro",
        "rw",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "sync",
        "async",
        "dirsync",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
    ];
    match option.split_once('=') {
        None => WORDS.contains(&option),
        Some((key, value)) => {
            let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            match key {
                "uid" | "gid" => number(value),
                "nr_inodes" | "nr_blocks" => number(value.trim_end_matches(['k', 'm', 'g', 'K', 'M', 'G'])),
                "mpol" | "huge" => value.bytes().all(|b| b.is_ascii_alphanumeric() || b"=:-_".contains(&b)),
                _ => false,
            }
        }
    }
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

impl Propagation {
    const ALL: [Self; 6] = [Self::Rprivate, Self::Private, Self::Rshared, Self::Shared, Self::Rslave, Self::Slave];

    /// The word for it in mount options.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Rprivate => "rprivate",
            Self::Private => "private",
            Self::Rshared => "rshared",
            Self::Shared => "shared",
            Self::Rslave => "rslave",
            Self::Slave => "slave",
        }
    }

    /// The one that a word means.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|propagation| propagation.word() == word)
    }
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
