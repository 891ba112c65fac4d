//! `apply(state, entry) -> events`: deterministic, all or nothing.

mod claims;
mod cluster;
mod contents;
mod declaration;
mod objects;
mod ranges;
mod refusal;
mod services;
mod stack;
mod tasks;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use model::{Meta, Timestamp};

use super::{Command, Entry, Event, State};
pub use refusal::Refusal;
pub use stack::{StackChanges, changed_services};

/// The state on its way to the next version.
struct Draft<'a> {
    state: State,
    now: Timestamp,
    events: BTreeSet<Event>,
    /// The version that the entry makes.
    version: u64,
    original: &'a mut State,
}

/// Applies an entry: every command, or none.
///
/// # Errors
/// The first command that the state refuses; the state is then as it was.
pub fn apply(state: &mut State, entry: &Entry) -> Result<Vec<Event>, Refusal> {
    let version = state.version + 1;
    let mut draft = Draft { state: state.clone(), now: entry.now, events: BTreeSet::new(), version, original: state };
    for command in &entry.commands {
        draft.command(command)?;
    }
    Ok(draft.finish())
}

impl Draft<'_> {
    fn finish(mut self) -> Vec<Event> {
        if !self.events.is_empty() {
            self.state.version = self.version;
            *self.original = self.state;
        }
        self.events.into_iter().collect()
    }

    fn command(&mut self, command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Bootstrap { cluster, bridge } => self.bootstrap(*cluster, *bridge),
            Command::RegisterNode { node, description } => self.register_node(*node, description),
            Command::SetNodeState { node, state } => self.set_node_state(*node, *state),
            Command::ApplyStack(apply) => self.apply_stack(apply),
            Command::RemoveStack { stack, services } => self.remove_stack(stack, services),
            Command::SetIntent { tasks, action, ids } => self.set_intent(tasks, *action, *ids),
            Command::ReportStatuses { node, reports } => self.report(*node, reports),
            Command::CreateTask { task, seen } => self.create_task(task, *seen),
            Command::SetDesired { task, desired, seen } => self.set_desired(*task, *desired, *seen),
            Command::AssignTask { task, node, seen } => self.assign_task(*task, *node, *seen),
            Command::OrphanTask { task, seen } => self.orphan_task(*task, *seen),
            Command::DeleteTask { task, seen } => self.delete_task(*task, *seen),
            Command::SetSubnets { network, subnets, seen } => self.set_subnets(*network, subnets, *seen),
            Command::SetLease { network, node, blocks, seen } => self.set_lease(*network, *node, blocks, *seen),
            Command::SetEndpoint { service, endpoint, seen } => self.set_endpoint(*service, endpoint, *seen),
            Command::RemoveService { service, seen } => self.remove_service(*service, *seen),
            Command::RemoveNetwork { network, seen } => self.remove_network(*network, *seen),
            Command::CreateSecret { spec, ids } => self.create_secret(spec, *ids),
            Command::CreateConfig { spec, ids } => self.create_config(spec, *ids),
            Command::WithdrawSecret { secret, seen } => self.withdraw_secret(*secret, *seen),
            Command::WithdrawConfig { config, seen } => self.withdraw_config(*config, *seen),
            Command::RemoveSecret { secret, seen } => self.remove_secret(*secret, *seen),
            Command::RemoveConfig { config, seen } => self.remove_config(*config, *seen),
            Command::OpenCluster(open) => self.open_cluster(open),
            Command::UpdateCluster { spec } => self.update_cluster(*spec),
            Command::RotateToken { role, secret } => self.rotate_token(*role, secret),
            Command::AdmitNode { node, key, role, address, availability } => {
                self.admit_node(*node, key, *role, address, *availability)
            }
            Command::UpdateNode { node, spec, seen } => self.update_node(*node, spec, *seen),
            Command::RemoveNode { node, force } => self.remove_node(*node, *force),
            Command::SetManager { node, manager } => self.set_manager(*node, manager.as_ref()),
            Command::CreateService { spec, ids } => self.create_service(spec, *ids),
            Command::UpdateService { service, spec, seen } => self.update_service(*service, spec, *seen),
            Command::RollbackService { service, failed, seen } => {
                self.rollback_service(*service, failed.as_deref(), *seen)
            }
            Command::WithdrawService { service, seen } => self.withdraw_service(*service, *seen),
            Command::SetUpdate { service, status, seen } => self.set_update(*service, status, *seen),
            Command::NodeLeft { node } => self.node_left(*node),
            Command::Refound(refound) => self.refound(refound),
            Command::RotateAuthority(next) => self.rotate_authority(next),
            Command::FinishRotation => self.finish_rotation(),
            Command::SetUnlockKey { key } => self.set_unlock_key(key),
        }
    }

    /// What a new object has.
    fn born(&self) -> Meta {
        Meta { version: self.version, created_at: self.now, updated_at: self.now }
    }

    /// What a changed object has.
    fn touched(&self, meta: Meta) -> Meta {
        Meta { version: self.version, updated_at: self.now, ..meta }
    }
}

/// Refuses a decision that was made on another version of an object. What the same entry has changed is not stale.
fn check_seen(kind: &'static str, id: impl ToString, meta: Meta, seen: u64, version: u64) -> Result<(), Refusal> {
    if meta.version == seen || meta.version == version {
        Ok(())
    } else {
        Err(Refusal::Stale { kind, id: id.to_string(), seen, now: meta.version })
    }
}
