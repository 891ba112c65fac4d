//! SELinux labels of what is bound into containers (`:z`, `:Z`), as Docker gives them. (selinux(8), container_selinux(8))

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::{ContainerId, Relabel};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, XattrFlags, openat};
use rustix::io::Errno;

use crate::bundle::selinux::{self, Labels};
use crate::containers::Record;
use crate::{Error, Result};

/// Where an active SELinux shows itself, below /sys.
const SELINUX: &str = "fs/selinux/enforce";
/// The attribute that holds a file's label.
const ATTRIBUTE: &str = "security.selinux";
/// Directories that the host itself lives in: with another label it would not any more.
const HOSTS_OWN: [&str; 14] =
    ["/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/proc", "/root", "/run", "/sys", "/usr", "/var"];
/// How deep a tree may be.
const DEPTH_MAX: usize = 1024;

/// Whether SELinux is active on this node.
pub fn has_selinux() -> bool {
    is_active(Path::new("/sys"))
}

fn is_active(sys: &Path) -> bool {
    sys.join(SELINUX).exists()
}

/// The labels of a container's processes and files; none if SELinux does not confine it.
pub fn labels(record: &Record) -> Option<Labels> {
    let confined = has_selinux() && !record.spec.privileged;
    confined.then(|| selinux::labels(&record.spec.security.labels, record.id)).flatten()
}

/// The label that is asked for; a private one is of the container's own level.
fn label(relabel: Relabel, own: Option<&Labels>, container: ContainerId) -> String {
    match (relabel, own) {
        (Relabel::Shared, Some(own)) => selinux::shared(&own.mount),
        (Relabel::Shared, None) => selinux::files(selinux::SHARED),
        (Relabel::Private, Some(own)) => own.mount.clone(),
        (Relabel::Private, None) => selinux::files(&selinux::level(container)),
    }
}

/// Gives everything at and below the source of a bind the label that is asked for.
///
/// # Errors
/// [`Error::Spec`] for a directory that is the host's own, [`Error::Io`].
pub fn relabel(path: &Path, relabel: Relabel, record: &Record) -> Result<()> {
    may_be_relabelled(path, relabel)?;
    set(path, &label(relabel, labels(record).as_ref(), record.id))
}

fn may_be_relabelled(path: &Path, relabel: Relabel) -> Result<()> {
    let real = std::fs::canonicalize(path).map_err(Error::io("find", path))?;
    if HOSTS_OWN.iter().any(|own| real == Path::new(own)) {
        let reason = format!("the option {} would give the host's own files another SELinux label", relabel.letter());
        return Err(Error::Spec { key: "bind source", value: path.display().to_string(), reason });
    }
    Ok(())
}

/// Lets a container that SELinux confines have the files of its layers mapped: when it changes the protection of such memory,
/// the kernel asks for the label of the file in its layer, not for the one that the whole is mounted with.
///
/// # Errors
/// [`Error::Io`].
pub fn label_layers(labels: &Labels, lower: &[PathBuf], upper: &Path) -> Result<()> {
    let shared = selinux::shared(&labels.mount);
    lower.iter().try_for_each(|layer| set_once(layer, &shared))?;
    set_once(upper, &labels.mount)
}

/// As [`set`], unless `path` itself has the label: what is below was made by those who may use it.
///
/// # Errors
/// [`Error::Io`].
pub fn set_once(path: &Path, label: &str) -> Result<()> {
    let mut now = vec![0; label.len() + 1];
    match rustix::fs::lgetxattr(path, ATTRIBUTE, &mut now) {
        // With or without a zero at its end.
        Ok(length) if now[..length].strip_suffix(&[0]).unwrap_or(&now[..length]) == label.as_bytes() => Ok(()),
        _ => set(path, label),
    }
}

/// Gives everything at and below `path` a label. Symbolic links are labelled, not followed.
///
/// # Errors
/// [`Error::Io`].
pub fn set(path: &Path, label: &str) -> Result<()> {
    let real = std::fs::canonicalize(path).map_err(Error::io("find", path))?;
    let (parent, name) = match (real.parent(), real.file_name()) {
        (Some(parent), Some(name)) => (parent, name),
        _ => return Ok(()),
    };
    let parent = open(rustix::fs::CWD, parent.as_os_str()).map_err(Error::io("open", parent))?;
    one(&parent, name, ATTRIBUTE, label, 0).map_err(Error::io("relabel", path))
}

fn open(dir: impl std::os::fd::AsFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    openat(dir, name, flags, Mode::empty())
}

/// One file, and before it if it is a directory all in it: one that has its label has them all.
fn one(dir: &OwnedFd, name: &OsStr, attribute: &str, label: &str, depth: usize) -> rustix::io::Result<()> {
    let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        stat => stat?,
    };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        all_in(dir, name, attribute, label, depth)?;
    }
    // By the directory that is open: what a container does to the path meanwhile leads nowhere else.
    let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    match rustix::fs::lsetxattr(&path, attribute, label.as_bytes(), XattrFlags::empty()) {
        // File systems without labels are labelled as a whole when they are mounted.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn all_in(dir: &OwnedFd, name: &OsStr, attribute: &str, label: &str, depth: usize) -> rustix::io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    let below = open(dir, name)?;
    for entry in Dir::read_from(&below)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            one(&below, name, attribute, label, depth + 1)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> ContainerId {
        ContainerId::from_random([byte; 32])
    }

    #[test]
    fn labels_are_shared_or_of_one_container() {
        let shared = "system_u:object_r:container_file_t:s0";
        assert_eq!(label(Relabel::Shared, None, id(1)), shared);
        let private = label(Relabel::Private, None, id(1));
        assert_eq!(private, format!("{shared}:c257,c258"));
        assert_ne!(private, label(Relabel::Private, None, id(2)));
        // What the processes may use, whatever level they were given.
        let own = selinux::labels(&["level:s0:c1,c2".into(), "filetype:own_t".into()], id(1));
        assert_eq!(label(Relabel::Private, own.as_ref(), id(1)), "system_u:object_r:own_t:s0:c1,c2");
        assert_eq!(label(Relabel::Shared, own.as_ref(), id(1)), "system_u:object_r:own_t:s0");
    }

    #[test]
    fn a_kernel_with_selinux_shows_it() {
        let sys = tempfile::tempdir().unwrap();
        // The mount point is there wherever it is compiled in.
        std::fs::create_dir_all(sys.path().join("fs/selinux")).unwrap();
        assert!(!is_active(sys.path()));
        std::fs::write(sys.path().join("fs/selinux/enforce"), "0").unwrap();
        assert!(is_active(sys.path()));
    }

    #[test]
    fn the_hosts_own_directories_stay_as_they_are() {
        for own in ["/etc", "/usr/", "/"] {
            assert!(may_be_relabelled(Path::new(own), Relabel::Shared).is_err(), "{own}");
        }
    }

    #[test]
    fn everything_below_is_labelled_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        std::fs::write(&outside, "").unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("deep/er")).unwrap();
        std::fs::write(tree.join("deep/er/file"), "").unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("link")).unwrap();
        let top = open(rustix::fs::CWD, dir.path().as_os_str()).unwrap();
        // Any attribute will do that root may give to every kind of file.
        one(&top, OsStr::new("tree"), "trusted.orca", "label", 0).unwrap();
        let has = |path: &Path| {
            let mut value = [0; 16];
            rustix::fs::lgetxattr(path, "trusted.orca", &mut value).is_ok_and(|length| &value[..length] == b"label")
        };
        assert!(["", "deep", "deep/er", "deep/er/file", "link"].iter().all(|path| has(&tree.join(path))));
        assert!(!has(&outside));
    }
}
