//! The host's devices that a container gets, and the numbers of those that it has limits on.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use model::ContainerSpec;

use crate::bundle::{DeviceNumbers, HostDevice, limited_devices};
use crate::{Error, Result};

/// Directories of /dev that are file systems of their own in a container, and names that it gets of its own.
const OWN: [&str; 8] = ["pts", "shm", "fd", "mqueue", "console", "ptmx", "hugepages", "core"];
/// More devices than a directory that somebody means has.
const MOST: usize = 10_000;

/// The devices of the spec; with privilege, every device of the host below what the spec says of it.
pub fn devices(spec: &ContainerSpec) -> Result<Vec<HostDevice>> {
    let mut found = named(spec)?;
    if spec.privileged {
        for device in all_of_host() {
            if !found.iter().any(|own| own.target == device.target) {
                found.push(device);
            }
        }
    }
    Ok(found)
}

/// The devices that the spec names.
fn named(spec: &ContainerSpec) -> Result<Vec<HostDevice>> {
    let mut found = Vec::new();
    for device in &spec.devices {
        let refused = |reason: String| Error::Spec { key: "device", value: device.source.clone(), reason };
        if device.permissions.is_empty() || !device.permissions.bytes().all(|b| matches!(b, b'r' | b'w' | b'm')) {
            return Err(refused(format!("its permissions {:?} must be some of r, w, m", device.permissions)));
        }
        let before = found.len();
        let source = Path::new(&device.source);
        collect(source, Path::new(&device.target), &device.permissions, &mut found)
            .map_err(|error| refused(error.to_string()))?;
        if found.len() == before {
            return Err(refused("it is not a device, nor a directory with devices in it".into()));
        }
    }
    Ok(found)
}

/// A device, or all that lie in a directory.
fn collect(source: &Path, target: &Path, access: &str, found: &mut Vec<HostDevice>) -> std::io::Result<()> {
    let metadata = fs::metadata(source)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(source)? {
            let entry = entry?;
            if found.len() >= MOST {
                return Err(std::io::Error::other("there are too many devices in it"));
            }
            // What lies deeper and can't be looked at belongs to somebody else.
            if !entry.file_type()?.is_symlink() {
                let _ = collect(&entry.path(), &target.join(entry.file_name()), access, found);
            }
        }
        return Ok(());
    }
    found.extend(host_device(source, target, &metadata, access));
    Ok(())
}

/// `None`: it is not a device.
pub(super) fn host_device(source: &Path, target: &Path, metadata: &fs::Metadata, access: &str) -> Option<HostDevice> {
    let kind = metadata.mode() & libc::S_IFMT;
    matches!(kind, libc::S_IFCHR | libc::S_IFBLK).then(|| HostDevice {
        source: source.to_string_lossy().into_owned(),
        target: target.to_string_lossy().into_owned(),
        block: kind == libc::S_IFBLK,
        major: i64::from(rustix::fs::major(metadata.rdev())),
        minor: i64::from(rustix::fs::minor(metadata.rdev())),
        mode: metadata.mode(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        access: access.to_owned(),
    })
}

fn all_of_host() -> Vec<HostDevice> {
    let mut found = Vec::new();
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    for entry in entries.filter(|entry| !OWN.iter().any(|own| entry.file_name() == *own)) {
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            // A device that goes away meanwhile is not one of the host's any more.
            let _ = collect(&entry.path(), &entry.path(), "rwm", &mut found);
        }
    }
    found
}

/// The numbers of the block devices that have limits.
pub fn block_devices(spec: &ContainerSpec) -> Result<DeviceNumbers> {
    let number = |path: &str| {
        let refused = |reason: String| Error::Spec { key: "block device", value: path.to_owned(), reason };
        let metadata = fs::metadata(path).map_err(|error| refused(error.to_string()))?;
        if metadata.mode() & libc::S_IFMT != libc::S_IFBLK {
            return Err(refused("it is not a block device".into()));
        }
        let numbers = (rustix::fs::major(metadata.rdev()).into(), rustix::fs::minor(metadata.rdev()).into());
        Ok((path.to_owned(), numbers))
    };
    limited_devices(&spec.resources.limits.block_io).map(number).collect()
}

/// Whether a spec names devices of the host.
pub fn names_any(spec: &ContainerSpec) -> bool {
    let limited = limited_devices(&spec.resources.limits.block_io).next().is_some();
    limited || !spec.devices.is_empty() || !spec.device_requests.is_empty()
}

/// Looks for the devices of the spec, before anything is made. Blocks.
pub fn check(spec: &ContainerSpec) -> Result<()> {
    if let Some(device) = spec.devices.iter().find(|device| !device.target.starts_with('/')) {
        let reason = "its path in the container must be absolute".into();
        return Err(Error::Spec { key: "device", value: device.target.clone(), reason });
    }
    named(spec)?;
    block_devices(spec).map(drop)
}

#[cfg(test)]
mod tests {
    use model::Device;

    use super::*;

    fn spec(source: &str, target: &str, permissions: &str) -> ContainerSpec {
        let device = Device { source: source.into(), target: target.into(), permissions: permissions.into() };
        ContainerSpec { devices: vec![device], ..ContainerSpec::default() }
    }

    #[test]
    fn devices_are_found_by_path_and_by_directory() {
        let null = &devices(&spec("/dev/null", "/dev/nothing", "rw")).unwrap()[0];
        assert_eq!((null.major, null.minor, null.target.as_str(), null.access.as_str()), (1, 3, "/dev/nothing", "rw"));
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, minor| {
            let mode = rustix::fs::Mode::from_raw_mode(0o660);
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            rustix::fs::mknodat(
                rustix::fs::CWD,
                path,
                rustix::fs::FileType::CharacterDevice,
                mode,
                rustix::fs::makedev(1, minor),
            )
            .unwrap();
        };
        make("a", 3);
        make("deeper/b", 5);
        std::fs::write(dir.path().join("file"), "").unwrap();
        let mut found = devices(&spec(dir.path().to_str().unwrap(), "/dev/group", "r")).unwrap();
        found.sort_by_key(|device| device.minor);
        let targets: Vec<_> = found.iter().map(|device| device.target.as_str()).collect();
        assert_eq!(targets, ["/dev/group/a", "/dev/group/deeper/b"]);
        let all = devices(&ContainerSpec { privileged: true, ..ContainerSpec::default() }).unwrap();
        assert!(all.iter().any(|device| device.target == "/dev/kmsg") && !all.iter().any(|d| d.target == "/dev/ptmx"));
    }

    #[test]
    fn what_is_no_device_is_refused() {
        for (source, target, permissions) in [
            ("/etc/passwd", "/dev/x", "r"),
            ("/nonexistent", "/dev/x", "r"),
            ("/dev/null", "/dev/x", "z"),
            ("/dev/null", "x", "r"),
        ] {
            assert!(check(&spec(source, target, permissions)).is_err(), "{source}");
        }
        let mut throttled = ContainerSpec::default();
        throttled.resources.limits.block_io.read_bps = vec![model::DeviceRate { path: "/dev/null".into(), rate: 1 }];
        assert!(check(&throttled).unwrap_err().to_string().contains("not a block device"));
    }
}
