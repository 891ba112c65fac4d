//! Services and stacks: what users declare.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ContainerSpec, NetworkMode, NetworkSpec, Placement, PortSpec, SecretData, UpdateConfig};

/// A service as the user declares it. Orca never edits it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    /// Unique in the cluster: `STACK_SERVICE`, or for a Compose project `PROJECT-SERVICE`.
    pub name: String,
    /// Labels of the service (`deploy.labels`).
    pub labels: BTreeMap<String, String>,
    /// The stack or project it belongs to, and its key there.
    pub stack: Option<StackMember>,
    /// How many tasks.
    pub mode: ServiceMode,
    /// What each task runs.
    pub container: ContainerSpec,
    /// A name for the container instead of the generated one; only with a single replica.
    pub container_name: Option<String>,
    /// What generated names of containers begin with, up to the slot, instead of the service's name and a dash.
    pub container_prefix: Option<String>,
    /// How tasks are connected.
    pub network: NetworkMode,
    /// Published ports.
    pub ports: Vec<PortSpec>,
    /// Whether the service name means a virtual address or all task addresses.
    pub endpoint_mode: EndpointMode,
    /// What must be so before tasks start, by service key in the same stack.
    pub depends_on: BTreeMap<String, Dependency>,
    /// Where tasks may run.
    pub placement: Placement,
    /// The key of the service whose `pre_start` this is a step of: it runs to its end once for it, before its containers
    /// start, and goes with it.
    pub step_of: Option<String>,
    /// How tasks give way to those of a newer spec; `None`: all at once, each container after the one before it is gone, as
    /// Compose does.
    pub update: Option<UpdateConfig>,
    /// The same, on the way back.
    pub rollback: Option<UpdateConfig>,
    /// Counts the times that tasks were asked to be made anew though nothing else has changed.
    pub force_update: u64,
}

impl ServiceSpec {
    /// The name of this slot's container.
    pub fn container_name_of(&self, slot: u32) -> String {
        match (&self.container_name, &self.container_prefix) {
            (Some(name), _) => name.clone(),
            (None, Some(prefix)) => format!("{prefix}{slot}"),
            (None, None) => format!("{}-{slot}", self.name),
        }
    }

    /// Whether containers made from `after` would differ from those made from this, or run elsewhere.
    pub fn is_made_anew_by(&self, after: &Self) -> bool {
        self.container != after.container
            || self.network != after.network
            || self.container_name != after.container_name
            || self.placement.node != after.placement.node
            || self.force_update != after.force_update
    }

    /// Whether its tasks give way one after the other and leave a history, as Swarm's do.
    pub fn rolls(&self) -> bool {
        self.update.is_some()
    }

    /// The name that other services of the stack use for it: the key in the stack, else the full name.
    pub fn key(&self) -> &str {
        self.stack.as_ref().map_or(&self.name, |member| &member.key)
    }

    /// The key of the service that the user declared: of a step, that of the service that it is a step of.
    pub fn owner(&self) -> &str {
        self.step_of.as_deref().unwrap_or_else(|| self.key())
    }
}

/// Membership in a stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StackMember {
    /// Name of the stack or project.
    pub stack: String,
    /// The key under `services:`.
    pub key: String,
}

/// How many tasks, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceMode {
    /// So many, kept running.
    Replicated {
        /// Number of slots.
        replicas: u32,
    },
    /// One on every node that fits, kept running.
    Global,
    /// So many, each run until it succeeds.
    ReplicatedJob {
        /// How many at a time.
        max_concurrent: u32,
        /// How many in all.
        total_completions: u32,
    },
    /// One on every node that fits, each run until it succeeds.
    GlobalJob,
}

impl ServiceMode {
    /// Whether its tasks end when their work is done.
    pub fn is_job(self) -> bool {
        matches!(self, Self::ReplicatedJob { .. } | Self::GlobalJob)
    }

    /// Whether every node that fits has a task.
    pub fn is_global(self) -> bool {
        matches!(self, Self::Global | Self::GlobalJob)
    }

    /// How many slots there are; `None` where nodes take their place.
    pub fn slots(self) -> Option<u32> {
        match self {
            Self::Replicated { replicas } => Some(replicas),
            Self::ReplicatedJob { total_completions, .. } => Some(total_completions),
            Self::Global | Self::GlobalJob => None,
        }
    }

    /// Docker's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Replicated { .. } => "replicated",
            Self::Global => "global",
            Self::ReplicatedJob { .. } => "replicated-job",
            Self::GlobalJob => "global-job",
        }
    }
}

impl Default for ServiceMode {
    fn default() -> Self {
        Self::Replicated { replicas: 1 }
    }
}

/// What a service name resolves to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointMode {
    /// One virtual address, balanced in the kernel.
    #[default]
    Vip,
    /// The addresses of all tasks.
    Dnsrr,
}

/// A condition on another service of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What must have happened there.
    pub condition: DependencyCondition,
    /// Restart this service when Orca recreates or restarts the other.
    pub restart: bool,
    /// `false`: go on with a warning when the other is missing or has failed.
    pub required: bool,
}

/// What a dependency waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyCondition {
    /// Its containers run.
    #[default]
    ServiceStarted,
    /// Its containers pass their health checks.
    ServiceHealthy,
    /// Its containers have ended with code 0.
    ServiceCompletedSuccessfully,
}

/// A secret as the user gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSpec {
    /// Unique in the cluster.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The stack it belongs to.
    pub stack: Option<String>,
    /// The content.
    pub data: SecretData,
    /// It is a template, filled in for each task (`template_driver: golang`).
    #[serde(default)]
    pub template: bool,
}

/// A config as the user gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSpec {
    /// Unique in the cluster.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The stack it belongs to.
    pub stack: Option<String>,
    /// The content.
    pub data: Vec<u8>,
    /// It is a template, filled in for each task (`template_driver: golang`).
    #[serde(default)]
    pub template: bool,
}

impl SecretSpec {
    /// Most bytes that one holds (Docker's limit).
    pub const LIMIT: usize = 500 * 1024;

    /// Bytes that it holds.
    pub fn size(&self) -> usize {
        self.data.reveal().len()
    }
}

impl ConfigSpec {
    /// Most bytes that one holds (Docker's limit).
    pub const LIMIT: usize = 1000 * 1024;

    /// Bytes that it holds.
    pub fn size(&self) -> usize {
        self.data.len()
    }
}

/// What a Compose file declares, in the words of the model. Only what is enabled is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stack {
    /// The project's name.
    pub name: String,
    /// Services, in an order in which dependencies come first.
    pub services: Vec<ServiceSpec>,
    /// Networks that the services use, but for external ones.
    pub networks: Vec<NetworkSpec>,
    /// Names of networks that must exist already.
    pub external_networks: Vec<String>,
    /// Secrets that the services use.
    pub secrets: Vec<SecretSpec>,
    /// Configs that the services use.
    pub configs: Vec<ConfigSpec>,
}
