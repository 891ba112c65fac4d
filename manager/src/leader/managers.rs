//! Who votes: the managers that the state has, one change at a time.

use std::time::Duration;

use model::{Node, NodeRole};

use super::backoff::Backoff;
use crate::error::Error;
use crate::raft::Member;
use crate::state::{Command, State};
use crate::store::Store;

/// How often what could not be done yet is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    /// Bring a manager up to date.
    Add(u64, String),
    /// Let it vote.
    Promote(u64),
    /// It has moved.
    Move(u64, String),
    /// It is none any more.
    Remove(u64),
    /// It is none any more, and Raft has forgotten it.
    Forget(model::NodeId),
    /// Another one has to lead first.
    HandOver(u64),
}

/// The first difference between what the state says and who is in the group.
fn next(state: &State, members: &[Member], own: u64) -> Option<Change> {
    let managers = || state.nodes.values().filter_map(|node| Some((node, node.manager.as_ref()?)));
    let is_one = |node: &Node| node.spec.role == NodeRole::Manager;
    let wanted = |raft: u64| managers().any(|(node, manager)| manager.raft == raft && is_one(node));
    for (node, manager) in managers().filter(|(node, _)| is_one(node)) {
        match members.iter().find(|member| member.raft == manager.raft) {
            None => return Some(Change::Add(manager.raft, manager.address.clone())),
            Some(member) if member.address != manager.address => {
                return Some(Change::Move(manager.raft, manager.address.clone()));
            }
            Some(member) if !member.votes && node.key.is_empty() => {}
            Some(member) if !member.votes => return Some(Change::Promote(manager.raft)),
            Some(_) => {}
        }
    }
    if let Some(member) = members.iter().find(|member| !wanted(member.raft)) {
        let other = members.iter().find(|other| other.raft != own && other.votes && wanted(other.raft));
        return match (member.raft == own, other) {
            (true, Some(other)) => Some(Change::HandOver(other.raft)),
            // The last one stays, whatever the state says.
            (true, None) => None,
            (false, _) => Some(Change::Remove(member.raft)),
        };
    }
    managers().find(|(node, _)| !is_one(node)).map(|(node, _)| Change::Forget(node.id))
}

/// Makes the group what the state says, for one term.
pub async fn run(store: &Store) {
    let mut changes = store.watch();
    let mut backoff = Backoff::default();
    loop {
        changes.mark_unchanged();
        let state = store.snapshot();
        let is_open = state.cluster.as_ref().is_some_and(|cluster| cluster.identity.is_some());
        let change = if is_open { next(&state, &store.raft().members(), store.raft().id()) } else { None };
        let Some(change) = change else {
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        };
        tracing::info!(?change, "the group of managers changes");
        match make(store, change).await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                backoff.wait("the group of managers cannot be changed", &error).await;
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn make(store: &Store, change: Change) -> Result<(), Error> {
    let raft = store.raft();
    match change {
        Change::Add(id, address) => raft.add_learner(id, address).await,
        Change::Promote(id) => raft.promote(id).await,
        Change::Move(id, address) => raft.set_address(id, address).await,
        Change::Remove(id) => raft.remove(id).await,
        Change::Forget(node) => store.propose(vec![Command::SetManager { node, manager: None }]).await.map(|_| ()),
        Change::HandOver(to) => {
            raft.hand_over(to).await;
            tokio::time::sleep(RETRY).await;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ManagerMember, Meta, NodeDescription, NodeId, NodeState};

    fn state(managers: &[(u128, u64, &str, NodeRole)]) -> State {
        let mut state = State::default();
        for (id, raft, address, role) in managers {
            let id = NodeId::from_random(*id);
            let mut node = Node::new(id, Meta::default(), NodeDescription::default(), NodeState::Ready);
            (node.key, node.spec.role) = (vec![1], *role);
            node.manager = Some(ManagerMember { raft: *raft, address: (*address).into() });
            state.nodes.insert(id, node);
        }
        state
    }

    fn member(raft: u64, address: &str, votes: bool) -> Member {
        Member { raft, address: address.into(), votes }
    }

    #[test]
    fn one_step_after_the_other_leads_to_what_the_state_says() {
        use NodeRole::{Manager, Worker};
        let two = state(&[(1, 10, "a", Manager), (2, 20, "b", Manager)]);
        let own = || member(10, "a", true);
        assert_eq!(next(&two, &[own()], 10), Some(Change::Add(20, "b".into())));
        assert_eq!(next(&two, &[own(), member(20, "b", false)], 10), Some(Change::Promote(20)));
        assert_eq!(next(&two, &[own(), member(20, "c", true)], 10), Some(Change::Move(20, "b".into())));
        assert_eq!(next(&two, &[own(), member(20, "b", true)], 10), None);
        let demoted = state(&[(1, 10, "a", Manager), (2, 20, "b", Worker)]);
        assert_eq!(next(&demoted, &[own(), member(20, "b", true)], 10), Some(Change::Remove(20)));
        assert_eq!(next(&demoted, &[own()], 10), Some(Change::Forget(NodeId::from_random(2))));
        // The leader itself is demoted: another one leads first, and removes it then.
        let members = [own(), member(20, "b", true)];
        let own_demoted = state(&[(1, 10, "a", Worker), (2, 20, "b", Manager)]);
        assert_eq!(next(&own_demoted, &members, 10), Some(Change::HandOver(20)));
        assert_eq!(next(&own_demoted, &members, 20), Some(Change::Remove(10)));
        assert_eq!(next(&state(&[(1, 10, "a", Worker)]), &[own()], 10), None, "the last one stays");
    }
}
