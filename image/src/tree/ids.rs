//! Users and groups as a container's user namespace numbers them.

use std::io;

/// What an id is that a namespace has no number for (`/proc/sys/kernel/overflowuid`).
const OVERFLOW: u32 = 65_534;

/// Runs of ids: the first inside, the first outside, how many. Empty: both sides are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap {
    uids: Vec<(u32, u32, u32)>,
    gids: Vec<(u32, u32, u32)>,
}

impl IdMap {
    /// Reads the texts of `/proc/PID/uid_map` and `gid_map` (user_namespaces(7)).
    ///
    /// # Errors
    /// If a line isn't three numbers.
    pub fn parse(uids: &str, gids: &str) -> io::Result<IdMap> {
        Ok(IdMap { uids: runs(uids)?, gids: runs(gids)? })
    }

    /// The container's root user and group as the host sees them.
    #[must_use]
    pub fn root(&self) -> Option<(u32, u32)> {
        self.outside((0, 0))
    }

    /// User and group as the container sees them.
    pub(super) fn inside(&self, (uid, gid): (u32, u32)) -> (u32, u32) {
        let map = |runs: &[(u32, u32, u32)], id| translate(runs, id, true).unwrap_or(OVERFLOW);
        (map(&self.uids, uid), map(&self.gids, gid))
    }

    /// User and group as the host sees them; `None` if the container has no such one.
    pub(super) fn outside(&self, (uid, gid): (u32, u32)) -> Option<(u32, u32)> {
        Some((translate(&self.uids, uid, false)?, translate(&self.gids, gid, false)?))
    }
}

fn runs(text: &str) -> io::Result<Vec<(u32, u32, u32)>> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "an id map has a line that is not three numbers");
    let line = |line: &str| {
        let numbers: Vec<u32> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().map_err(|_| bad())?;
        match numbers.as_slice() {
            [inside, outside, count] => Ok((*inside, *outside, *count)),
            _ => Err(bad()),
        }
    };
    let runs: Vec<_> = text.lines().map(line).collect::<io::Result<_>>()?;
    Ok(if runs == [(0, 0, u32::MAX)] { Vec::new() } else { runs })
}

fn translate(runs: &[(u32, u32, u32)], id: u32, inward: bool) -> Option<u32> {
    if runs.is_empty() {
        return Some(id);
    }
    runs.iter().find_map(|&(inside, outside, count)| {
        let (from, to) = if inward { (outside, inside) } else { (inside, outside) };
        let offset = id.checked_sub(from).filter(|offset| *offset < count)?;
        to.checked_add(offset)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_both_ways() {
        let map = IdMap::parse("0 100000 65536\n", "0 200000 10\n10 5 1\n").unwrap();
        assert_eq!(map.inside((100_001, 200_003)), (1, 3));
        assert_eq!(map.outside((1, 10)), Some((100_001, 5)));
        assert_eq!(map.outside((70_000, 0)), None);
        assert_eq!(map.inside((0, 0)), (OVERFLOW, OVERFLOW));
        assert_eq!(IdMap::parse("0 0 4294967295", "0 0 4294967295").unwrap(), IdMap::default());
        assert!(IdMap::parse("0 0", "").is_err());
    }
}
