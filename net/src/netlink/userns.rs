//! User namespaces, kept by binding them to files as [`netns`](super::netns) does, and network namespaces that belong to them.
//!
//! A process with several threads cannot enter a user namespace, so a child is made that does nothing else.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use model::shim::{IdMap, IdRange};
use nix::mount::{MsFlags, mount};

use super::netns;
use crate::Error;

/// Which user namespace.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// A new one with these ids.
    New(&'a IdMap),
    /// The one of this file.
    Of(&'a Path),
}

fn failed(step: &'static str, path: &Path, source: impl Into<io::Error>) -> Error {
    Error::Netns { step, path: path.into(), source: source.into() }
}

/// Makes a network namespace as [`netns::create`] does, and binds it to `netns` and the user namespace that it belongs to to
/// `userns`. Both directories exist, neither file does.
pub fn create(netns: &Path, userns: &Path, owner: Owner<'_>) -> Result<(), Error> {
    netns::claim(netns)?;
    let undo = |_: &Error| {
        let _ = netns::remove(netns);
    };
    netns::claim(userns).inspect_err(undo)?;
    let made = (|| {
        let child = Child::make(owner, true).map_err(|source| failed("create", netns, source))?;
        child.bind("net", netns)?;
        child.bind("user", userns)?;
        netns::within(netns, netns::prepare)
    })();
    made.inspect_err(|_| {
        let _ = netns::remove(userns);
    })
    .inspect_err(undo)
}

/// Opens a new user namespace, which ends with the file.
pub fn open(map: &IdMap) -> io::Result<File> {
    let child = Child::make(Owner::New(map), false)?;
    File::open(format!("/proc/{}/ns/user", child.pid))
}

/// Whether files below `path` can be shown with these ids (mount_setattr(2), MOUNT_ATTR_IDMAP).
///
/// # Errors
/// What the kernel says if not.
pub fn try_idmapped(path: &Path, map: &IdMap) -> io::Result<()> {
    let namespace = open(map)?;
    let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(namespace.as_raw_fd()).unwrap_or(u64::MAX),
    };
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: names are terminated, `attr` is as long as is said, and the new descriptor is owned by nobody else.
    unsafe {
        let tree = libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, name.as_ptr(), flags);
        let tree = libc::c_int::try_from(tree).ok().filter(|tree| *tree >= 0).ok_or_else(io::Error::last_os_error)?;
        let tree = OwnedFd::from_raw_fd(tree);
        let (size, none) = (size_of::<libc::mount_attr>(), c"");
        let done = libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            none.as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size,
        );
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Removes a bound user namespace. One that is gone is no error.
pub fn remove(path: &Path) -> Result<(), Error> {
    netns::remove(path)
}

/// A process that holds namespaces until it is dropped.
struct Child {
    pid: libc::pid_t,
    /// The child ends when this does.
    hold: Option<OwnedFd>,
}

impl Child {
    fn make(owner: Owner<'_>, with_network: bool) -> io::Result<Self> {
        let joined = match owner {
            Owner::New(_) => None,
            Owner::Of(path) => Some(File::open(path)?),
        };
        let (held, hold) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let (told, tell) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let order = Order {
            joined: joined.as_ref().map_or(-1, AsRawFd::as_raw_fd),
            network: with_network,
            hold: hold.as_raw_fd(),
            held: held.as_raw_fd(),
            tell: tell.as_raw_fd(),
        };
        // SAFETY: plain fork(2) without the C library's hooks: other threads may hold its locks. The child makes system calls
        // only, on numbers that it was given, and ends by _exit(2).
        let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        if pid == 0 {
            order.carry_out();
        }
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        let child = Self { pid: libc::pid_t::try_from(pid).unwrap_or(0), hold: Some(hold) };
        drop((held, tell));
        let mut errno = [0; 4];
        File::from(told).read_exact(&mut errno)?;
        match i32::from_ne_bytes(errno) {
            0 => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
        if let Owner::New(map) = owner {
            child.write_map("uid_map", &map.uids)?;
            child.write_map("gid_map", &map.gids)?;
        }
        Ok(child)
    }

    fn write_map(&self, name: &str, ranges: &[IdRange]) -> io::Result<()> {
        let line = |range: &IdRange| format!("{} {} {}\n", range.container, range.host, range.count);
        // The kernel takes it in one write.
        let text: String = ranges.iter().map(line).collect();
        File::options().write(true).open(format!("/proc/{}/{name}", self.pid))?.write_all(text.as_bytes())
    }

    fn bind(&self, name: &str, path: &Path) -> Result<(), Error> {
        let source = format!("/proc/{}/ns/{name}", self.pid);
        mount(Some(source.as_str()), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|errno| failed("bind", path, errno))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.hold = None;
        if self.pid <= 0 {
            return;
        }
        // SAFETY: ends and waits for a child of this process that nobody else waits for. A child that was made at the same
        // time has a copy of `hold`, so that this one's end would not end it; and that one's would wait for this.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

/// What the child does, in numbers.
struct Order {
    joined: RawFd,
    network: bool,
    hold: RawFd,
    held: RawFd,
    tell: RawFd,
}

impl Order {
    /// Enters the namespaces, says how that went, and waits until nobody holds it any more.
    fn carry_out(&self) -> ! {
        // SAFETY: system calls on descriptors of this process and on bytes of this frame.
        unsafe {
            // Its own end of the pipe would keep it waiting.
            libc::close(self.hold);
            let network = if self.network { libc::CLONE_NEWNET } else { 0 };
            let entered = match self.joined {
                -1 => libc::unshare(libc::CLONE_NEWUSER | network),
                joined => match libc::setns(joined, libc::CLONE_NEWUSER) {
                    0 => libc::unshare(network),
                    failed => failed,
                },
            };
            let errno = if entered == 0 { 0 } else { *libc::__errno_location() };
            let errno = errno.to_ne_bytes();
            libc::write(self.tell, errno.as_ptr().cast(), errno.len());
            let mut byte = 0u8;
            while libc::read(self.held, (&raw mut byte).cast(), 1) < 0 && *libc::__errno_location() == libc::EINTR {}
            libc::_exit(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_network_belongs_to_the_users_it_is_made_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let range = |host| vec![IdRange { container: 0, host, count: 65536 }];
        let map = IdMap { uids: range(100_000), gids: range(200_000) };
        create(&path("net"), &path("user"), Owner::New(&map)).unwrap();
        create(&path("net2"), &path("user2"), Owner::Of(&path("user"))).unwrap();
        let inode = |name: &str| std::fs::metadata(path(name)).unwrap().ino();
        assert_eq!(inode("user"), inode("user2"));
        assert_ne!(inode("net"), inode("net2"));
        assert_ne!(inode("user"), std::fs::metadata("/proc/self/ns/user").unwrap().ino());
        let owner = nsfs_owner(&path("net"));
        assert_eq!(owner, inode("user"), "the network belongs to the user namespace");
        assert!(create(&path("net"), &path("user3"), Owner::New(&map)).is_err(), "what exists is refused");
        assert!(!path("user3").exists());
        let bad = IdMap { uids: range(u32::MAX), gids: range(0) };
        assert!(create(&path("net4"), &path("user4"), Owner::New(&bad)).is_err());
        assert!(!path("net4").exists() && !path("user4").exists(), "nothing stays of what failed");
        for name in ["net", "user", "net2", "user2"] {
            remove(&path(name)).unwrap();
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// NS_GET_USERNS (ioctl_ns(2)).
    fn nsfs_owner(path: &Path) -> u64 {
        let file = File::open(path).unwrap();
        // SAFETY: the request takes no argument and returns a new descriptor.
        let owner = unsafe {
            let fd = libc::ioctl(file.as_raw_fd(), 0xb701);
            assert!(fd >= 0);
            OwnedFd::from_raw_fd(fd)
        };
        File::from(owner).metadata().unwrap().ino()
    }
}
