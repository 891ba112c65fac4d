//! The /dev/shm of another container: a file system of its own, which does not come with the IPC namespace.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use model::shim::{Donor, ErrorClass, SharedShm};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::error::{Result, ShimError};

const SHM: &str = "/dev/shm";
/// How much of /proc/PID/cgroup is read.
const CGROUP_MAX: u64 = 64 << 10;

/// The processes by which a container joins namespaces of others, held so that they are known to be what they were.
pub struct Donors(Vec<OwnedFd>);

impl Donors {
    /// Takes hold of them.
    ///
    /// # Errors
    /// If one of these numbers is not the container's process any more.
    pub fn hold(donors: &[Donor]) -> Result<Self> {
        donors.iter().map(hold).collect::<Result<Vec<_>>>().map(Self)
    }

    /// Whether all of them have lived until now: what was opened by their numbers meanwhile was theirs.
    ///
    /// # Errors
    /// If one has ended.
    pub fn confirm(&self) -> Result<()> {
        let mut polled: Vec<PollFd<'_>> = self.0.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
        match poll(&mut polled, PollTimeout::ZERO).map_err(ShimError::system("look at the other container"))? {
            0 => Ok(()),
            _ => Err(gone()),
        }
    }
}

fn gone() -> ShimError {
    let message = "the container whose namespaces it is to share has just ended: start that one first".to_owned();
    ShimError::Process { class: ErrorClass::Runtime, message }
}

fn hold(donor: &Donor) -> Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(donor.pid).ok_or_else(gone)?;
    let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).map_err(|_| gone())?;
    let path = format!("/proc/{}", donor.pid);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(&path, flags, Mode::empty()).map_err(|_| gone())?;
    let file = openat(&dir, "cgroup", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|_| gone())?;
    let mut groups = String::new();
    let read = File::from(file).take(CGROUP_MAX).read_to_string(&mut groups);
    // Whose it is its cgroup says.
    if read.is_err() || !groups.contains(&donor.container_id) {
        return Err(gone());
    }
    Ok(process)
}

/// Mounts the /dev/shm of the container of process `shared.pid` at `shared.target`, in the shim's own mount namespace.
///
/// A mount of another namespace can't be bound by its path, so a copy is taken over there and put down here.
///
/// # Errors
/// If the other container is gone or has no /dev/shm.
pub fn mount_shm(shared: &SharedShm) -> Result<()> {
    let path = format!("/proc/{}/ns/mnt", shared.pid);
    let theirs = File::open(&path).map_err(ShimError::io("open", &path))?;
    let own = File::open("/proc/self/ns/mnt").map_err(ShimError::io("open", "/proc/self/ns/mnt"))?;
    std::fs::create_dir_all(&shared.target).map_err(ShimError::io("make", &shared.target))?;
    setns(theirs.as_fd(), CloneFlags::CLONE_NEWNS).map_err(ShimError::system("enter the other mount namespace"))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let tree = open_tree(rustix::fs::CWD, SHM, flags);
    setns(own.as_fd(), CloneFlags::CLONE_NEWNS).map_err(ShimError::system("return to the own mount namespace"))?;
    let tree = tree.map_err(ShimError::io("take the other container's", Path::new(SHM)))?;
    let into = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&tree, "", rustix::fs::CWD, &shared.target, into).map_err(ShimError::io("mount", &shared.target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_to_be_what_it_was() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        // Every line of its cgroups has one.
        let donor = Donor { pid, container_id: "/".into() };
        let held = Donors::hold(std::slice::from_ref(&donor)).unwrap();
        held.confirm().unwrap();
        let another = Donor { container_id: "another".into(), ..donor.clone() };
        assert!(Donors::hold(&[another]).is_err());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(held.confirm().unwrap_err().to_string().contains("just ended"));
        assert!(Donors::hold(&[donor]).is_err());
    }
}
