//! What the daemon asks of the process that works on a container's files. Both are always the same program.

use std::path::PathBuf;

use image::tree::{Extracted, Packed, PathStat};
use serde::{Deserialize, Serialize};

/// The first line on its standard input; an archive may follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Which container's files, and how to come by them.
    pub site: Site,
    /// What to do.
    pub task: Task,
}

/// How to come by a container's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Site {
    /// It runs: as its first process sees them, mounts included.
    Running {
        /// Its first process.
        pid: u32,
        /// What the process's cgroup must name, so that a reused process id is not taken for it.
        container: String,
    },
    /// It runs, and its mounts are to be left out: its root as its shim has mounted it.
    Own {
        /// Its first process.
        pid: u32,
        /// As above.
        container: String,
        /// Where its shim has mounted it.
        rootfs: PathBuf,
    },
    /// It doesn't run: the layers are mounted, for this process alone.
    Stopped {
        /// The image's layers, topmost first.
        lower: Vec<PathBuf>,
        /// The container's own layer.
        upper: PathBuf,
        /// overlayfs's scratch directory: what is written stays, and `lock` is held. `None`: it goes with this process.
        work: Option<PathBuf>,
        /// Where to mount.
        rootfs: PathBuf,
        /// The lock of the container's shim.
        lock: PathBuf,
        /// Its volumes and binds.
        mounts: Vec<StoppedMount>,
        /// Its root file system is read-only.
        read_only: bool,
    },
    /// The layers as they are.
    Layers {
        /// The image's, topmost first.
        lower: Vec<PathBuf>,
        /// The container's own.
        upper: PathBuf,
    },
}

/// A volume or bind of a container that doesn't run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedMount {
    /// On the host.
    pub source: PathBuf,
    /// In the container.
    pub target: String,
    /// Nothing may be written there.
    pub read_only: bool,
}

/// What to do with the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Say what is at a path.
    Stat {
        /// In the container.
        path: Vec<u8>,
    },
    /// Write an archive of what is at a path to standard output, after a line with its [`PathStat`].
    Pack {
        /// In the container.
        path: Vec<u8>,
        /// What the archive's entries begin with.
        name: Vec<u8>,
    },
    /// Extract the archive on standard input.
    Extract {
        /// A directory in the container.
        path: Vec<u8>,
        /// Owners and set-user-id bits as the archive has them, instead of root's and none.
        keep_owners: bool,
        /// Directories and files may replace each other.
        replace: bool,
        /// Directories that are there keep owner, mode and time.
        keep_directories: bool,
        /// Paths below `path` that go first.
        remove: Vec<Vec<u8>>,
    },
    /// Write a JSON line for every change; [`Site::Layers`] only.
    Changes,
    /// Write an image layer of the container's own; [`Site::Layers`] only.
    Layer {
        /// Paths that are there only because something was mounted on them.
        mount_points: Vec<Vec<u8>>,
        /// No file is younger than so many seconds since the epoch.
        newest: Option<i64>,
    },
}

/// How it went: one JSON line, the last on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// Well.
    Done(Answer),
    /// Not at all, or only in part.
    Failed(Failure),
}

/// What a task says in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Of [`Task::Stat`].
    Stat(Stat),
    /// Of [`Task::Pack`] and [`Task::Layer`].
    Packed(Packed),
    /// Of [`Task::Extract`].
    Extracted(Extracted),
    /// Of [`Task::Changes`].
    Told,
}

/// A [`PathStat`] on this wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// Kind and mode.
    pub mode: u32,
    /// Nanoseconds since the epoch.
    pub modified: i64,
    /// Where a symlink leads.
    pub target: Option<Vec<u8>>,
}

impl From<PathStat> for Stat {
    fn from(PathStat { size, mode, modified, target }: PathStat) -> Self {
        Self { size, mode, modified, target }
    }
}

/// What kind of failure it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// There is nothing at the path.
    pub not_found: bool,
    /// The request or the archive is wrong, not the node.
    pub invalid: bool,
    /// For the person who must act.
    pub message: String,
}
