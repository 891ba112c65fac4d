//! Which capabilities a container gets.

use std::collections::BTreeSet;

use model::ContainerSpec;

use crate::Error;

/// Every capability, in the kernel's order (linux/capability.h), without `CAP_`.
pub const ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Docker's fourteen.
pub const DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The names behind a bit set as `/proc/self/status` shows it (`CapBnd`).
pub fn from_bits(bits: u64) -> BTreeSet<&'static str> {
    ALL.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, name)| *name).collect()
}

/// The capabilities of a container, without `CAP_`; `host` are those that this node has to give.
///
/// # Errors
/// [`Error::Capability`] for one that does not exist, or that the node lacks.
pub fn of(spec: &ContainerSpec, host: &BTreeSet<&'static str>) -> Result<BTreeSet<&'static str>, Error> {
    let add = names(&spec.cap_add)?;
    let drop = names(&spec.cap_drop)?;
    if spec.privileged {
        return Ok(host.clone());
    }
    let mut set: BTreeSet<&str> = match (add.contains("ALL"), drop.contains("ALL")) {
        (true, _) => host.clone(),
        (false, true) => BTreeSet::new(),
        (false, false) => DEFAULT.into_iter().filter(|name| host.contains(name)).collect(),
    };
    for name in add.iter().filter(|name| **name != "ALL") {
        if !host.contains(name) {
            return Err(Error::Capability { name: (*name).into(), reason: "this node does not have it to give" });
        }
        set.insert(name);
    }
    for name in drop.iter().filter(|name| **name != "ALL") {
        set.remove(name);
    }
    Ok(set)
}

fn names(given: &[String]) -> Result<BTreeSet<&'static str>, Error> {
    given.iter().map(|text| name(text)).collect()
}

fn name(text: &str) -> Result<&'static str, Error> {
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if bare == "ALL" {
        return Ok("ALL");
    }
    let known = ALL.into_iter().find(|known| *known == bare);
    known.ok_or_else(|| Error::Capability {
        name: text.chars().take(40).collect(),
        reason: "there is none of that name",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(add: &[&str], drop: &[&str]) -> ContainerSpec {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        ContainerSpec { cap_add: list(add), cap_drop: list(drop), ..ContainerSpec::default() }
    }

    #[test]
    fn add_and_drop() {
        let host = from_bits(u64::MAX);
        let count = |add: &[&str], drop: &[&str]| of(&spec(add, drop), &host).unwrap().len();
        assert_eq!(count(&[], &[]), 14);
        assert_eq!(count(&["NET_ADMIN", "cap_sys_time"], &["CAP_MKNOD"]), 15);
        assert_eq!(count(&["ALL"], &["SYS_ADMIN"]), 40);
        assert_eq!(count(&["NET_BIND_SERVICE"], &["all"]), 1);
        assert!(of(&spec(&["FLY"], &[]), &host).is_err());
        let bounded: BTreeSet<_> = host.into_iter().filter(|name| *name != "SYS_RESOURCE").collect();
        assert!(of(&spec(&["SYS_RESOURCE"], &[]), &bounded).is_err());
        assert_eq!(of(&spec(&["ALL"], &[]), &bounded).unwrap().len(), 40);
    }
}
