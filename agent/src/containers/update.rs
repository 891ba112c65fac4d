//! Other limits for a container, whether it runs or not.

use model::{ContainerId, Limits, RestartPolicy};

use super::Containers;
use crate::task::Stage;
use crate::{Result, bundle, cgroup};

/// What of a container's limits changes; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct LimitChange {
    /// Hard limits.
    pub limits: Limits,
    /// The soft limit of memory in bytes.
    pub memory_reservation: Option<u64>,
    /// What happens when its process ends.
    pub restart: Option<RestartPolicy>,
}

impl LimitChange {
    /// The spec with the change.
    fn apply(&self, spec: &mut model::ContainerSpec) {
        spec.resources.limits.update(self.limits.clone());
        if let Some(bytes) = self.memory_reservation {
            spec.resources.reservations.memory = bytes;
        }
        if let Some(restart) = &self.restart {
            spec.restart = restart.clone();
        }
    }
}

impl Containers {
    /// Changes limits; in force when this returns, and at every later run.
    ///
    /// # Errors
    /// A limit that makes no sense, or that the kernel refuses; nothing is changed on record then.
    pub async fn update(&self, id: ContainerId, change: LimitChange) -> Result<()> {
        let executor = &self.shared.executor;
        let (spec, network, running) = {
            let state = self.shared.state();
            let entry = state.get(id)?;
            let mut spec = entry.record.spec.clone();
            change.apply(&mut spec);
            let runs = matches!(entry.machine.stage(), Stage::Running { .. });
            (spec, entry.record.network.clone(), runs.then(|| executor.cgroup(&entry.record)))
        };
        executor.check(&spec, &network).await?;
        if let Some(cgroup) = running {
            let resources = bundle::resources(&spec, executor.host())?;
            let settings = cgroup::settings(&resources, cgroup.is_unified(), executor.host().io_weight.as_deref());
            super::super::executor::blocking("changing limits", move || cgroup.set(&settings)).await?;
        }
        {
            let mut state = self.shared.state();
            let entry = state.get_mut(id)?;
            change.apply(&mut entry.record.spec);
            let mut policy = entry.machine.policy().clone();
            policy.restart = entry.record.spec.restart.clone();
            entry.machine.set_policy(policy);
            self.shared.db.save_container(&entry.record);
        }
        self.shared.tell(id, "update", &[]);
        self.shared.announce(id, false);
        self.shared.db.flush().await
    }
}
