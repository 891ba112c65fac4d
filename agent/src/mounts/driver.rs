//! What the options of the local volume driver mean. Pure.

use std::net::IpAddr;
use std::path::PathBuf;

use model::VolumeSpec;
use nix::mount::MsFlags;

use crate::{Error, Result};

/// How a volume comes by its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driver {
    /// It is a directory of its own.
    Directory,
    /// It is a directory of the host.
    Path(PathBuf),
    /// It is mounted (mount(2)).
    Mounted(FileSystem),
}

/// The arguments of mount(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// `tmpfs`, `nfs`, `ext4`.
    pub kind: String,
    /// What is mounted.
    pub device: String,
    /// Options that the kernel takes as bits.
    pub flags: MsFlags,
    /// The others.
    pub data: String,
}

/// Options that are bits, and whether they set or clear them (mount(8)).
const FLAGS: [(&str, bool, MsFlags); 24] = [
    ("defaults", true, MsFlags::empty()),
    ("rw", false, MsFlags::MS_RDONLY),
    ("ro", true, MsFlags::MS_RDONLY),
    ("suid", false, MsFlags::MS_NOSUID),
    ("nosuid", true, MsFlags::MS_NOSUID),
    ("dev", false, MsFlags::MS_NODEV),
    ("nodev", true, MsFlags::MS_NODEV),
    ("exec", false, MsFlags::MS_NOEXEC),
    ("noexec", true, MsFlags::MS_NOEXEC),
    ("async", false, MsFlags::MS_SYNCHRONOUS),
    ("sync", true, MsFlags::MS_SYNCHRONOUS),
    ("dirsync", true, MsFlags::MS_DIRSYNC),
    ("atime", false, MsFlags::MS_NOATIME),
    ("noatime", true, MsFlags::MS_NOATIME),
    ("diratime", false, MsFlags::MS_NODIRATIME),
    ("nodiratime", true, MsFlags::MS_NODIRATIME),
    ("relatime", true, MsFlags::MS_RELATIME),
    ("norelatime", false, MsFlags::MS_RELATIME),
    ("strictatime", true, MsFlags::MS_STRICTATIME),
    ("nostrictatime", false, MsFlags::MS_STRICTATIME),
    ("mand", true, MsFlags::MS_MANDLOCK),
    ("nomand", false, MsFlags::MS_MANDLOCK),
    ("bind", true, MsFlags::MS_BIND),
    ("rbind", true, MsFlags::MS_BIND.union(MsFlags::MS_REC)),
];

impl Driver {
    /// The driver of a volume.
    ///
    /// # Errors
    /// [`Error::Volume`] naming the option that can't be had.
    pub fn of(name: &str, spec: &VolumeSpec) -> Result<Self> {
        let refused = |reason: String| Err(Error::Volume { name: name.into(), reason });
        for key in spec.driver_opts.keys() {
            match key.as_str() {
                "type" | "o" | "device" => {}
                "size" => {
                    return refused(
                        "driver option size needs a file system with quotas: use type=tmpfs, o=size=…".into(),
                    );
                }
                other => {
                    return refused(format!(
                        "driver option {other} is not one of the local driver's: type, o and device"
                    ));
                }
            }
        }
        let get = |key: &str| spec.driver_opts.get(key).map_or("", String::as_str);
        let (kind, options, device) = (get("type"), get("o"), get("device"));
        if kind.is_empty() && options.is_empty() && device.is_empty() {
            return Ok(Self::Directory);
        }
        let (flags, data) = split(options);
        if flags.contains(MsFlags::MS_BIND) {
            if !device.starts_with('/') {
                return refused(format!("its device {device:?} must be an absolute path"));
            }
            if !data.is_empty() {
                return refused(format!("option {data:?} means nothing for a bind"));
            }
            if (flags - MsFlags::MS_REC) == MsFlags::MS_BIND {
                return Ok(Self::Path(device.into()));
            }
        } else if kind.is_empty() || kind == "none" {
            return refused(format!("o={options:?} needs a type, such as tmpfs, nfs or ext4, or the option bind"));
        } else if device.is_empty() && kind != "tmpfs" {
            return refused(format!("type={kind} needs a device"));
        }
        let device = if device.is_empty() { "tmpfs" } else { device };
        let system = FileSystem { kind: kind.into(), device: device.into(), flags, data };
        let is_host = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-_".contains(&b));
        if kind.starts_with("nfs") && !system.server().is_some_and(|host| !host.is_empty() && is_host(host)) {
            return refused("an NFS volume needs its server: o=addr=192.0.2.1 (or a name) and device=:/path".into());
        }
        Ok(Self::Mounted(system))
    }
}

/// What the option begins with that says where a server is.
const SERVER: &str = "addr=";

impl FileSystem {
    /// The server of a file system of another machine, as the user has named it.
    pub fn server(&self) -> Option<&str> {
        let of_network = self.kind.starts_with("nfs") || self.kind == "cifs";
        self.data.split(',').filter(|_| of_network).find_map(|option| option.strip_prefix(SERVER))
    }

    /// Its options with the server's address, which is all that the kernel takes: it asks no name server.
    pub fn data_with(&self, address: IpAddr) -> String {
        let options = self.data.split(',').map(|option| match option.starts_with(SERVER) {
            true => format!("{SERVER}{address}"),
            false => option.to_owned(),
        });
        options.collect::<Vec<_>>().join(",")
    }
}

fn split(options: &str) -> (MsFlags, String) {
    let mut flags = MsFlags::empty();
    let mut data = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match FLAGS.iter().find(|(name, ..)| *name == option) {
            Some((_, true, flag)) => flags.insert(*flag),
            Some((_, false, flag)) => flags.remove(*flag),
            None => data.push(option),
        }
    }
    (flags, data.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driver_options() {
        let of = |options: &[(&str, &str)]| {
            let driver_opts = options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            Driver::of("data", &VolumeSpec { driver_opts, ..VolumeSpec::default() })
        };
        let mounted = |kind: &str, device: &str, flags, data: &str| {
            Driver::Mounted(FileSystem { kind: kind.into(), device: device.into(), flags, data: data.into() })
        };
        assert_eq!(of(&[]).unwrap(), Driver::Directory);
        assert_eq!(of(&[("type", "none"), ("o", "bind"), ("device", "/srv")]).unwrap(), Driver::Path("/srv".into()));
        assert_eq!(
            of(&[("o", "bind,ro"), ("device", "/srv")]).unwrap(),
            mounted("", "/srv", MsFlags::MS_BIND | MsFlags::MS_RDONLY, "")
        );
        assert_eq!(
            of(&[("type", "tmpfs"), ("o", "size=1m,noexec,uid=7")]).unwrap(),
            mounted("tmpfs", "tmpfs", MsFlags::MS_NOEXEC, "size=1m,uid=7")
        );
        assert_eq!(
            of(&[("type", "nfs"), ("o", "addr=192.0.2.1,rw"), ("device", ":/x")]).unwrap(),
            mounted("nfs", ":/x", MsFlags::empty(), "addr=192.0.2.1")
        );
        let named = of(&[("type", "nfs"), ("o", "addr=files.example,nolock"), ("device", ":/x")]).unwrap();
        let Driver::Mounted(named) = named else { panic!("{named:?}") };
        assert_eq!(named.server(), Some("files.example"));
        assert_eq!(named.data_with("2001:db8::1".parse().unwrap()), "addr=2001:db8::1,nolock");
        for refused in [
            &[("type", "nfs"), ("device", ":/x")][..],
            &[("type", "nfs"), ("o", "addr=,rw"), ("device", ":/x")],
            &[("type", "nfs"), ("o", "addr=a/b"), ("device", ":/x")],
            &[("size", "1")],
            &[("o", "bind"), ("device", "x")],
            &[("o", "bind,size=1"), ("device", "/x")],
            &[("type", "ext4")],
            &[("o", "size=1")],
            &[("color", "red")],
        ] {
            assert!(of(refused).unwrap_err().to_string().contains("data"), "{refused:?}");
        }
    }
}
