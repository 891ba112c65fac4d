//! The node's device specifications on disk, and the devices that they name.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use model::DeviceRequest;

use super::devices::host_device;
use crate::bundle::cdi::{DeviceNode, Edits, Mount, Registry};
use crate::bundle::{HostDevice, MountPoint};
use crate::{Error, Result};

/// Where they are, the directory that stands above all others last.
pub const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// Largest file that is read, in bytes, and how many there are in a directory.
const FILE_MAX: u64 = 4 << 20;
const FILES_MAX: usize = 256;

/// What the requests come to on this node now.
///
/// # Errors
/// Which device cannot be had, and why.
pub fn edits(requests: &[DeviceRequest], directories: &[PathBuf]) -> Result<Edits> {
    if requests.is_empty() {
        return Ok(Edits::default());
    }
    let mut registry = Registry::default();
    for (number, directory) in directories.iter().enumerate() {
        read_directory(number, directory, &mut registry);
    }
    registry.edits(requests)
}

fn read_directory(number: usize, directory: &Path, registry: &mut Registry) {
    // A directory that isn't there has no devices.
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json" || ending == "yaml"));
    paths.sort();
    if paths.len() > FILES_MAX {
        registry.add_broken(format!("{} has more than {FILES_MAX} files", directory.display()));
        paths.truncate(FILES_MAX);
    }
    for path in paths {
        let mut text = String::new();
        let read = fs::File::open(&path).and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text));
        match read {
            Ok(length) if length as u64 > FILE_MAX => {
                registry.add_broken(format!("{} is larger than 4 MiB", path.display()));
            }
            Ok(_) => registry.add(number, path.display().to_string(), &text),
            Err(error) => registry.add_broken(format!("{}: {error}", path.display())),
        }
    }
}

/// The devices, whose numbers are the host's where the file doesn't say.
pub fn devices(edits: &Edits, (uid, gid): (u32, u32)) -> Result<Vec<HostDevice>> {
    edits.devices.iter().map(|node| device(node, (uid, gid))).collect()
}

fn device(node: &DeviceNode, (uid, gid): (u32, u32)) -> Result<HostDevice> {
    let source = node.host_path.as_ref().filter(|path| !path.is_empty()).unwrap_or(&node.path);
    let refused = |reason: String| Error::Spec { key: "device", value: source.clone(), reason };
    let access = node.permissions.clone().filter(|access| !access.is_empty()).unwrap_or_else(|| "rwm".into());
    let found = fs::metadata(source)
        .map_err(|error| refused(error.to_string()))
        .map(|metadata| host_device(Path::new(source), Path::new(&node.path), &metadata, &access))?;
    let found = found.ok_or_else(|| refused("it is not a device".into()))?;
    let (major, minor) = (node.major.unwrap_or(found.major), node.minor.unwrap_or(found.minor));
    if node.major.is_some() && (major, minor) != (found.major, found.minor) {
        let reason = format!("it is {}:{}, and the CDI file says {major}:{minor}", found.major, found.minor);
        return Err(refused(reason));
    }
    Ok(HostDevice {
        mode: node.file_mode.unwrap_or(found.mode),
        // CDI: who doesn't say means the container's user, unless that is root.
        uid: node.uid.unwrap_or(if uid == 0 { found.uid } else { uid }),
        gid: node.gid.unwrap_or(if gid == 0 { found.gid } else { gid }),
        ..found
    })
}

/// The mounts; what is missing on the host is named.
pub fn mounts(edits: &Edits) -> Result<Vec<MountPoint>> {
    edits.mounts.iter().map(mount).collect()
}

fn mount(mount: &Mount) -> Result<MountPoint> {
    let source = PathBuf::from(&mount.host_path);
    if !source.exists() {
        return Err(Error::BindSource { path: source });
    }
    let mut options = mount.options.clone();
    if !options.iter().any(|option| option == "bind" || option == "rbind") {
        options.insert(0, "rbind".into());
    }
    Ok(MountPoint { target: mount.container_path.clone(), kind: "bind", source, options })
}
