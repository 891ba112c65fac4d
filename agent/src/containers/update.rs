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
        let Limits {
            nano_cpus,
            cpu_shares,
            cpuset,
            memory,
            memory_swap,
            pids,
            cpu_period,
            cpu_quota,
            cpu_rt_period,
            cpu_rt_runtime,
            cpuset_mems,
            memory_swappiness,
            oom_kill_disable,
            block_io,
        } = self.limits.clone();
        let limits = &mut spec.resources.limits;
        limits.nano_cpus = nano_cpus.or(limits.nano_cpus);
        limits.cpu_shares = cpu_shares.or(limits.cpu_shares);
        limits.cpuset = cpuset.or(limits.cpuset.take());
        limits.memory = memory.or(limits.memory);
        limits.memory_swap = memory_swap.or(limits.memory_swap);
        limits.pids = pids.or(limits.pids);
        limits.cpu_period = cpu_period.or(limits.cpu_period);
        limits.cpu_quota = cpu_quota.or(limits.cpu_quota);
        limits.cpu_rt_period = cpu_rt_period.or(limits.cpu_rt_period);
        limits.cpu_rt_runtime = cpu_rt_runtime.or(limits.cpu_rt_runtime);
        limits.cpuset_mems = cpuset_mems.or(limits.cpuset_mems.take());
        limits.memory_swappiness = memory_swappiness.or(limits.memory_swappiness);
        limits.oom_kill_disable |= oom_kill_disable;
        limits.block_io.weight = block_io.weight.or(limits.block_io.weight);
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
        executor.check(&spec, &network)?;
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
