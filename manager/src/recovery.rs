//! How a cluster goes on with one manager: from a backup, or from what a manager that has lost the others still has.
//!
//! A restored state is made beside the present one, in `raft.next`; what says whether it counts is the node's place in a cluster, which the
//! caller keeps between [`prepare`] and [`settle`].

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use model::{ClusterId, KeptKey, ManagerMember, NodeId, NodeRole};

use crate::backup::Backup;
use crate::ca;
use crate::error::Error;
use crate::manager::RAFT;
use crate::raft::{RaftKey, rebuild};
use crate::state::{Command, Entry, Refound, State, apply, codec};
use crate::store::now;

const NEXT: &str = "raft.next";
const PARTIAL: &str = "raft.partial";

/// The manager that a cluster goes on with.
#[derive(Debug, Clone)]
pub struct Founder {
    /// The node.
    pub node: NodeId,
    /// The public key that it is known by, a point on P-256.
    pub public_key: Vec<u8>,
    /// Where it listens, `HOST:PORT`.
    pub address: String,
}

impl Founder {
    fn entry(&self, raft: u64) -> Result<Entry, Error> {
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        let refound = Refound {
            node: self.node,
            key: ca::key_of(&self.public_key)?,
            manager: ManagerMember { raft, address: self.address.clone() },
            address: host.trim_matches(['[', ']']).to_owned(),
        };
        Ok(Entry { now: now(), commands: vec![Command::Refound(Box::new(refound))] })
    }
}

/// Its first certificate, and the cluster that it is of.
///
/// # Errors
/// [`Error::Refused`] for a state that is not of an open cluster; [`Error::Authority`].
pub fn certificate(state: &State, founder: &Founder) -> Result<(ClusterId, String, ca::Issued), Error> {
    let not_open = || Error::Refused(crate::state::Refusal::NotOpen);
    let cluster = state.cluster.as_ref().ok_or_else(not_open)?;
    let identity = cluster.identity.as_ref().ok_or_else(not_open)?;
    let (node, public_key, validity) = (founder.node, &founder.public_key, cluster.spec.certificate_expiry);
    let request = ca::Request { node, role: NodeRole::Manager, cluster: cluster.id, public_key, validity };
    Ok((cluster.id, identity.ca.clone(), ca::issue(identity, request, now())?))
}

/// Makes the state of a backup ready to be taken over, with this manager as the only one.
///
/// # Errors
/// Files that can't be written, each by name; [`Error::Refused`] for a backup of a node that was never opened to others.
pub async fn prepare(data_dir: &Path, backup: &Backup, founder: &Founder) -> Result<(), Error> {
    let (partial, next) = (data_dir.join(PARTIAL), data_dir.join(NEXT));
    remove(&partial)?;
    remove(&next)?;
    let state = |raft: u64| {
        let mut state = backup.state.clone();
        apply(&mut state, &founder.entry(raft)?)?;
        Ok(codec::encode_state(&state))
    };
    rebuild::found(&partial, backup.about.cluster, founder.node, state).await?;
    rename(&partial, &next)
}

/// Takes a state that was made ready over, if it is of this cluster; else forgets it. No manager may run.
///
/// # Errors
/// What could not be moved or removed.
pub fn settle(data_dir: &Path, cluster: Option<ClusterId>) -> Result<(), Error> {
    remove(&data_dir.join(PARTIAL))?;
    let next = data_dir.join(NEXT);
    let ready = RaftKey::cluster_in(&next)?;
    if ready.is_none() || ready != cluster {
        return remove(&next);
    }
    let raft = data_dir.join(RAFT);
    remove(&raft)?;
    rename(&next, &raft)
}

/// Makes this manager the only one of its cluster, with everything that is in its log. No manager may run.
///
/// # Errors
/// Files that can't be read or written, each by name.
pub async fn refound(data_dir: &Path, founder: &Founder, unlock: Option<&KeptKey>) -> Result<(), Error> {
    let entry = |raft: u64| Ok(codec::encode_entry(&founder.entry(raft)?));
    rebuild::refound(&data_dir.join(RAFT), founder.node, &founder.address, unlock, entry).await
}

fn remove(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", dir, error)),
        _ => Ok(()),
    }
}

fn rename(from: &PathBuf, to: &Path) -> Result<(), Error> {
    let renamed = fs::rename(from, to);
    let synced = renamed.and_then(|()| to.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all()));
    synced.map_err(|source| Error::file("rename", from, source))
}
