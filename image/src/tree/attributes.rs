//! Extended attributes: which of them belong to a file, and reading them.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;

/// The most that Linux has of a value or a list.
const VALUE_LIMIT: usize = 64 << 10;

/// Whether an attribute is the file's own. Others are the host's (labels, signatures) or overlayfs's.
fn belongs(name: &[u8]) -> bool {
    let starts = |prefix: &[u8]| name.starts_with(prefix);
    name == b"security.capability"
        || starts(b"system.posix_acl_")
        || (starts(b"user.") && !starts(b"user.overlay."))
        || (starts(b"trusted.") && !starts(b"trusted.overlay."))
}

/// An attribute's name and value.
type Attribute = (Vec<u8>, Vec<u8>);

/// The attributes of a node that was opened with `O_PATH`, sorted by name.
pub(super) fn read(node: &OwnedFd) -> Result<Vec<Attribute>, Errno> {
    // A descriptor of this kind has no attributes of its own; the link below /proc leads to the very file.
    let path = format!("/proc/self/fd/{}", node.as_raw_fd());
    let names = value(|buffer| rustix::fs::listxattr(path.as_str(), buffer))?.unwrap_or_default();
    let mut names: Vec<&[u8]> = names.split(|&b| b == 0).filter(|name| belongs(name)).collect();
    names.sort_unstable();
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        // It may have been taken away meanwhile.
        if let Some(value) = value(|buffer| rustix::fs::getxattr(path.as_str(), name, buffer))? {
            found.push((name.to_vec(), value));
        }
    }
    Ok(found)
}

/// Whether overlayfs shows nothing of the directories below this one.
pub(super) fn is_opaque(dir: &OwnedFd) -> Result<bool, Errno> {
    let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
    let found = value(|buffer| rustix::fs::getxattr(path.as_str(), crate::rootfs::OPAQUE_XATTR, buffer))?;
    Ok(found.as_deref() == Some(b"y"))
}

/// Reads a value or a list; `None` if there is none, or the file system has no attributes.
fn value(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Option<Vec<u8>>, Errno> {
    for size in [512, VALUE_LIMIT] {
        let mut buffer = vec![0; size];
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(Some(buffer));
            }
            Err(Errno::RANGE) => {}
            Err(Errno::NOTSUP | Errno::NODATA) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::RANGE)
}
