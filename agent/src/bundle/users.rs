//! Users that are not the host's: which ids a node gives to its containers, and what of a configuration must be staged for a
//! first process that is nobody to the host. Pure.

use std::path::{Path, PathBuf};

use model::shim::{IdMap, IdRange, StagedBind};
use model::{ContainerSpec, IpcMode, MountSource, NamespaceMode, NetworkMode, PidMode, Propagation};
use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespaceType, Spec};

use super::Host;
use super::checks::refused;
use crate::{Error, Result};

/// The user whose subordinate ids `--userns-remap default` takes: Docker's.
pub const DEFAULT_USER: &str = "dockremap";
/// How many ids a range has that Orca reserves, and the first it takes: those of useradd(8).
const COUNT: u32 = 65_536;
const FIRST: u32 = 100_000;
/// More lines than the kernel takes in a map. (user_namespaces(7))
const RANGES_MAX: usize = 340;

/// The texts in which users and their subordinate ids are found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Databases<'a> {
    /// /etc/passwd (passwd(5)).
    pub passwd: &'a str,
    /// /etc/group (group(5)).
    pub group: &'a str,
    /// /etc/subuid (subuid(5)).
    pub subuid: &'a str,
    /// /etc/subgid (subgid(5)).
    pub subgid: &'a str,
}

/// The ids of `--userns-remap default|USER[:GROUP]|UID[:GID]`.
///
/// # Errors
/// What is missing in which file.
pub fn remap(wanted: &str, from: Databases<'_>) -> Result<IdMap> {
    let bad = |reason: String| refused("--userns-remap", wanted, reason);
    let (user, group) = match wanted {
        "default" => (DEFAULT_USER, DEFAULT_USER),
        _ => wanted.split_once(':').unwrap_or((wanted, wanted)),
    };
    if user.is_empty() || group.is_empty() {
        return Err(bad("expected default, USER[:GROUP] or UID[:GID]".into()));
    }
    let (user, group) = if wanted == "default" {
        (vec![user.to_owned()], vec![group.to_owned()])
    } else {
        let user = names(user, from.passwd).ok_or_else(|| bad(format!("/etc/passwd has no user {user}")))?;
        let group = names(group, from.group).ok_or_else(|| bad(format!("/etc/group has no group {group}")))?;
        (user, group)
    };
    let map = IdMap {
        uids: ranges(&user, from.subuid).map_err(|reason| bad(format!("/etc/subuid {reason}")))?,
        gids: ranges(&group, from.subgid).map_err(|reason| bad(format!("/etc/subgid {reason}")))?,
    };
    Ok(map)
}

/// A user's or group's name and number; both name it in subuid(5).
fn names(wanted: &str, text: &str) -> Option<Vec<String>> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (name == wanted || id == wanted).then(|| vec![name.to_owned(), id.to_owned()])
    })
}

struct Subordinate<'a> {
    owner: &'a str,
    first: u32,
    count: u32,
}

/// `OWNER:FIRST:COUNT` in each line.
fn subordinates(text: &str) -> impl Iterator<Item = Subordinate<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let (first, count) = (fields.next()?.trim().parse().ok()?, fields.next()?.trim().parse().ok()?);
        Some(Subordinate { owner, first, count })
    })
}

/// One after the other, as Docker numbers them.
fn ranges(owner: &[String], text: &str) -> Result<Vec<IdRange>, String> {
    let mut next = 0u32;
    let mut found = Vec::new();
    for range in subordinates(text).filter(|range| owner.iter().any(|name| name == range.owner) && range.count > 0) {
        if range.first == 0 {
            return Err(format!("gives {} the host's root, whom a container must not have", range.owner));
        }
        let too_many = || format!("gives {} more ids than there are", range.owner);
        range.first.checked_add(range.count).ok_or_else(too_many)?;
        found.push(IdRange { container: next, host: range.first, count: range.count });
        next = next.checked_add(range.count).ok_or_else(too_many)?;
    }
    match found.len() {
        0 => {
            Err(format!("has no ids for {}: add a line {0}:{FIRST}:{COUNT}", owner.first().map_or("", String::as_str)))
        }
        count if count > RANGES_MAX => Err(format!("has {count} ranges, and the kernel takes {RANGES_MAX}")),
        _ => Ok(found),
    }
}

/// The line that reserves ids for [`DEFAULT_USER`] where there is none, beyond all that are given already.
#[must_use]
pub fn reservation(text: &str) -> Option<String> {
    if subordinates(text).any(|range| range.owner == DEFAULT_USER) {
        return None;
    }
    let end = subordinates(text).map(|range| range.first.saturating_add(range.count)).max().unwrap_or(0);
    let first = end.max(FIRST);
    first.checked_add(COUNT)?;
    let before = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    Some(format!("{before}{DEFAULT_USER}:{first}:{COUNT}\n"))
}

/// The ids of a container; `None`: the host's.
#[must_use]
pub fn mapped<'a>(spec: &ContainerSpec, host: &'a Host) -> Option<&'a IdMap> {
    host.users.as_ref().filter(|_| spec.userns == NamespaceMode::Private)
}

/// Refuses what cannot be with other users than the host's, in Docker's words where it refuses it too.
pub fn check(spec: &ContainerSpec, network: &NetworkMode, host: &Host) -> Result<()> {
    if mapped(spec, host).is_none() {
        return Ok(());
    }
    let host_users = "run it with --userns host";
    if spec.privileged {
        let reason = format!("privileged mode is incompatible with user namespaces: {host_users}");
        return Err(refused("privileged", true, reason));
    }
    if *network == NetworkMode::Host {
        let reason =
            format!("cannot share the host's network namespace when user namespaces are enabled: {host_users}");
        return Err(refused("network", "host", reason));
    }
    if spec.pid == PidMode::Host {
        let reason = format!("cannot share the host PID namespace when user namespaces are enabled: {host_users}");
        return Err(refused("pid", "host", reason));
    }
    if spec.ipc == IpcMode::Host {
        let reason = format!("the container's users have no rights in the host's IPC namespace: {host_users}");
        return Err(refused("ipc", "host", reason));
    }
    for mount in &spec.mounts {
        if let MountSource::Bind { path, propagation: Propagation::Shared | Propagation::Rshared, .. } = &mount.source {
            let reason = format!("what is mounted in another user namespace never shows on the host: {host_users}");
            return Err(refused("shared propagation of", path, reason));
        }
        if let MountSource::Image { image, .. } = &mount.source {
            let reason = format!("the files of a mounted image would belong to nobody in the container: {host_users}");
            return Err(refused("a mount of image", image, reason));
        }
    }
    Ok(())
}

/// Refuses a user that the map has no room for.
pub fn check_ids(map: &IdMap, uid: u32, gids: impl IntoIterator<Item = u32>) -> Result<()> {
    let reason = "the container's user namespace has no such id: give the remapped user more in /etc/subuid and \
        /etc/subgid, or use --userns host";
    if map.uid(uid).is_none() {
        return Err(refused("user", uid, reason));
    }
    match gids.into_iter().find(|gid| map.gid(*gid).is_none()) {
        Some(gid) => Err(refused("group", gid, reason)),
        None => Ok(()),
    }
}

/// The ids for a configuration.
pub(super) fn mappings(ranges: &[IdRange]) -> Result<Vec<LinuxIdMapping>> {
    let one = |range: &IdRange| {
        let builder = LinuxIdMappingBuilder::default().container_id(range.container).host_id(range.host);
        Ok::<_, Error>(builder.size(range.count).build()?)
    };
    ranges.iter().map(one).collect()
}

/// The root file system of a container with other users, below its stage.
#[must_use]
pub fn staged_root(stage: &Path) -> PathBuf {
    stage.join("rootfs")
}

/// Whose ids the files of a source have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// The host's.
    Host,
    /// The container's, in a path of the host.
    Bind,
    /// The container's, in a volume.
    Volume,
}

/// Makes a configuration name everything of the host by its place on the stage, and tells what belongs there. `ids` says
/// whose ids the files of a source have.
///
/// # Errors
/// Never, for a configuration that [`super::runtime_spec`] made.
pub fn stage(config: &mut Spec, stage: &Path, ids: impl Fn(&Path) -> Ids) -> Result<Vec<StagedBind>> {
    let mut binds = Vec::new();
    let mut mounts = config.mounts().clone().unwrap_or_default();
    for mount in &mut mounts {
        let source = mount.source().clone().filter(|_| mount.typ().as_deref() == Some("bind"));
        if let Some(source) = source {
            let target = stage.join("binds").join(binds.len().to_string());
            mount.set_source(Some(target.clone()));
            let ids = ids(&source);
            let (idmapped, volume) = (ids != Ids::Host, ids == Ids::Volume);
            binds.push(StagedBind { source, target, idmapped, volume, namespace: false });
        }
    }
    config.set_mounts(Some(mounts));
    let mut linux = config.linux().clone().ok_or(Error::NoPeer)?;
    let mut namespaces = linux.namespaces().clone().unwrap_or_default();
    for namespace in &mut namespaces {
        // The user namespace is entered first, with the host's permissions.
        let path = namespace.path().clone().filter(|_| namespace.typ() != LinuxNamespaceType::User);
        if let Some(source) = path {
            let target = stage.join("namespaces").join(namespace.typ().to_string());
            namespace.set_path(Some(target.clone()));
            binds.push(StagedBind { source, target, idmapped: false, volume: false, namespace: true });
        }
    }
    linux.set_namespaces(Some(namespaces));
    config.set_linux(Some(linux));
    Ok(binds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Databases<'_> = Databases {
        passwd: "root:x:0:0::/:\nalice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:1001::/:\n",
        group: "root:x:0:\nalice:x:1000:\nstaff:x:50:\n",
        subuid: "alice:100000:65536\nalice:300000:10\n1001:400000:5\nroot:0:9\n",
        subgid: "staff:200000:65536\nalice:500000:65536\nalice:5:0\n",
    };

    fn range(container: u32, host: u32, count: u32) -> IdRange {
        IdRange { container, host, count }
    }

    #[test]
    fn ids_come_from_subuid_and_subgid() {
        let map = remap("alice:staff", FROM).unwrap();
        assert_eq!(map.uids, [range(0, 100_000, 65_536), range(65_536, 300_000, 10)]);
        assert_eq!(map.gids, [range(0, 200_000, 65_536)]);
        assert_eq!(remap("1000:50", FROM).unwrap(), map);
        assert_eq!(remap("alice", FROM).unwrap().gids, [range(0, 500_000, 65_536)]);
        assert_eq!(remap("bob:staff", FROM).unwrap().uids, [range(0, 400_000, 5)], "by number");
        for (wanted, why) in [
            ("nobody", "/etc/passwd has no user nobody"),
            ("alice:wheel", "/etc/group has no group wheel"),
            ("bob:root", "/etc/subgid has no ids for root"),
            ("root:staff", "the host's root"),
            ("default", "/etc/subuid has no ids for dockremap"),
            (":", "expected default"),
            ("", "expected default"),
        ] {
            let error = remap(wanted, FROM).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("--userns-remap"), "{wanted}: {error}");
        }
        let subuid = "alice:4294967295:2\n";
        assert!(
            remap("alice", Databases { subuid, ..FROM }).unwrap_err().to_string().contains("more ids than there are")
        );
    }

    #[test]
    fn the_default_user_gets_ids_that_nobody_has() {
        assert_eq!(reservation("").unwrap(), "dockremap:100000:65536\n");
        assert_eq!(reservation("alice:100000:65536\nbob:165536:65536").unwrap(), "\ndockremap:231072:65536\n");
        assert_eq!(reservation("dockremap:500000:65536\n"), None);
        assert_eq!(reservation("alice:4294900000:65536\n"), None, "no room");
        let line = reservation("junk\n#:x:y\n").unwrap();
        let map = remap("default", Databases { subuid: &line, subgid: &line, ..FROM }).unwrap();
        assert_eq!(map.root(), Some((100_000, 100_000)));
    }

    proptest::proptest! {
        #[test]
        fn no_database_panics(wanted in "[a-z0-9:]{0,9}", subuid in "[a-c0-9:\n]{0,60}") {
            let from = Databases { passwd: &subuid, group: &subuid, subuid: &subuid, subgid: &subuid };
            let _ = remap(&wanted, from);
            let _ = reservation(&subuid);
        }
    }
}
