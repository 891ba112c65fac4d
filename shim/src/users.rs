//! A container whose users are not the host's: idmapped mounts (mount_setattr(2)), and a stage where its first process,
//! which is nobody to the host, finds what it needs.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use model::shim::{IdMap, StagedBind, Users};
use nix::mount::{MsFlags, mount};
use rustix::fs::FileType;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::error::{Result, ShimError};

/// An open user namespace and its ids.
pub struct Namespace<'a> {
    fd: File,
    map: &'a IdMap,
    stage: &'a Path,
}

impl<'a> Namespace<'a> {
    /// Opens the namespace.
    ///
    /// # Errors
    /// If it is gone, or has no root.
    pub fn open(users: &'a Users) -> Result<Self> {
        let fd = File::open(&users.namespace).map_err(ShimError::io("open", &users.namespace))?;
        Ok(Self { fd, map: &users.map, stage: &users.stage })
    }

    /// Where the container's first process finds what it needs.
    pub fn stage(&self) -> &Path {
        self.stage
    }

    /// A mount of directory or file `path` that shows the ids of the namespace; it is mounted nowhere.
    ///
    /// # Errors
    /// If the file system cannot do that: EINVAL.
    pub fn idmapped(&self, path: &Path) -> Result<OwnedFd> {
        let tree = open_tree(rustix::fs::CWD, path, CLONE).map_err(ShimError::io("open", path))?;
        self.map_tree(&tree).map_err(|source| ShimError::IdMapped { path: path.to_owned(), source })?;
        Ok(tree)
    }

    fn map_tree(&self, tree: &OwnedFd) -> std::io::Result<()> {
        const NOWHERE: &CStr = c"";
        let attr = libc::mount_attr {
            attr_set: libc::MOUNT_ATTR_IDMAP,
            attr_clr: 0,
            propagation: 0,
            userns_fd: u64::try_from(self.fd.as_raw_fd()).unwrap_or(u64::MAX),
        };
        // SAFETY: the path is terminated and `attr` is as long as is said; both outlive the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                tree.as_raw_fd(),
                NOWHERE.as_ptr(),
                libc::AT_EMPTY_PATH,
                &raw const attr,
                size_of::<libc::mount_attr>(),
            )
        };
        if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Does `work` with the files' owner being the container's root, as whom alone files can be made in idmapped mounts.
    ///
    /// # Errors
    /// Those of `work`, or if the namespace has no root.
    pub fn as_root<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (uid, gid) = self.map.root().ok_or(ShimError::NoRootUser)?;
        // Taking another file owner takes the capabilities that concern files.
        let before = rustix::thread::capabilities(None).map_err(ShimError::system("read capabilities"))?;
        set_file_owner(uid, gid);
        let done = rustix::thread::set_capabilities(None, before)
            .map_err(ShimError::system("keep capabilities"))
            .and_then(|()| work());
        set_file_owner(0, 0);
        rustix::thread::set_capabilities(None, before).map_err(ShimError::system("keep capabilities"))?;
        done
    }
}

const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);

fn set_file_owner(uid: u32, gid: u32) {
    // SAFETY: both only change credentials of this process, which has one thread.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
}

/// Mounts the stage, empty, in the shim's own mount namespace.
///
/// # Errors
/// If the kernel refuses.
pub fn make_stage(users: &Users) -> Result<()> {
    std::fs::create_dir_all(&users.stage).map_err(ShimError::io("make", &users.stage))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("orca-stage"), &users.stage, Some("tmpfs"), flags, Some("mode=0755,size=4m"))
        .map_err(ShimError::io("mount a tmpfs on", &users.stage))
}

/// Puts everything on the stage that the configuration names there.
///
/// # Errors
/// Naming what is missing.
pub fn fill_stage(users: &Users, namespace: &Namespace<'_>) -> Result<()> {
    users.binds.iter().try_for_each(|bind| stage(bind, namespace))
}

fn stage(bind: &StagedBind, namespace: &Namespace<'_>) -> Result<()> {
    if let Some(parent) = bind.target.parent() {
        std::fs::create_dir_all(parent).map_err(ShimError::io("make", parent))?;
    }
    if bind.namespace {
        File::create(&bind.target).map_err(ShimError::io("make", &bind.target))?;
        let flags = MsFlags::MS_BIND;
        return mount(Some(&bind.source), &bind.target, None::<&str>, flags, None::<&str>)
            .map_err(ShimError::io("bind", &bind.source));
    }
    let tree = match bind.idmapped.then(|| namespace.idmapped(&bind.source)) {
        Some(Ok(tree)) => tree,
        None => plain(bind)?,
        // Its file system has no idmapped mounts (mount_setattr(2)).
        Some(Err(ShimError::IdMapped { source, .. })) if bind.volume && source.raw_os_error() == Some(libc::EINVAL) => {
            given_away(bind, namespace)?
        }
        Some(Err(error)) => return Err(error),
    };
    let status = rustix::fs::fstat(&tree).map_err(ShimError::io("inspect", &bind.source))?;
    if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
        std::fs::create_dir(&bind.target).map_err(ShimError::io("make", &bind.target))?;
    } else {
        File::create(&bind.target).map_err(ShimError::io("make", &bind.target))?;
    }
    let into = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&tree, "", rustix::fs::CWD, &bind.target, into).map_err(ShimError::io("mount", &bind.target))
}

/// As the host has it.
fn plain(bind: &StagedBind) -> Result<OwnedFd> {
    let flags = CLONE | OpenTreeFlags::AT_RECURSIVE;
    open_tree(rustix::fs::CWD, &bind.source, flags).map_err(ShimError::io("open", &bind.source))
}

/// A volume whose directory the container's root gets, as in Docker.
fn given_away(bind: &StagedBind, namespace: &Namespace<'_>) -> Result<OwnedFd> {
    let tree = plain(bind)?;
    let status = rustix::fs::fstat(&tree).map_err(ShimError::io("inspect", &bind.source))?;
    if let Some((uid, gid)) = namespace.map.root().filter(|_| (status.st_uid, status.st_gid) == (0, 0)) {
        let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
        // A server that squashes root has its own mind about owners; it gives access, or the container says what it lacks.
        let _ = rustix::fs::chownat(&tree, "", Some(uid), Some(gid), rustix::fs::AtFlags::EMPTY_PATH);
    }
    Ok(tree)
}

/// Gives pipes to the user who will read and write them: it may open them anew by `/dev/stdout`.
///
/// # Errors
/// If the kernel refuses.
pub fn give_pipes(streams: [&OwnedFd; 3], uid: u32) -> Result<()> {
    for stream in streams {
        let fault = ShimError::system("give a pipe to the container's user");
        let status = rustix::fs::fstat(stream).map_err(ShimError::system("inspect a pipe"))?;
        if FileType::from_raw_mode(status.st_mode) == FileType::Fifo && status.st_uid != uid {
            std::os::unix::fs::fchown(stream.as_fd(), Some(uid), None).map_err(fault)?;
        }
    }
    Ok(())
}
