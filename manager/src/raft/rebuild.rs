//! Logs that go on with one member: a new one with a given state, and one whose other members are lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use model::{ClusterId, KeptKey, NodeId};
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::vote::RaftLeaderId;

use super::key::{self, RaftKey};
use super::log::{self, Log};
use super::member::{make_dir, member_id};
use super::seal::Sealer;
use super::snapshot::SnapshotStore;
use super::types::{Address, Entry, LeaderId, LogId, Membership, Payload, Proposal, StoredMembership, Types, Vote};
use crate::error::Error;

fn sealer(key: &RaftKey, dir: &Path) -> Result<Arc<Sealer>, Error> {
    let flaw = |flaw: crate::error::RecordFlaw| Error::Key { path: dir.join(key::FILE), reason: flaw.to_string() };
    Ok(Arc::new(key.sealer().map_err(flaw)?))
}

fn only(id: u64, address: &str) -> Result<Membership, Error> {
    let members = BTreeMap::from([(id, Address(address.to_owned()))]);
    let membership = Membership::new(vec![BTreeSet::from([id])], members);
    membership.map_err(|error| Error::Stopped { reason: error.to_string() })
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |source| Error::file("write", path, source)
}

/// Makes a directory whose log begins behind a raft snapshot of `state`, which is told the member's number.
pub async fn found(
    dir: &Path,
    cluster: ClusterId,
    node: NodeId,
    state: impl FnOnce(u64) -> Result<Vec<u8>, Error>,
) -> Result<(), Error> {
    make_dir(dir)?;
    let sealer = sealer(&RaftKey::load_or_create(dir, false, Some(cluster), None)?, dir)?;
    let path = dir.join(log::FILE);
    let mut log = Log::open(dir, sealer.clone())?;
    let written = async {
        let id = member_id(&log, &path, node).await?;
        let leader_id = LeaderId::new(1, id);
        let last = LogId { leader_id, index: 1 };
        let membership = StoredMembership::new(Some(last), only(id, "")?);
        SnapshotStore::new(dir, sealer)?.write(Some(last), &membership, &state(id)?)?;
        log.save_vote(&Vote { leader_id, committed: true }).await.map_err(failed(&path))?;
        log.purge(last).await.map_err(failed(&path))
    };
    let written = written.await;
    log.close().await;
    written
}

/// Goes on alone: the log gets `entry`, and then a membership of this member only. `entry` is told the member's number. Everything that is
/// in the log counts, as it would if this member had been elected.
pub async fn refound(
    dir: &Path,
    node: NodeId,
    address: &str,
    unlock: Option<&KeptKey>,
    entry: impl FnOnce(u64) -> Result<Vec<u8>, Error>,
) -> Result<(), Error> {
    let sealer = sealer(&RaftKey::load_or_create(dir, true, None, unlock)?, dir)?;
    let path = dir.join(log::FILE);
    let mut log = Log::open(dir, sealer)?;
    let written = async {
        let id = member_id(&log, &path, node).await?;
        let vote = log.read_vote().await.map_err(failed(&path))?;
        let last = log.get_log_state().await.map_err(failed(&path))?.last_log_id;
        let nothing = || Error::Stopped { reason: "this manager has nothing of the cluster's state".into() };
        let last = last.ok_or_else(nothing)?;
        let term = vote.map_or(0, |vote| vote.leader_id.term).max(last.leader_id.term) + 1;
        let leader_id = LeaderId::new(term, id);
        let at = |index| LogId { leader_id, index };
        // A leader that has the second in force has the first in its state, and asks no lost member back.
        let entries = [
            Entry { log_id: at(last.index + 1), payload: Payload::Normal(Proposal(entry(id)?.into())) },
            Entry { log_id: at(last.index + 2), payload: Payload::Membership(only(id, address)?) },
        ];
        log.save_vote(&Vote { leader_id, committed: true }).await.map_err(failed(&path))?;
        let (done, flushed) = Types::oneshot();
        log.append(entries, IOFlushed::signal(done)).await.map_err(failed(&path))?;
        let flushed = flushed.await.map_err(|_| Error::Stopped { reason: "the raft log's writer has ended".into() })?;
        flushed.map_err(failed(&path))
    };
    let written = written.await;
    log.close().await;
    written
}
