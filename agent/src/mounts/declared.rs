//! The mounts that a spec declares, each made ready on the host.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use model::{Mount, MountSource, Propagation, Recursive};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::held::{attach, mount_layers};
use super::points::{Sources, bind, share};
use super::relabel::has_selinux;
use crate::bundle::MountPoint;
use crate::containers::Record;
use crate::{Error, Result};

/// Since when a mount and all below it can be made read-only at once (mount_setattr(2)).
const RECURSIVE_READ_ONLY: (u32, u32) = (5, 12);

/// The mount at `index` of the record's spec.
pub fn point(record: &Record, index: usize, mount: &Mount, sources: &Sources<'_>) -> Result<MountPoint> {
    match &mount.source {
        MountSource::Volume { no_copy, subpath, .. } => {
            let volume = record.volumes.iter().find(|volume| volume.target == mount.target);
            let volume = volume.ok_or_else(|| Error::NoSuchVolume(mount.target.clone()))?;
            let fill = (!no_copy && subpath.is_none()).then_some((sources.root, mount.target.as_str()));
            let source = sources.volumes.source(&volume.name, fill, sources.holder)?;
            share(record, &source, sources)?;
            let source = match subpath {
                Some(subpath) => part(record, index, &source, subpath, &volume.name, sources)?,
                None => source,
            };
            Ok(bind(&mount.target, source, mount.read_only, Propagation::Rprivate))
        }
        MountSource::Image { image, id, subpath } => {
            let source = image_files(image, id.as_deref(), sources)?;
            let source = match subpath {
                Some(subpath) => part(record, index, &source, subpath, image, sources)?,
                None => source,
            };
            Ok(bind(&mount.target, source, true, Propagation::Rprivate))
        }
        MountSource::Bind { path, create, propagation, recursive, relabel } => {
            let source = host_path(path, *create)?;
            // Without SELinux it is of no effect, which the user is told when the container is made.
            if let Some(label) = relabel.filter(|_| has_selinux() && sources.for_run(record)) {
                super::relabel::relabel(&source, label, record)?;
            }
            let mut point = bind(&mount.target, source, mount.read_only, *propagation);
            point.options[0] = if *recursive == Recursive::Disabled { "bind" } else { "rbind" }.into();
            if mount.read_only {
                point.options[1] = read_only(path, *recursive, sources.kernel)?.into();
            }
            Ok(point)
        }
        MountSource::Tmpfs { size, mode, options } => Ok(tmpfs(mount, *size, *mode, options)),
        MountSource::VolumesOf { container } => {
            let reason = "its mounts were not taken over when this container was made".into();
            Err(Error::Spec { key: "volumes_from", value: container.clone(), reason })
        }
    }
}

fn host_path(path: &str, create: bool) -> Result<PathBuf> {
    let source = Path::new(path);
    if !source.is_absolute() {
        let reason = "it must be an absolute path on this node".into();
        return Err(Error::Spec { key: "bind source", value: path.into(), reason });
    }
    if create && !source.exists() {
        fs::create_dir_all(source).map_err(Error::io("make", source))?;
    }
    if !source.exists() {
        return Err(Error::BindSource { path: source.into() });
    }
    Ok(source.into())
}

fn read_only(path: &str, recursive: Recursive, kernel: (u32, u32)) -> Result<&'static str> {
    match recursive {
        Recursive::Disabled | Recursive::Writable => Ok("ro"),
        _ if kernel >= RECURSIVE_READ_ONLY => Ok("rro"),
        Recursive::Enabled => Ok("ro"),
        Recursive::Readonly => {
            let reason = "bind-recursive=readonly needs Linux 5.12 or later".into();
            Err(Error::Spec { key: "bind source", value: path.into(), reason })
        }
    }
}

fn tmpfs(mount: &Mount, size: Option<u64>, mode: Option<u32>, options: &[String]) -> MountPoint {
    let lifted = |name: &str| options.iter().any(|option| option == name);
    let mut all: Vec<String> = Vec::new();
    for (set, lift) in [("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec")] {
        if !lifted(lift) {
            all.push(set.into());
        }
    }
    all.push(format!("mode={:o}", mode.unwrap_or(0o1777)));
    all.extend(size.map(|size| format!("size={size}")));
    all.extend(options.iter().filter(|option| !matches!(option.as_str(), "ro" | "rw")).cloned());
    all.push(if mount.read_only { "ro".into() } else { "rw".into() });
    MountPoint { target: mount.target.clone(), kind: "tmpfs", source: "tmpfs".into(), options: all }
}

/// The files of an image, mounted for whoever needs them.
fn image_files(image: &str, id: Option<&str>, sources: &Sources<'_>) -> Result<PathBuf> {
    let found = sources.images.store.get(id.unwrap_or(image))?;
    let layers = sources.images.store.prepare(&found, sources.images.unpacker)?;
    let held = sources.volumes.held();
    let point = held.image_point(&found.id.to_string());
    held.hold(&point, sources.holder, |point| if layers.is_empty() { Ok(()) } else { mount_layers(&layers, point) })?;
    Ok(point)
}

/// A directory or file of a volume or image. It is looked up by the kernel below its root and through no link, and what was
/// found is mounted at a place of its own: its path may lead elsewhere by the time that the container is made.
fn part(
    record: &Record,
    index: usize,
    whole: &Path,
    subpath: &str,
    name: &str,
    sources: &Sources<'_>,
) -> Result<PathBuf> {
    let refused = |errno| Error::Volume { name: name.into(), reason: format!("its subpath {subpath:?}: {errno}") };
    let root = rustix::fs::open(whole, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::io("open", whole))?;
    let rules = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let found: OwnedFd =
        openat2(&root, subpath, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), rules).map_err(refused)?;
    let is_dir = rustix::fs::fstat(&found).map_err(refused)?.st_mode & libc::S_IFMT == libc::S_IFDIR;
    if !is_dir {
        return Err(refused(rustix::io::Errno::NOTDIR));
    }
    let held = sources.volumes.held();
    // A copy for a container that doesn't run has a place of its own.
    let point = match sources.for_run(record) {
        true => held.part_point(record.id, index),
        false => held.image_point(&format!("{}-{index}", sources.holder)),
    };
    held.hold(&point, sources.holder, |point| attach(&found, point))?;
    Ok(point)
}
