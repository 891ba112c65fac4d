//! Where a node keeps what.

use std::path::{Path, PathBuf};

use model::ContainerId;

/// The two directories of a daemon and what is in them.
#[derive(Debug, Clone)]
pub struct Paths {
    data: PathBuf,
    run: PathBuf,
}

impl Paths {
    /// `data` survives a restart of the machine, `run` need not.
    pub fn new(data: &Path, run: &Path) -> Self {
        Self { data: data.into(), run: run.into() }
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The run directory.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Every container's directory is in here.
    pub fn containers(&self) -> PathBuf {
        self.data.join("containers")
    }

    /// A container's directory, which is also its bundle.
    pub fn bundle(&self, id: ContainerId) -> PathBuf {
        self.containers().join(id.to_string())
    }

    /// Where its root file system is mounted, in its shim's mount namespace only.
    pub fn rootfs(&self, id: ContainerId) -> PathBuf {
        self.bundle(id).join("rootfs")
    }

    /// Its writable layer.
    pub fn upper(&self, id: ContainerId) -> PathBuf {
        self.bundle(id).join("upper")
    }

    /// Scratch space of overlayfs.
    pub fn work(&self, id: ContainerId) -> PathBuf {
        self.bundle(id).join("work")
    }

    /// Where the shim mounts the /dev/shm of another container, in its own mount namespace only.
    pub fn shared_shm(&self, id: ContainerId) -> PathBuf {
        self.bundle(id).join("shm")
    }

    /// Files that Orca mounts into it: hosts, hostname, resolv.conf, configs.
    pub fn files(&self, id: ContainerId) -> PathBuf {
        self.bundle(id).join("files")
    }

    /// The current log file.
    pub fn log(&self, id: ContainerId) -> PathBuf {
        self.bundle(id).join(format!("{id}-json.log"))
    }

    /// Every volume's directory is in here.
    pub fn volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    /// Images and parts of volumes are mounted in here.
    pub fn mounts(&self) -> PathBuf {
        self.data.join("mounts")
    }

    /// The agent's database.
    pub fn database(&self) -> PathBuf {
        self.data.join("agent.db")
    }

    /// Network namespaces are bound in here.
    pub fn netns_dir(&self) -> PathBuf {
        self.run.join("netns")
    }

    /// Where the network namespace of one run of a container is bound.
    pub fn netns(&self, id: ContainerId, generation: u64) -> PathBuf {
        self.netns_dir().join(format!("{id}.{generation}"))
    }

    /// User namespaces are bound in here.
    pub fn userns_dir(&self) -> PathBuf {
        self.run.join("userns")
    }

    /// The directories in which namespaces of containers are bound: mounts of their own.
    pub fn namespace_dirs(&self) -> [PathBuf; 2] {
        [self.netns_dir(), self.userns_dir()]
    }

    /// Where the user namespace of one run of a container is bound, if it has one of its own: beside its network's, by the
    /// same name.
    pub fn userns(&self, netns: &Path) -> PathBuf {
        self.userns_dir().join(netns.file_name().unwrap_or_default())
    }

    /// The program that is the first process of containers that want one.
    pub fn init(&self) -> PathBuf {
        self.data.join("init")
    }

    /// A tmpfs with the secrets of all containers.
    pub fn secrets(&self) -> PathBuf {
        self.run.join("secrets")
    }

    /// Scratch directories of shims.
    pub fn shim_state(&self, id: ContainerId) -> PathBuf {
        self.run.join("shim").join(id.to_string())
    }
}
