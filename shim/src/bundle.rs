//! The bundle directory: reading what the agent wrote, leaving what the agent will read.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use model::shim::{EXIT_FILE, ExitRecord, LOCK_FILE, SOCKET_FILE, SPEC_FILE, SPEC_VERSION, ShimSpec};
use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, Mode, OFlags, fallocate, openat, renameat, unlinkat};

use crate::error::{Result, ShimError};

const RESERVE: &str = ".exit.json.tmp";
/// More than the largest exit record.
const RESERVED_BYTES: u64 = 4096;

/// An open bundle directory. Files are reached through its descriptor, so path lengths and renames don't matter.
pub struct Bundle {
    dir: OwnedFd,
    path: PathBuf,
}

impl Bundle {
    /// Opens the directory at `path` (made absolute).
    ///
    /// # Errors
    /// If it isn't a directory that can be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(ShimError::io("resolve", path))?;
        let dir = rustix::fs::open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(ShimError::io("open bundle", &path))?;
        Ok(Self { dir, path })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole of file `name`.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        let fd = openat(&self.dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(ShimError::io("read", &path))?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut std::fs::File::from(fd), &mut bytes).map_err(ShimError::io("read", &path))?;
        Ok(bytes)
    }

    /// `shim.json`, checked for its version.
    ///
    /// # Errors
    /// If it is missing, malformed or of a later version.
    pub fn spec(&self) -> Result<ShimSpec> {
        let spec: ShimSpec = serde_json::from_slice(&self.read(SPEC_FILE)?)
            .map_err(|source| ShimError::Json { path: self.path.join(SPEC_FILE), source })?;
        if spec.version == 0 || spec.version > SPEC_VERSION {
            return Err(ShimError::SpecVersion { file: SPEC_FILE, found: spec.version, known: SPEC_VERSION });
        }
        Ok(spec)
    }

    /// Whether file `name` exists.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Takes the bundle's lock; it is held until the descriptor is dropped or the process ends, and not inherited by
    /// children (fcntl locks aren't; flock would be held by a container's process that has not executed yet).
    ///
    /// # Errors
    /// [`ShimError::Locked`] if a living shim has it.
    pub fn lock(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let fd = openat(&self.dir, LOCK_FILE, flags, Mode::RUSR | Mode::WUSR)
            .map_err(ShimError::io("open", self.path.join(LOCK_FILE)))?;
        match rustix::fs::fcntl_lock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(fd),
            Err(rustix::io::Errno::ACCESS | rustix::io::Errno::AGAIN) => Err(ShimError::Locked(self.path.clone())),
            Err(errno) => Err(ShimError::io("lock", self.path.join(LOCK_FILE))(errno)),
        }
    }

    /// Listens on the bundle's socket, which only root may connect to.
    ///
    /// # Errors
    /// If it can't be bound.
    pub fn listen(&self, name: &str) -> Result<UnixListener> {
        let path = self.path.join(name);
        self.remove(name);
        // A path of any length fits into sockaddr_un this way.
        let short = format!("/proc/self/fd/{}/{name}", self.dir.as_raw_fd());
        let before = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let bound = UnixListener::bind(short);
        rustix::process::umask(before);
        let listener = bound.map_err(ShimError::io("bind", &path))?;
        listener.set_nonblocking(true).map_err(ShimError::io("bind", &path))?;
        Ok(listener)
    }

    /// Removes file `name` if it is there.
    pub fn remove(&self, name: &str) {
        // What is not there, or can't be removed, does no harm: every reader checks the run generation.
        let _ = unlinkat(&self.dir, name, AtFlags::empty());
    }

    /// Reserves the disk space of the exit record now, so that a full disk cannot swallow it later.
    pub fn reserve_exit_record(&self) {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        if let Ok(fd) = openat(&self.dir, RESERVE, flags, Mode::RUSR | Mode::WUSR) {
            // Some file systems can't; the record is then written at the end with what space there is.
            let _ = fallocate(&fd, FallocateFlags::KEEP_SIZE, 0, RESERVED_BYTES);
        }
    }

    /// Gives the reserve back, when there will be no exit record.
    pub fn release_reserve(&self) {
        self.remove(RESERVE);
    }

    /// Writes the exit record, whole or not at all; `durable` so that it survives a power cut: fsync, rename, fsync of the directory.
    ///
    /// # Errors
    /// If any of these fails; the caller may try again.
    pub fn write_exit_record(&self, record: &ExitRecord, durable: bool) -> Result<()> {
        let path = self.path.join(EXIT_FILE);
        let bytes =
            serde_json::to_vec(record).map_err(|source| ShimError::Json { path: self.path.join(EXIT_FILE), source })?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let fd = openat(&self.dir, RESERVE, flags, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH)
            .map_err(ShimError::io("write", &path))?;
        let mut file = std::fs::File::from(fd);
        file.write_all(&bytes).map_err(ShimError::io("write", &path))?;
        file.set_len(bytes.len() as u64).map_err(ShimError::io("write", &path))?;
        if durable {
            rustix::fs::fdatasync(&file).map_err(ShimError::io("write", &path))?;
        }
        renameat(&self.dir, RESERVE, &self.dir, EXIT_FILE).map_err(ShimError::io("write", &path))?;
        if durable {
            rustix::fs::fsync(&self.dir).map_err(ShimError::io("write", &path))?;
        }
        Ok(())
    }

    /// Writes `bytes` as file `name`, whole or not at all, without waiting for the disk.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let temporary = format!(".{name}.tmp");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let fd =
            openat(&self.dir, &temporary, flags, Mode::RUSR | Mode::WUSR).map_err(ShimError::io("write", &path))?;
        std::fs::File::from(fd).write_all(bytes).map_err(ShimError::io("write", &path))?;
        renameat(&self.dir, &temporary, &self.dir, name).map_err(ShimError::io("write", &path))
    }

    /// Appends one line to the shim's own log.
    pub fn complain(&self, name: &str, line: &str) {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
        if let Ok(fd) = openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR) {
            // There is nowhere left to report this to.
            let _ = std::fs::File::from(fd).write_all(line.as_bytes());
        }
    }

    /// Removes the socket.
    pub fn unlisten(&self) {
        self.remove(SOCKET_FILE);
    }
}
