//! Flags that describe a service.

use std::time::Duration;

use model::{EndpointMode, FailureAction, HostEntry, RestartCondition, Ulimit, UpdateOrder};

use super::values;
use crate::container::flags;

/// What `create` and `update` have in common.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    #[command(flatten)]
    pub wait: super::WaitFlags,
    /// vip or dnsrr
    #[arg(long, value_name = "MODE", value_parser = endpoint_mode)]
    pub endpoint_mode: Option<EndpointMode>,
    /// Replace the image's entrypoint: a command
    #[arg(long, value_name = "COMMAND", value_parser = values::words)]
    pub entrypoint: Option<Words>,
    /// Health check: a shell command
    #[arg(long, value_name = "COMMAND")]
    pub health_cmd: Option<String>,
    /// Time between checks
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub health_interval: Option<Duration>,
    /// Time that a check may take
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub health_timeout: Option<Duration>,
    /// Failures in a row that mean unhealthy
    #[arg(long, value_name = "NUMBER")]
    pub health_retries: Option<u32>,
    /// Time in which failures do not count
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub health_start_period: Option<Duration>,
    /// Time between checks in that time
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub health_start_interval: Option<Duration>,
    /// No health check, not even the image's
    #[arg(long)]
    pub no_healthcheck: bool,
    /// Host name of the containers
    #[arg(long)]
    pub hostname: Option<String>,
    /// Run the command below a first process that hands signals on
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub init: Option<bool>,
    /// CPUs that a container may use
    #[arg(long, value_name = "CPUS", value_parser = flags::nano_cpus)]
    pub limit_cpu: Option<u64>,
    /// Memory that a container may use
    #[arg(long, value_name = "BYTES", value_parser = flags::bytes)]
    pub limit_memory: Option<u64>,
    /// Processes and threads that a container may have; 0: any number
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub limit_pids: Option<i64>,
    /// CPUs that are kept free for a container
    #[arg(long, value_name = "CPUS", value_parser = flags::nano_cpus)]
    pub reserve_cpu: Option<u64>,
    /// Memory that is kept free for a container
    #[arg(long, value_name = "BYTES", value_parser = flags::bytes)]
    pub reserve_memory: Option<u64>,
    /// Where output goes: json-file, local, journald, syslog, none
    #[arg(long, value_name = "DRIVER")]
    pub log_driver: Option<String>,
    /// Option of the logging driver
    #[arg(long, value_name = "KEY=VALUE")]
    pub log_opt: Vec<String>,
    /// Tasks of a job that run at a time
    #[arg(long, value_name = "NUMBER")]
    pub max_concurrent: Option<u32>,
    /// Leave it to each node what it has under the image's name
    #[arg(long)]
    pub no_resolve_image: bool,
    /// Adjust the OOM killer's score
    #[arg(long, value_name = "SCORE", allow_hyphen_values = true)]
    pub oom_score_adj: Option<i32>,
    /// Mount the root file system read-only
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub read_only: Option<bool>,
    /// Number of tasks
    #[arg(long, value_name = "NUMBER")]
    pub replicas: Option<u32>,
    /// Most tasks on one node; 0: any number
    #[arg(long, value_name = "NUMBER")]
    pub replicas_max_per_node: Option<u32>,
    /// When containers are restarted: none, on-failure or any
    #[arg(long, value_name = "CONDITION", value_parser = values::condition)]
    pub restart_condition: Option<RestartCondition>,
    /// Wait before a restart
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub restart_delay: Option<Duration>,
    /// Restarts before giving up; 0: any number
    #[arg(long, value_name = "NUMBER")]
    pub restart_max_attempts: Option<u64>,
    /// A run that lasts so long starts the count of restarts anew
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub restart_window: Option<Duration>,
    #[command(flatten)]
    pub update: UpdateFlags,
    #[command(flatten)]
    pub rollback: RollbackFlags,
    /// Time between the signal that asks a container to end and SIGKILL
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub stop_grace_period: Option<Duration>,
    /// Signal that asks a container to end
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// Give containers a terminal
    #[arg(short, long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub tty: Option<bool>,
    /// User and group, names or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// Working directory in the container
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
}

/// Several words in one value.
pub type Words = Vec<String>;

/// How tasks give way to newer ones.
#[derive(Debug, Clone, clap::Args)]
pub struct UpdateFlags {
    /// Time between updates of tasks
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub update_delay: Option<Duration>,
    /// When an update fails: pause, continue or rollback
    #[arg(long, value_name = "ACTION")]
    pub update_failure_action: Option<FailureAction>,
    /// Share of tasks that may fail, 0 to 1
    #[arg(long, value_name = "RATIO", value_parser = values::ratio)]
    pub update_max_failure_ratio: Option<u32>,
    /// How long updated tasks are watched
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub update_monitor: Option<Duration>,
    /// start-first or stop-first
    #[arg(long, value_name = "ORDER")]
    pub update_order: Option<UpdateOrder>,
    /// Tasks that are updated at a time; 0: all
    #[arg(long, value_name = "NUMBER")]
    pub update_parallelism: Option<u32>,
}

/// The same, on the way back.
#[derive(Debug, Clone, clap::Args)]
pub struct RollbackFlags {
    /// Time between rollbacks of tasks
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub rollback_delay: Option<Duration>,
    /// When a rollback fails: pause or continue
    #[arg(long, value_name = "ACTION", value_parser = rollback_action)]
    pub rollback_failure_action: Option<FailureAction>,
    /// Share of tasks that may fail, 0 to 1
    #[arg(long, value_name = "RATIO", value_parser = values::ratio)]
    pub rollback_max_failure_ratio: Option<u32>,
    /// How long tasks are watched
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub rollback_monitor: Option<Duration>,
    /// start-first or stop-first
    #[arg(long, value_name = "ORDER")]
    pub rollback_order: Option<UpdateOrder>,
    /// Tasks that are rolled back at a time; 0: all
    #[arg(long, value_name = "NUMBER")]
    pub rollback_parallelism: Option<u32>,
}

/// Arguments of `orca service create`.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    #[command(flatten)]
    pub common: Common,
    /// Add a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_drop: Vec<String>,
    /// A config as a file: NAME, or source=NAME,target=PATH,uid=,gid=,mode=
    #[arg(long, value_name = "CONFIG", value_parser = values::config)]
    pub config: Vec<model::ConfigFile>,
    /// What must hold of a node: node.role==worker
    #[arg(long, value_name = "CONSTRAINT")]
    pub constraint: Vec<model::Constraint>,
    /// Label of the containers
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = flags::label)]
    pub container_label: Vec<String>,
    /// Name server
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<std::net::IpAddr>,
    /// resolv.conf option
    #[arg(long, value_name = "OPTION")]
    pub dns_option: Vec<String>,
    /// Search domain
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// Variable: KEY=VALUE, or KEY with the value here
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<std::path::PathBuf>,
    /// What a node must have left of a kind: KIND=COUNT
    #[arg(long, value_name = "KIND=COUNT", value_parser = values::generic)]
    pub generic_resource: Vec<(String, u64)>,
    /// Supplementary groups
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// Entry for /etc/hosts
    #[arg(long, value_name = "HOST:ADDRESS", value_parser = flags::extra_host)]
    pub host: Vec<HostEntry>,
    /// Label of the service
    #[arg(short, long, value_name = "KEY[=VALUE]", value_parser = flags::label)]
    pub label: Vec<String>,
    /// replicated, global, replicated-job or global-job
    #[arg(long, default_value = "replicated")]
    pub mode: String,
    /// A mount: type=volume,source=NAME,target=PATH
    #[arg(long, value_name = "MOUNT")]
    pub mount: Vec<String>,
    /// Name
    #[arg(long)]
    pub name: Option<String>,
    /// Network: NAME, or name=NAME,alias=ALIAS
    #[arg(long, value_name = "NETWORK", value_parser = values::network)]
    pub network: Vec<model::AttachmentSpec>,
    /// Spread tasks: spread=node.labels.KEY
    #[arg(long, value_name = "PREFERENCE", value_parser = values::preference)]
    pub placement_pref: Vec<model::Attribute>,
    /// Publish a port: PUBLISHED:TARGET[/PROTOCOL], or published=,target=,protocol=,mode=
    #[arg(short, long, value_name = "PORT")]
    pub publish: Vec<String>,
    /// A secret as a file: NAME, or source=NAME,target=PATH,uid=,gid=,mode=
    #[arg(long, value_name = "SECRET", value_parser = values::secret)]
    pub secret: Vec<model::SecretFile>,
    /// Kernel parameter of the containers' namespaces
    #[arg(long, value_name = "KEY=VALUE")]
    pub sysctl: Vec<String>,
    /// Resource limit: NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT", value_parser = flags::ulimit)]
    pub ulimit: Vec<(String, Ulimit)>,
    /// Image, then the command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "IMAGE")]
    pub image_and_command: Vec<String>,
}

fn endpoint_mode(value: &str) -> Result<EndpointMode, String> {
    match value {
        "vip" => Ok(EndpointMode::Vip),
        "dnsrr" => Ok(EndpointMode::Dnsrr),
        _ => Err("expected vip or dnsrr".into()),
    }
}

fn rollback_action(value: &str) -> Result<FailureAction, String> {
    match value.parse() {
        Ok(action @ (FailureAction::Pause | FailureAction::Continue)) => Ok(action),
        _ => Err("expected pause or continue".into()),
    }
}
