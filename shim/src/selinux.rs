//! What the labels of SELinux need beyond options of mounts.

use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, ResolveFlags, XattrFlags, openat2};
use rustix::io::Errno;

use crate::error::{Result, ShimError};

/// Where containers have their message queues. (mq_overview(7))
const QUEUES: &str = "dev/mqueue";
/// MQUEUE_MAGIC (linux/magic.h).
const MAGIC: i128 = 0x1980_0202;

/// Gives a container's message queues the label of its files, as runc does. One without has none to be labelled.
///
/// # Errors
/// If the kernel refuses the label.
pub fn label_queues(pid: i32, label: &str) -> Result<()> {
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let opened = rustix::fs::open(&root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let opened = opened.map_err(ShimError::io("open", &root))?;
    // The image says what is there: its links lead nowhere else.
    let rules = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let queues = match openat2(&opened, QUEUES, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty(), rules) {
        Err(Errno::NOENT) => return Ok(()),
        queues => queues.map_err(ShimError::io("open", root.join(QUEUES)))?,
    };
    let is_theirs = rustix::fs::fstatfs(&queues).is_ok_and(|fs| i128::from(fs.f_type) == MAGIC);
    if !is_theirs {
        return Ok(());
    }
    rustix::fs::fsetxattr(&queues, "security.selinux", label.as_bytes(), XattrFlags::empty())
        .map_err(ShimError::io("label", root.join(QUEUES)))
}
