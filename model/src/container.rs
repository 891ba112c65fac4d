//! What a container is made from: the part of a spec that an agent carries out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    CgroupnsMode, ConfigId, Device, DeviceRequest, Healthcheck, IpcMode, LogConfig, Mount, NamespaceMode, PidMode,
    Resources, RestartPolicy, SecretId, SecurityOptions,
};

/// How to make and run one container. `None` and empty mean "as the image says" or Docker's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// Image reference as the user wrote it.
    pub image: String,
    /// Replaces the image's entrypoint (and drops the image's command); empty list: cleared.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command; empty list: cleared.
    pub command: Option<Vec<String>>,
    /// Added over the image's environment.
    pub env: BTreeMap<String, String>,
    /// Working directory inside the container.
    pub working_dir: Option<String>,
    /// `USER[:GROUP]`, names or numbers.
    pub user: Option<String>,
    /// Supplementary groups, names or numbers.
    pub group_add: Vec<String>,
    /// Host name; by default the short container id.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// Labels of the container.
    pub labels: BTreeMap<String, String>,
    /// OCI annotations.
    pub annotations: BTreeMap<String, String>,
    /// Allocate a pseudo-terminal.
    pub tty: bool,
    /// Keep standard input open.
    pub open_stdin: bool,
    /// Signal that asks the container to end, such as `SIGTERM`; by default the image's, else SIGTERM.
    pub stop_signal: Option<String>,
    /// Time between that signal and SIGKILL; Docker's default is 10 s.
    pub stop_grace_period: Option<Duration>,
    /// Mount the root file system read-only.
    pub read_only: bool,
    /// All capabilities, devices and no confinement.
    pub privileged: bool,
    /// Capabilities beyond Docker's default fourteen, `ALL` for every one.
    pub cap_add: Vec<String>,
    /// Capabilities taken away, `ALL` for every one.
    pub cap_drop: Vec<String>,
    /// System call filter, mandatory access control, privileges.
    pub security: SecurityOptions,
    /// Volumes, binds and tmpfs.
    pub mounts: Vec<Mount>,
    /// Secrets as files, `/run/secrets/NAME` by default.
    pub secrets: Vec<SecretFile>,
    /// Configs as files, `/NAME` by default.
    pub configs: Vec<ConfigFile>,
    /// Health check; `None`: the image's.
    pub healthcheck: Option<Healthcheck>,
    /// Entries for `/etc/hosts`.
    pub extra_hosts: Vec<HostEntry>,
    /// Name servers that unknown names are forwarded to; empty: the host's.
    pub dns: Vec<IpAddr>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// resolv.conf(5) options.
    pub dns_options: Vec<String>,
    /// Namespaced kernel parameters.
    pub sysctls: BTreeMap<String, String>,
    /// Resource limits of the process, by name without `RLIMIT_`, lower case.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Size of /dev/shm in bytes; Docker's default is 64 MiB.
    pub shm_size: Option<u64>,
    /// Host devices made available.
    pub devices: Vec<Device>,
    /// Devices that the node chooses and prepares.
    pub device_requests: Vec<DeviceRequest>,
    /// Limits and reservations.
    pub resources: Resources,
    /// What may be done with which devices beyond these, such as `c 189:* rwm`.
    pub device_cgroup_rules: Vec<String>,
    /// Whose pid namespace.
    pub pid: PidMode,
    /// Whose IPC namespace.
    pub ipc: IpcMode,
    /// Whose UTS namespace (host name).
    pub uts: NamespaceMode,
    /// Whose user namespace; private: as the node maps users.
    pub userns: NamespaceMode,
    /// Whose cgroup namespace.
    pub cgroupns: CgroupnsMode,
    /// The cgroup that the container's is made in; one without a leading slash is below the node's own.
    pub cgroup_parent: Option<String>,
    /// Name of the runtime that makes it; `None`: the node's own.
    pub runtime: Option<String>,
    /// Adjustment of the OOM killer's score, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// What happens when the process ends.
    pub restart: RestartPolicy,
    /// Where output goes.
    pub log: LogConfig,
    /// Ports that it says it has, besides the image's: `PORT/PROTOCOL`.
    pub exposed: Vec<String>,
    /// Run the command below a first process that hands signals on and takes leave of orphans.
    pub init: bool,
    /// Commands that run in it once its process has begun, in this order; it counts as started when all have passed.
    pub post_start: Vec<Hook>,
    /// Commands that run in it before its stop signal, in this order.
    pub pre_stop: Vec<Hook>,
}

/// A command that runs in a container beside its own at a turn of its life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// `USER[:GROUP]`; by default the container's.
    pub user: Option<String>,
    /// With all capabilities.
    pub privileged: bool,
    /// By default the container's.
    pub working_dir: Option<String>,
    /// Added over the container's environment.
    pub env: BTreeMap<String, String>,
}

/// A line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// The name.
    pub host: String,
    /// An address, or `host-gateway` for the node as containers reach it.
    pub address: HostAddress,
}

/// Where an extra host name leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostAddress {
    /// This address.
    Ip(IpAddr),
    /// The node itself.
    HostGateway,
}

/// A resource limit of a process (getrlimit(2)); -1 is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// In force.
    pub soft: i64,
    /// How far the process may raise it.
    pub hard: i64,
}

/// A secret placed as a file in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretFile {
    /// Name in the store (with the project's prefix).
    pub secret: String,
    /// Resolved by the manager when the service is declared.
    pub id: Option<SecretId>,
    /// The content is a template; resolved with it.
    #[serde(default)]
    pub template: bool,
    /// Where and how.
    pub file: FileTarget,
}

/// A config placed as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFile {
    /// Name in the store (with the project's prefix).
    pub config: String,
    /// Resolved by the manager when the service is declared.
    pub id: Option<ConfigId>,
    /// The content is a template; resolved with it.
    #[serde(default)]
    pub template: bool,
    /// Where and how.
    pub file: FileTarget,
}

/// Place, owner and mode of a file that Orca puts into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTarget {
    /// Absolute path in the container.
    pub path: String,
    /// Owner: a number, or a name in the image's /etc/passwd.
    pub uid: String,
    /// Group: a number, or a name in the image's /etc/group.
    pub gid: String,
    /// Permission bits.
    pub mode: u32,
}
