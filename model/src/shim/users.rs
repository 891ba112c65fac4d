//! A user namespace of a container, and how its files are made to fit it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Consecutive ids, as a line of `/proc/PID/uid_map` has them (user_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first one as the container numbers it.
    pub container: u32,
    /// The same as the host numbers it.
    pub host: u32,
    /// How many.
    pub count: u32,
}

impl IdRange {
    fn host(self, id: u32) -> Option<u32> {
        let offset = id.checked_sub(self.container).filter(|offset| *offset < self.count)?;
        self.host.checked_add(offset)
    }
}

/// Which user and group of the host stands for which of the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// Users.
    pub uids: Vec<IdRange>,
    /// Groups.
    pub gids: Vec<IdRange>,
}

impl IdMap {
    /// A container's user as the host numbers it; `None`: it has no such user.
    #[must_use]
    pub fn uid(&self, id: u32) -> Option<u32> {
        self.uids.iter().find_map(|range| range.host(id))
    }

    /// A container's group as the host numbers it; `None`: it has no such group.
    #[must_use]
    pub fn gid(&self, id: u32) -> Option<u32> {
        self.gids.iter().find_map(|range| range.host(id))
    }

    /// The container's root as the host numbers it.
    #[must_use]
    pub fn root(&self) -> Option<(u32, u32)> {
        Some((self.uid(0)?, self.gid(0)?))
    }
}

/// The users of a container that are not the host's. Layers are kept with the container's own ids and shown to it through
/// idmapped mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// Where the user namespace is bound. It must equal the path in the OCI configuration.
    pub namespace: PathBuf,
    /// Its ids.
    pub map: IdMap,
    /// A directory that anybody may reach. In its own mount namespace the shim mounts there what the container's first
    /// process must reach by its path: with the host's permissions, that process is nobody.
    pub stage: PathBuf,
    /// What is put there beside the root file system.
    pub binds: Vec<StagedBind>,
}

/// Something of the host that a container's configuration names by the place where it is staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedBind {
    /// On the host.
    pub source: PathBuf,
    /// Below [`Users::stage`].
    pub target: PathBuf,
    /// Its files have the container's own ids, as layers have.
    pub idmapped: bool,
    /// It is a volume's, whose directory may be given to the container's root where the file system has no idmapped mounts.
    #[serde(default)]
    pub volume: bool,
    /// It is a namespace.
    pub namespace: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_looked_up_range_by_range() {
        let range = |container, host, count| IdRange { container, host, count };
        let map = IdMap { uids: vec![range(0, 100_000, 10), range(10, 300_000, 5)], gids: vec![range(0, 200_000, 1)] };
        assert_eq!(
            (map.uid(0), map.uid(9), map.uid(10), map.uid(14)),
            (Some(100_000), Some(100_009), Some(300_000), Some(300_004))
        );
        assert_eq!((map.uid(15), map.gid(1), map.root()), (None, None, Some((100_000, 200_000))));
        let absurd = IdMap { uids: vec![range(u32::MAX, u32::MAX, 2)], gids: Vec::new() };
        assert_eq!((absurd.uid(u32::MAX), absurd.root()), (Some(u32::MAX), None));
    }
}
