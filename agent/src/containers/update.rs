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
    /// The spec with the change. Nothing of the limits may be forgotten here, so they are taken apart.
    fn apply(&self, spec: &mut model::ContainerSpec) {
        let Limits { nano_cpus, cpu_shares, cpuset, memory, memory_swap, pids } = self.limits.clone();
        let limits = &mut spec.resources.limits;
        limits.nano_cpus = nano_cpus.or(limits.nano_cpus);
        limits.cpu_shares = cpu_shares.or(limits.cpu_shares);
        limits.cpuset = cpuset.or(limits.cpuset.take());
        limits.memory = memory.or(limits.memory);
        limits.memory_swap = memory_swap.or(limits.memory_swap);
        limits.pids = pids.or(limits.pids);
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
        let (spec, running) = {
            let state = self.shared.state();
            let entry = state.get(id)?;
            let mut spec = entry.record.spec.clone();
            change.apply(&mut spec);
            let runs = matches!(entry.machine.stage(), Stage::Running { .. });
            (spec, runs.then(|| executor.cgroup(&entry.record)))
        };
        bundle::check(&spec, executor.host())?;
        if let Some(cgroup) = running {
            let resources = bundle::resources(&spec, executor.host())?;
            let settings = cgroup::settings(&resources, cgroup.is_unified());
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
