//! Coming by a container's root directory.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use image::tree::{IdMap, Owner, Root};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{FileType, FlockOperation, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::order::{Failure, Site, StoppedMount};

/// Longest file below /proc/PID that is read, in bytes.
const PROC_MAX: usize = 64 << 10;

/// Where a task works.
pub struct Place {
    root: Option<Root>,
    /// Users and groups as the container numbers them.
    pub ids: IdMap,
    /// The container's root user and group, as the host numbers them.
    zero: (u32, u32),
    /// Its user namespace, if that isn't the host's.
    users: Option<OwnedFd>,
    /// Held until the process ends.
    _lock: Option<OwnedFd>,
}

impl Place {
    /// The container's root directory.
    pub fn root(&self) -> Result<&Root, Failure> {
        self.root.as_ref().ok_or_else(|| failed("open", Path::new("/"), io::ErrorKind::InvalidInput.into()))
    }

    /// Becomes the container's root where its users are not the host's: nobody else can make files there, since its layers
    /// are shown to it through idmapped mounts. This process has one thread, as setns(2) demands.
    pub fn enter_users(&mut self) -> Result<(), Failure> {
        let Some(users) = self.users.take() else { return Ok(()) };
        let path = Path::new("/proc/PID/ns/user");
        let fault = |action: &'static str| move |errno: nix::Error| failed(action, path, errno.into());
        setns(&users, CloneFlags::CLONE_NEWUSER).map_err(fault("enter"))?;
        nix::unistd::setgroups(&[]).map_err(fault("leave the groups outside of"))?;
        let (uid, gid) = (nix::unistd::Uid::from_raw(0), nix::unistd::Gid::from_raw(0));
        nix::unistd::setresgid(gid, gid, gid).map_err(fault("become root in"))?;
        nix::unistd::setresuid(uid, uid, uid).map_err(fault("become root in"))?;
        (self.ids, self.zero) = (IdMap::default(), (0, 0));
        Ok(())
    }

    /// Whose files become that nobody else is asked to own.
    pub fn superuser(&self) -> Owner {
        Owner::Of(self.zero.0, self.zero.1)
    }
}

fn failed(action: &str, path: &Path, error: io::Error) -> Failure {
    Failure { not_found: false, invalid: false, message: format!("cannot {action} {}: {error}", path.display()) }
}

/// Opens what the site names.
pub fn open(site: &Site) -> Result<Place, Failure> {
    match site {
        Site::Running { pid, container } => {
            let process = Process::find(*pid, container)?;
            let root = process.open("root", OFlags::PATH | OFlags::DIRECTORY)?;
            place(Some(Root::new(root)), &process)
        }
        Site::Own { pid, container, rootfs } => {
            let process = Process::find(*pid, container)?;
            let shim = process.parent()?;
            let inside = rootfs.strip_prefix("/").unwrap_or(rootfs);
            let root = shim.open(&format!("root/{}", inside.display()), OFlags::PATH | OFlags::DIRECTORY)?;
            place(Some(Root::new(root)), &process)
        }
        Site::Stopped { lower, upper, work, rootfs, lock, mounts, read_only } => {
            let lock = work.as_ref().map(|_| hold(lock)).transpose()?;
            own_namespace()?;
            overlay(lower, upper, work.as_deref(), rootfs)?;
            let root = Root::open(rootfs)?;
            mounts.iter().try_for_each(|mount| attach(rootfs, mount))?;
            if *read_only {
                let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
                mount(None::<&str>, rootfs, None::<&str>, flags, None::<&str>)
                    .map_err(|errno| failed("make read-only", rootfs, errno.into()))?;
            }
            Ok(Place { root: Some(root), ids: IdMap::default(), zero: (0, 0), users: None, _lock: lock })
        }
        Site::Layers { .. } => Ok(Place { root: None, ids: IdMap::default(), zero: (0, 0), users: None, _lock: None }),
    }
}

fn place(root: Option<Root>, process: &Process) -> Result<Place, Failure> {
    let (uids, gids) = (process.text("uid_map")?, process.text("gid_map")?);
    let bad = |error| failed("read the id map of", &process.path, error);
    let ids = IdMap::parse(&uids, &gids).map_err(bad)?;
    let zero = ids.root().ok_or_else(|| bad(io::ErrorKind::InvalidData.into()))?;
    let users = (ids != IdMap::default()).then(|| process.open("ns/user", OFlags::RDONLY)).transpose()?;
    Ok(Place { root, ids, zero, users, _lock: None })
}

/// A process, by its directory below /proc: everything that is opened there is of this very process, or fails when it has
/// ended, however its number is used again.
struct Process {
    dir: OwnedFd,
    path: PathBuf,
}

impl Process {
    fn open_dir(pid: u32) -> Result<Self, Failure> {
        let path = PathBuf::from(format!("/proc/{pid}"));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&path, flags, Mode::empty());
        Ok(Self { dir: dir.map_err(|errno| failed("open", &path, errno.into()))?, path })
    }

    /// The process of a container: its cgroup says so.
    fn find(pid: u32, container: &str) -> Result<Self, Failure> {
        let process = Self::open_dir(pid)?;
        if process.text("cgroup")?.contains(container) {
            return Ok(process);
        }
        Err(Failure { not_found: false, invalid: false, message: "the container has just ended: try again".into() })
    }

    /// Its parent, which is its shim. While a process has the same parent before and after, that one has not ended between.
    fn parent(&self) -> Result<Self, Failure> {
        let parent = |status: &str| -> Option<u32> {
            status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
        };
        let before = parent(&self.text("status")?);
        let found = Self::open_dir(before.unwrap_or(0))?;
        if before.is_some() && parent(&self.text("status")?) == before {
            return Ok(found);
        }
        Err(failed("find the parent of", &self.path, io::ErrorKind::NotFound.into()))
    }

    fn open(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Failure> {
        let fd = openat(&self.dir, name, flags | OFlags::CLOEXEC, Mode::empty());
        fd.map_err(|errno| failed("open", &self.path.join(name), errno.into()))
    }

    fn text(&self, name: &str) -> Result<String, Failure> {
        use std::io::Read;
        let mut bytes = Vec::new();
        let read = std::fs::File::from(self.open(name, OFlags::RDONLY)?).take(PROC_MAX as u64).read_to_end(&mut bytes);
        read.map_err(|error| failed("read", &self.path.join(name), error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Takes the place of the container's shim, which cannot start meanwhile.
fn hold(path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
    let fd = fd.map_err(|errno| failed("open", path, errno.into()))?;
    match rustix::fs::fcntl_lock(&fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(fd),
        Err(_) => {
            let message = "the container is just starting, or somebody else copies into it: try again".into();
            Err(Failure { not_found: false, invalid: false, message })
        }
    }
}

/// A mount namespace that ends with this process and still follows the host's.
fn own_namespace() -> Result<(), Failure> {
    let root = Path::new("/");
    unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| failed("leave the mounts of", root, errno.into()))?;
    mount(None::<&str>, root, None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
        .map_err(|errno| failed("make private the mounts of", root, errno.into()))
}

/// Mounts the layers. Each is named by its descriptor: mount(2) takes one page of options. Without `work` the container's own
/// layer is the topmost of the lower ones, and what is written, which is only mount points, goes into memory.
fn overlay(lower: &[PathBuf], upper: &Path, work: Option<&Path>, target: &Path) -> Result<(), Failure> {
    let mut layers = lower.iter().map(|path| directory(path)).collect::<Result<Vec<_>, _>>()?;
    let (upper, work) = match work {
        Some(work) => {
            // Left by a run whose layer nobody was to keep; overlayfs refuses such a layer until somebody has said that it may be used.
            let _ = std::fs::remove_dir_all(work.join("work/incompat/volatile"));
            (directory(upper)?, directory(work)?)
        }
        None => {
            layers.insert(0, directory(upper)?);
            scratch(target)?
        }
    };
    let target_fd = directory(target)?;
    let number = |fd: &OwnedFd| fd.as_raw_fd().to_string();
    let layers: Vec<String> = layers.iter().map(number).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={},redirect_dir=off,metacopy=off,index=off",
        layers.join(":"),
        number(&upper),
        number(&work)
    );
    let enter = |path: &str| std::env::set_current_dir(path).map_err(|error| failed("enter", Path::new(path), error));
    enter("/proc/self/fd")?;
    let at = number(&target_fd);
    let mounted = mount(Some("overlay"), at.as_str(), Some("overlay"), MsFlags::empty(), Some(options.as_str()));
    enter("/")?;
    mounted.map_err(|errno| failed("mount the layers at", target, errno.into()))
}

fn directory(path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed("open", path, errno.into()))
}

/// An upper and a work directory in memory, on `target`, where the layers will cover them.
fn scratch(target: &Path) -> Result<(OwnedFd, OwnedFd), Failure> {
    mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::empty(), Some("size=4m,mode=0755"))
        .map_err(|errno| failed("mount a tmpfs on", target, errno.into()))?;
    let make = |name: &str| {
        let path = target.join(name);
        std::fs::create_dir(&path).map_err(|error| failed("make", &path, error))?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .map_err(|error| failed("make", &path, error))?;
        directory(&path)
    };
    Ok((make("upper")?, make("work")?))
}

/// Mounts a volume or bind where the container has it, resolved in its root: what is mounted there may belong to another
/// container that runs and changes it.
fn attach(rootfs: &Path, point: &StoppedMount) -> Result<(), Failure> {
    let error = |action| move |errno: Errno| failed(action, Path::new(&point.target), errno.into());
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let source = open_tree(rustix::fs::CWD, &point.source, flags)
        .map_err(|errno| failed("open", &point.source, errno.into()))?;
    let target = mount_point(&directory(rootfs)?, &source, &point.target).map_err(error("open"))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&source, "", &target, "", flags).map_err(error("mount on"))?;
    if point.read_only {
        let path = format!("/proc/self/fd/{}", source.as_raw_fd());
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(None::<&str>, path.as_str(), None::<&str>, flags, None::<&str>)
            .map_err(|errno| failed("make read-only", Path::new(&point.target), errno.into()))?;
    }
    Ok(())
}

fn within(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let rules = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, if path.is_empty() { "." } else { path }, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), rules)
}

/// Where to mount; made as the runtime makes it if the container has never run.
fn mount_point(root: &OwnedFd, source: &OwnedFd, target: &str) -> Result<OwnedFd, Errno> {
    match within(root, target) {
        Err(Errno::NOENT) => {}
        found => return found,
    }
    let is_dir = FileType::from_raw_mode(rustix::fs::fstat(source)?.st_mode) == FileType::Directory;
    let names: Vec<&str> = target.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    for (index, name) in names.iter().enumerate() {
        let above = within(root, &names[..index].join("/"))?;
        let made = if index + 1 == names.len() && !is_dir {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            openat(&above, *name, flags, Mode::from_raw_mode(0o644)).map(drop)
        } else {
            rustix::fs::mkdirat(&above, *name, Mode::from_raw_mode(0o755))
        };
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    within(root, target)
}
