//! Device nodes and the device filter.

use model::ContainerSpec;
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};

use crate::{Error, Result};

/// A device of the host that a container gets, looked up by a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDevice {
    /// Path on the host.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Block device; else a character device.
    pub block: bool,
    /// Its numbers.
    pub major: i64,
    /// Its numbers.
    pub minor: i64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Some of `rwm`.
    pub access: String,
}

/// null, full, zero, random, urandom, tty, console, ptmx, and every pseudo-terminal: what each container may use.
const CHARACTER_DEVICES: [(i64, Option<i64>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

fn kind(device: &HostDevice) -> LinuxDeviceType {
    if device.block { LinuxDeviceType::B } else { LinuxDeviceType::C }
}

/// The nodes to make. The runtime itself makes those that each container has.
pub fn nodes(devices: &[HostDevice]) -> Result<Vec<LinuxDevice>> {
    let node = |device: &HostDevice| {
        Ok(LinuxDeviceBuilder::default()
            .path(&device.target)
            .typ(kind(device))
            .major(device.major)
            .minor(device.minor)
            .file_mode(device.mode & 0o777)
            .uid(device.uid)
            .gid(device.gid)
            .build()?)
    };
    devices.iter().map(node).collect()
}

/// Denies all, then allows making any node, and using the usual ones, the spec's own and what its rules say.
pub fn cgroup_rules(spec: &ContainerSpec, devices: &[HostDevice]) -> Result<Vec<LinuxDeviceCgroup>> {
    if spec.privileged {
        return Ok(vec![rule(true, LinuxDeviceType::A, None, None, "rwm")?]);
    }
    let mut rules = vec![
        rule(false, LinuxDeviceType::A, None, None, "rwm")?,
        rule(true, LinuxDeviceType::C, None, None, "m")?,
        rule(true, LinuxDeviceType::B, None, None, "m")?,
    ];
    for (major, minor) in CHARACTER_DEVICES {
        rules.push(rule(true, LinuxDeviceType::C, Some(major), minor, "rwm")?);
    }
    for device in devices {
        rules.push(rule(true, kind(device), Some(device.major), Some(device.minor), &device.access)?);
    }
    for text in &spec.device_cgroup_rules {
        rules.push(parse_rule(text)?);
    }
    Ok(rules)
}

/// Docker's `TYPE MAJOR:MINOR ACCESS`, such as `c 189:* rwm`.
pub fn parse_rule(text: &str) -> Result<LinuxDeviceCgroup> {
    let refused = || Error::Spec {
        key: "device cgroup rule",
        value: text.into(),
        reason: "expected a, b or c, MAJOR:MINOR (either may be *), and some of r, w, m, such as \"c 189:* rwm\""
            .into(),
    };
    let mut words = text.split(' ');
    let (Some(kind), Some(numbers), Some(access), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(refused());
    };
    let kind = match kind {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return Err(refused()),
    };
    let number = |text: &str| match text {
        "*" => Ok(None),
        digits => digits.parse::<u32>().map(|number| Some(i64::from(number))).map_err(|_| refused()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(refused)?;
    if access.is_empty() || access.len() > 3 || !access.bytes().all(|b| matches!(b, b'r' | b'w' | b'm')) {
        return Err(refused());
    }
    rule(true, kind, number(major)?, number(minor)?, access)
}

fn rule(
    allow: bool,
    kind: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> Result<LinuxDeviceCgroup> {
    let mut builder = LinuxDeviceCgroupBuilder::default().allow(allow).typ(kind).access(access);
    if let Some(major) = major {
        builder = builder.major(major);
    }
    if let Some(minor) = minor {
        builder = builder.minor(minor);
    }
    Ok(builder.build()?)
}
