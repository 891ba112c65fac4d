//! What is to be done now: orchestrators, allocator and scheduler in turn on a draft of the state, until none has anything to
//! add, so that a whole `up` rides in one entry. Pure.

use model::Timestamp;

use crate::orchestrator::{self, Plan};
use crate::state::{Command, Entry, IdSource, Refusal, State, apply};
use crate::{allocator, scheduler};

/// Most rounds: new tasks want networks, networks leases, leases let tasks be assigned. What is left waits for the next plan.
const ROUNDS: usize = 8;

/// A plan, and what the cores have got wrong in it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// To be proposed in one entry.
    pub plan: Plan,
    /// Commands of one core that its own draft refused: its error, never a person's.
    pub refused: Option<Refusal>,
}

/// What is to be done, and when to look again.
pub fn plan(state: &State, now: Timestamp, ids: &mut IdSource) -> Outcome {
    let mut draft = state.clone();
    let mut outcome = Outcome::default();
    for _ in 0..ROUNDS {
        let before = outcome.plan.commands.len();
        let step = orchestrator::reconcile(&draft, now, ids);
        outcome.plan.wake_at = step.wake_at;
        outcome.take(&mut draft, now, step.commands);
        let allocations = allocator::allocate(&draft);
        outcome.take(&mut draft, now, allocations);
        let assignments = scheduler::schedule(&draft).commands;
        outcome.take(&mut draft, now, assignments);
        if outcome.plan.commands.len() == before {
            break;
        }
    }
    outcome
}

impl Outcome {
    /// Versions seen in the draft are newer than any in the state; in the entry they are its own, which is never stale.
    fn take(&mut self, draft: &mut State, now: Timestamp, commands: Vec<Command>) {
        if commands.is_empty() {
            return;
        }
        let entry = Entry { now, commands };
        match apply(draft, &entry) {
            Ok(_) => self.plan.commands.extend(entry.commands),
            Err(refusal) => self.refused = Some(refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{
        AttachmentSpec, ClusterId, NetworkId, NetworkMode, NetworkSpec, NodeDescription, NodeId, ServiceMode,
        ServiceSpec, Stack, StackMember,
    };

    use crate::state::ApplyStack;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn shop() -> Stack {
        let network = NetworkSpec { name: "shop_default".into(), stack: Some("shop".into()), ..NetworkSpec::default() };
        let attachment = AttachmentSpec { network: network.name.clone(), ..AttachmentSpec::default() };
        let web = ServiceSpec {
            name: "shop-web".into(),
            stack: Some(StackMember { stack: "shop".into(), key: "web".into() }),
            mode: ServiceMode::Replicated { replicas: 5 },
            network: NetworkMode::Networks(vec![attachment]),
            ..ServiceSpec::default()
        };
        Stack { name: "shop".into(), services: vec![web], networks: vec![network], ..Stack::default() }
    }

    #[test]
    fn one_entry_brings_a_stack_to_its_nodes_and_leaves_nothing_to_do() {
        let mut state = State::default();
        let mut ids = IdSource::new(1);
        let apply_stack = ApplyStack {
            stack: shop(),
            recreate: Default::default(),
            remove_orphans: false,
            start_stopped: false,
            no_start: false,
            force: Vec::new(),
            renew_volumes: false,
            keep_replicas: Vec::new(),
            ids: IdSource::new(1 << 64),
        };
        let commands = vec![
            Command::Bootstrap { cluster: ClusterId::from_random(1), bridge: NetworkId::from_random(2) },
            Command::RegisterNode { node: NodeId::from_random(3), description: NodeDescription::default() },
            Command::ApplyStack(Box::new(apply_stack)),
        ];
        apply(&mut state, &Entry { now: NOW, commands }).unwrap();
        let first = plan(&state, NOW, &mut ids);
        assert_eq!(first.refused, None);
        apply(&mut state, &Entry { now: NOW, commands: first.plan.commands }).unwrap();
        assert_eq!(state.tasks_on(NodeId::from_random(3)).count(), 5);
        assert!(state.network_named("shop_default").is_some_and(|network| network.leases.len() == 1));
        let second = plan(&state, NOW, &mut ids);
        assert_eq!(second.plan.commands, []);
    }
}
