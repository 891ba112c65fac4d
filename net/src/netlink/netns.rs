//! Network namespaces, kept by binding them to files as ip-netns(8) does.
//!
//! A namespace is a property of a thread, so all of this happens on threads that do one thing and end: the caller's
//! never change.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use super::link;
use super::message::Batch;
use super::socket::Netlink;
use super::{sysctl, sysctl_if_present};
use crate::Error;

fn failed(step: &'static str, path: &Path, source: impl Into<io::Error>) -> Error {
    Error::Netns { step, path: path.into(), source: source.into() }
}

/// Makes a namespace and binds it to `path`, whose directory exists. Its loopback device is up; devices made in it
/// later have IPv6 off; as in Docker, any user may bind low ports and ping in it.
///
/// A path that exists is refused: it may be a living container's.
pub fn create(path: &Path) -> Result<(), Error> {
    claim(path)?;
    let made = on_thread(path, || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| failed("create", path, errno))?;
        prepare()?;
        // The parent of a namespace's bind must not be shared into every mount namespace made later; unlinking the
        // file detaches it there too (Linux 3.18 and later), so nothing more is needed.
        mount(Some("/proc/thread-self/ns/net"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|errno| failed("bind", path, errno))
    });
    made.inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })
}

/// Makes an empty directory, in which namespaces are to be bound, a mount of its own: binds in it then propagate to no other
/// mount namespace, and whoever wants to be rid of them unmounts one directory. One that is mounted already, or has
/// anything in it, stays as it is.
pub fn keep_apart(dir: &Path) -> Result<(), Error> {
    let mounted = is_mount_point(dir).map_err(|source| failed("look at", dir, source))?;
    let mut entries = std::fs::read_dir(dir).map_err(|source| failed("look at", dir, source))?;
    if mounted || entries.next().is_some() {
        return Ok(());
    }
    let bind = |source, flags| mount(source, dir, None::<&str>, flags, None::<&str>);
    bind(Some(dir), MsFlags::MS_BIND)
        .and_then(|()| bind(None, MsFlags::MS_PRIVATE))
        .map_err(|errno| failed("mount", dir, errno))
}

/// Undoes [`keep_apart`].
pub fn keep_no_longer_apart(dir: &Path) {
    // Nothing is mounted there if it was not empty when the node began.
    let _ = umount2(dir, MntFlags::MNT_DETACH);
}

/// Whether something is mounted on a path.
///
/// # Errors
/// If it can't be looked at.
pub fn is_mount_point(path: &Path) -> io::Result<bool> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Makes the file that a namespace is bound to.
pub(super) fn claim(path: &Path) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path).map(drop).map_err(|source| failed("create", path, source))
}

/// What every namespace of a container has.
pub(super) fn prepare() -> Result<(), Error> {
    let mut batch = Batch::default();
    link::set_up(&mut batch, link::LOOPBACK);
    Netlink::route()?.execute(&batch, &[])?;
    sysctl_if_present("net/ipv6/conf/default/disable_ipv6", "1")?;
    for name in ["all", "default"] {
        // The host forwards between addresses of one device and must not be believed to know a better way.
        sysctl(&format!("net/ipv4/conf/{name}/accept_redirects"), "0")?;
    }
    sysctl("net/ipv4/ip_unprivileged_port_start", "0")?;
    sysctl("net/ipv4/ping_group_range", "0 2147483647")
}

/// Unbinds a namespace and removes its file; it ends with its last process. One that is gone is no error.
pub fn remove(path: &Path) -> Result<(), Error> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // EINVAL: no mount, as after a restart of the machine with a run directory on disk.
        Ok(()) | Err(nix::Error::EINVAL) => {}
        Err(nix::Error::ENOENT) => return Ok(()),
        Err(errno) => return Err(failed("unbind", path, errno)),
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, error)),
        _ => Ok(()),
    }
}

/// Opens a bound namespace.
pub fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| failed("open", path, source))
}

/// Runs `work` on a thread inside the namespace. Sockets that it opens belong to that namespace for good.
pub fn within<T: Send>(path: &Path, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    let namespace = open(path)?;
    within_file(path, &namespace, work)
}

/// As [`within`], for a namespace that is open already; `path` is for messages.
pub(crate) fn within_file<T: Send>(
    path: &Path,
    namespace: &File,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    on_thread(path, || {
        setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| failed("enter", path, errno))?;
        work()
    })
}

fn on_thread<T: Send>(path: &Path, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".into()).spawn_scoped(scope, work);
        let thread = thread.map_err(|source| failed("start a thread for", path, source))?;
        thread.join().unwrap_or_else(|_| Err(Error::Thread { path: path.into() }))
    })
}
