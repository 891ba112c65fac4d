//! The end of a rotation of the CA: when every node has a certificate of the next one, the one before is trusted no more.

use super::backoff::Backoff;
use crate::ca;
use crate::error::Error;
use crate::state::{Command, State};
use crate::store::Store;

/// Whether a rotation goes on that no node is missing in.
fn is_done(state: &State) -> Result<bool, Error> {
    let identity = state.cluster.as_ref().and_then(|cluster| cluster.identity.as_ref());
    let Some(identity) = identity.filter(|identity| identity.next.is_some()) else { return Ok(false) };
    let authority = ca::authority(identity)?;
    let mut nodes = state.nodes.values().filter(|node| !node.key.is_empty());
    Ok(nodes.all(|node| node.description.authority == authority))
}

/// Ends rotations, for one term.
pub async fn run(store: &Store) {
    let mut changes = store.watch();
    let mut backoff = Backoff::default();
    loop {
        changes.mark_unchanged();
        match finish(store).await {
            Ok(()) => {
                backoff.reset();
                if changes.changed().await.is_err() {
                    return;
                }
            }
            Err(error) => backoff.wait("the rotation of the CA cannot be ended", &error).await,
        }
    }
}

async fn finish(store: &Store) -> Result<(), Error> {
    if is_done(&store.snapshot())? {
        store.propose(vec![Command::FinishRotation]).await?;
        tracing::info!("every node has a certificate of the new CA; the one before is trusted no more");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::{Cluster, ClusterId, Meta, Node, NodeDescription, NodeId, NodeState, Timestamp};

    use super::*;

    #[test]
    fn a_rotation_waits_for_every_node_that_is_one() {
        let (cluster, now) = (ClusterId::from_random(1), Timestamp(1_800_000_000_000_000_000));
        let mut identity = ca::new_identity(cluster, now).unwrap();
        let before = ca::authority(&identity).unwrap();
        identity.next = Some(ca::next_authority(&identity, cluster, now).unwrap());
        let after = ca::authority(&identity).unwrap();
        assert_ne!(before, after);
        let mut state = State::default();
        state.cluster = Some(Cluster::new(cluster, Meta::default(), Vec::new()));
        state.cluster.as_mut().unwrap().identity = Some(identity);
        for (number, state_of, authority) in [(1, NodeState::Ready, &after), (2, NodeState::Down, &before)] {
            let description = NodeDescription { authority: authority.clone(), ..NodeDescription::default() };
            let mut node = Node::new(NodeId::from_random(number), Meta::default(), description, state_of);
            node.key = vec![1];
            state.nodes.insert(node.id, node);
        }
        assert!(!is_done(&state).unwrap(), "one that is down would be shut out");
        let late = state.nodes.get_mut(&NodeId::from_random(2)).unwrap();
        late.key.clear();
        assert!(is_done(&state).unwrap(), "one that has left");
        state.cluster.as_mut().unwrap().identity.as_mut().unwrap().next = None;
        assert!(!is_done(&state).unwrap());
    }
}
