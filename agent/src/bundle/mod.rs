//! From image, spec and facts to an OCI runtime configuration, with Docker's behaviour where the spec is silent. Pure.
//!
//! - [`capabilities`] and [`seccomp`]: what the process may do · [`environment`]: args, environment, directory
//! - [`logging`]: where output goes
//! - [`devices`]: what is below /dev · [`cdi`]: devices by their vendors' files · [`limits`], [`block_io`]: cgroup and process limits · [`filesystem`]: mounts and
//!   hidden paths · [`users`]: users that are not the host's · [`selinux`]: labels · [`checks`]: what is refused before anything is made

mod block_io;
pub mod capabilities;
pub mod cdi;
mod checks;
mod committed;
mod devices;
mod environment;
mod filesystem;
mod limits;
pub mod logging;
pub mod seccomp;
pub mod selinux;
#[cfg(test)]
mod tests;
pub mod users;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use image::manifest::RunConfig;
use image::user::ExecUser;
use model::shim::IdMap;
use model::{CgroupnsMode, ContainerId, ContainerSpec, IpcMode, NamespaceMode, PidMode, SeccompProfile};
use oci_spec::runtime::{
    Capabilities, Capability, Hook, HookBuilder, Hooks, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxNamespace,
    LinuxNamespaceBuilder, LinuxNamespaceType, LinuxSeccomp, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder,
    UserBuilder,
};

use crate::{Error, Result};

pub use block_io::{DeviceNumbers, devices as limited_devices};
pub use checks::{check, ipc_donor, may_join_ipc, pid_donor};
pub use committed::committed;
pub use devices::HostDevice;
pub use environment::{args, environment};
pub use filesystem::MountPoint;
pub use limits::parse_set;

/// The name of the runtime that is part of Orca.
pub const BUILT_IN_RUNTIME: &str = "orca";

/// The AppArmor profile of containers that name none: Docker's, by its name, so that what administrators and scanners know of
/// it holds, and that a dockerd beside Orca has the same.
pub const DEFAULT_PROFILE: &str = "docker-default";
/// What AppArmor calls having no profile.
pub const UNCONFINED: &str = "unconfined";

/// What this node is like, as far as containers must heed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Only cgroup v2 is mounted.
    pub unified_cgroups: bool,
    /// Swap can be limited.
    pub swap_accounting: bool,
    /// `x86_64` or `aarch64`.
    pub architecture: String,
    /// Major and minor version.
    pub kernel: (u32, u32),
    /// What this daemon has to give.
    pub capabilities: BTreeSet<&'static str>,
    /// The daemon's own `oom_score_adj`.
    pub oom_score_adj: i32,
    /// Host name.
    pub hostname: String,
    /// The cgroup controllers that it has, by their names there.
    pub controllers: BTreeSet<String>,
    /// v1: where the hierarchy of each controller, or of several together, is mounted, by its name there; v2: none.
    pub cgroup_hierarchies: BTreeMap<String, PathBuf>,
    /// Real-time CPU time can be limited.
    pub realtime_cpu: bool,
    /// The cgroup file that takes the weight of block devices, if the kernel has one.
    pub io_weight: Option<String>,
    /// CPUs that are online.
    pub cpus: BTreeSet<u32>,
    /// Memory nodes that are online.
    pub memory_nodes: BTreeSet<u32>,
    /// AppArmor is active.
    pub apparmor: bool,
    /// It has the profile of containers that name none.
    pub default_profile: bool,
    /// SELinux is active.
    pub selinux: bool,
    /// Names of the runtimes beside the built-in one.
    pub runtimes: BTreeSet<String>,
    /// Where device specifications are.
    pub cdi: Vec<PathBuf>,
    /// The ids that containers have instead of the host's.
    pub users: Option<IdMap>,
    /// Binds show their owners as if the container's ids were the host's.
    pub idmapped_binds: bool,
}

/// The first processes of containers whose namespaces are shared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peers {
    /// Of the container whose pid namespace it is.
    pub pid: Option<Peer>,
    /// Of the container whose IPC namespace and /dev/shm it is.
    pub ipc: Option<Peer>,
}

/// The first process of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// As the host numbers it.
    pub process: u32,
    /// Whose it is.
    pub container: ContainerId,
}

/// Everything that a configuration is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Which container.
    pub id: ContainerId,
    /// What the user wants.
    pub spec: &'a ContainerSpec,
    /// What the image says.
    pub image: &'a RunConfig,
    /// Entrypoint and command.
    pub args: &'a [String],
    /// As whom it runs.
    pub user: &'a ExecUser,
    /// Supplementary groups beside the user's own.
    pub groups: &'a [u32],
    /// Where its root file system will be.
    pub rootfs: &'a Path,
    /// Volumes, binds, tmpfs, files.
    pub mounts: &'a [MountPoint],
    /// Devices of the spec; with privilege, all of the host.
    pub devices: &'a [HostDevice],
    /// Its host name.
    pub hostname: &'a str,
    /// The numbers of block devices that have limits, by path.
    pub block_devices: &'a DeviceNumbers,
    /// Whose namespaces it shares.
    pub peers: Peers,
    /// Where the shim puts the /dev/shm of another container.
    pub shm: &'a Path,
    /// Its network namespace; `None`: the host's.
    pub netns: Option<&'a Path>,
    /// Below each hierarchy's root; never empty, or the runtime would take its caller's.
    pub cgroup: &'a Path,
    /// What comes with its devices beyond nodes, mounts and groups.
    pub edits: &'a cdi::Edits,
    /// Where its user namespace is bound, and its ids; `None`: the host's.
    pub users: Option<(&'a Path, &'a IdMap)>,
    /// The node.
    pub host: &'a Host,
}

/// The host name of a container.
pub fn hostname(id: ContainerId, spec: &ContainerSpec, host_network: bool, host: &Host) -> String {
    match &spec.hostname {
        Some(name) => name.clone(),
        None if host_network => host.hostname.clone(),
        None => id.short(),
    }
}

/// The limits of a container's cgroup as an update sets them. Rates of devices stay as they are.
///
/// # Errors
/// Naming the key and its value.
pub fn resources(spec: &ContainerSpec, host: &Host) -> Result<oci_spec::runtime::LinuxResources> {
    let mut spec = spec.clone();
    let weight = spec.resources.limits.block_io.weight;
    spec.resources.limits.block_io = model::BlockIo { weight, ..model::BlockIo::default() };
    limits::resources(&spec, &[], host, &DeviceNumbers::new())
}

/// The configuration.
///
/// # Errors
/// What the spec asks for in vain, by key.
pub fn runtime_spec(facts: &Facts<'_>) -> Result<Spec> {
    let root = RootBuilder::default().path(facts.rootfs).readonly(facts.spec.read_only).build()?;
    let mut builder = SpecBuilder::default()
        // Debian's crun takes no later one.
        .version("1.0.2")
        .root(root)
        .process(process(facts)?)
        .mounts(filesystem::mounts(facts)?)
        .linux(linux(facts)?);
    // The host's namespace keeps the host's name.
    if facts.spec.uts == NamespaceMode::Private {
        builder = builder.hostname(facts.hostname);
    }
    if let Some(domain) = &facts.spec.domainname {
        builder = builder.domainname(domain.clone());
    }
    if !facts.spec.annotations.is_empty() {
        let annotations: HashMap<_, _> = facts.spec.annotations.clone().into_iter().collect();
        builder = builder.annotations(annotations);
    }
    let mut config = builder.build()?;
    if facts.spec.uts == NamespaceMode::Host {
        // The builder has a name of its own.
        config.set_hostname(None);
    }
    if !facts.edits.hooks.is_empty() {
        config.set_hooks(Some(hooks(&facts.edits.hooks)?));
    }
    Ok(config)
}

/// Programs that make devices ready, by their moments.
fn hooks(hooks: &[cdi::Hook]) -> Result<Hooks> {
    let of = |kind: cdi::HookKind| -> Result<Option<Vec<Hook>>> {
        let own: Vec<&cdi::Hook> = hooks.iter().filter(|hook| hook.kind == kind).collect();
        let build = |hook: &&cdi::Hook| {
            let mut builder = HookBuilder::default().path(&hook.path).args(hook.args.clone()).env(hook.env.clone());
            if let Some(timeout) = hook.timeout {
                builder = builder.timeout(timeout);
            }
            Ok::<_, Error>(builder.build()?)
        };
        (!own.is_empty()).then(|| own.iter().map(build).collect()).transpose()
    };
    let mut built = Hooks::default();
    // Prestart is what createRuntime was called before; its moment is the same.
    #[allow(deprecated)]
    built
        .set_prestart(of(cdi::HookKind::Prestart)?)
        .set_create_runtime(of(cdi::HookKind::CreateRuntime)?)
        .set_create_container(of(cdi::HookKind::CreateContainer)?)
        .set_start_container(of(cdi::HookKind::StartContainer)?)
        .set_poststart(of(cdi::HookKind::Poststart)?);
    Ok(built)
}

fn process(facts: &Facts<'_>) -> Result<Process> {
    let spec = facts.spec;
    checks::oom_score(spec, facts.host)?;
    let mut groups: Vec<u32> = facts.user.additional_gids.iter().chain(facts.groups).copied().collect();
    groups.sort_unstable();
    groups.dedup();
    let user = UserBuilder::default().uid(facts.user.uid).gid(facts.user.gid).additional_gids(groups).build()?;
    let mut builder = ProcessBuilder::default()
        .terminal(spec.tty)
        .user(user)
        .args(facts.args)
        .env(with_edits(environment(facts), &facts.edits.env))
        .cwd(environment::working_dir(spec, facts.image))
        .capabilities(process_capabilities(facts)?)
        .rlimits(limits::process_limits(spec)?);
    if let Some(score) = spec.oom_score_adj {
        builder = builder.oom_score_adj(score);
    }
    if let Some(profile) = apparmor_profile(spec, facts.host) {
        builder = builder.apparmor_profile(profile);
    }
    let mut process = builder.build()?;
    // Some(false) with a seccomp filter is refused by the runtime: absent, or true.
    process.set_no_new_privileges(spec.security.no_new_privileges.then_some(true));
    process.set_selinux_label(labels(spec, facts.id, facts.host).map(|labels| labels.process));
    Ok(process)
}

/// The AppArmor profile of a container: the one that it names, else the default one. With privilege there is none unless it
/// is named.
pub fn apparmor_profile<'a>(spec: &'a ContainerSpec, host: &Host) -> Option<&'a str> {
    match spec.security.apparmor.as_deref() {
        Some(UNCONFINED) => None,
        None => (host.default_profile && !spec.privileged).then_some(DEFAULT_PROFILE),
        named => named,
    }
}

/// The SELinux labels of a container; none if it is not confined, as a privileged one.
pub fn labels(spec: &ContainerSpec, id: ContainerId, host: &Host) -> Option<selinux::Labels> {
    let confined = host.selinux && !spec.privileged;
    confined.then(|| selinux::labels(&spec.security.labels, id)).flatten()
}

/// Devices have the last word on the variables that they need.
fn with_edits(mut env: Vec<String>, edits: &[String]) -> Vec<String> {
    let name = |entry: &str| entry.split_once('=').map_or(entry.len(), |(name, _)| name.len());
    for edit in edits {
        env.retain(|entry| entry[..name(entry)] != edit[..name(edit)]);
        env.push(edit.clone());
    }
    env
}

/// Bounding, permitted and effective are one set for root; another user has only the bound, as execve(2) would leave it.
/// Nothing is inheritable or ambient.
fn process_capabilities(facts: &Facts<'_>) -> Result<oci_spec::runtime::LinuxCapabilities> {
    let names = capabilities::of(facts.spec, &facts.host.capabilities)?;
    let parse = |name: &&str| name.parse::<Capability>().ok();
    let set: Capabilities = names.iter().filter_map(parse).collect();
    let held = if facts.user.uid == 0 { set.clone() } else { Capabilities::new() };
    Ok(LinuxCapabilitiesBuilder::default()
        .bounding(set)
        .permitted(held.clone())
        .effective(held)
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new())
        .build()?)
}

fn linux(facts: &Facts<'_>) -> Result<oci_spec::runtime::Linux> {
    let spec = facts.spec;
    // In a user namespace no node can be made: they are mounted.
    let devices = if facts.users.is_some() { Vec::new() } else { devices::nodes(facts.devices)? };
    let rules = devices::cgroup_rules(spec, facts.devices)?;
    let visible = spec.privileged || spec.security.systempaths_unconfined;
    let (masked, read_only) = filesystem::hidden_paths(visible);
    let mut builder = LinuxBuilder::default()
        .namespaces(namespaces(facts)?)
        .cgroups_path(PathBuf::from(facts.cgroup))
        .resources(limits::resources(spec, &rules, facts.host, facts.block_devices)?)
        .devices(devices)
        .masked_paths(masked)
        .readonly_paths(read_only);
    let shared = spec.mounts.iter().any(|mount| filesystem::is_shared(&mount.source));
    if shared {
        // The specification's word; it is recursive all the same, which others say as mount(8) does.
        let built_in = matches!(spec.runtime.as_deref(), None | Some(BUILT_IN_RUNTIME));
        builder = builder.rootfs_propagation(if built_in { "slave" } else { "rslave" });
    }
    if !spec.sysctls.is_empty() {
        let sysctls: HashMap<_, _> = spec.sysctls.clone().into_iter().collect();
        builder = builder.sysctl(sysctls);
    }
    if let Some((_, map)) = facts.users {
        builder = builder.uid_mappings(users::mappings(&map.uids)?).gid_mappings(users::mappings(&map.gids)?);
    }
    if let Some(filter) = filter(facts)? {
        builder = builder.seccomp(filter);
    }
    if let Some(labels) = labels(spec, facts.id, facts.host) {
        builder = builder.mount_label(labels.mount);
    }
    Ok(builder.build()?)
}

/// The system call filter. With privilege there is none, unless the user gives one.
fn filter(facts: &Facts<'_>) -> Result<Option<LinuxSeccomp>> {
    let capabilities = capabilities::of(facts.spec, &facts.host.capabilities)?;
    let target = seccomp::Target {
        capabilities: &capabilities,
        architecture: &facts.host.architecture,
        kernel: facts.host.kernel,
    };
    match &facts.spec.security.seccomp {
        SeccompProfile::Unconfined => Ok(None),
        SeccompProfile::Default if facts.spec.privileged => Ok(None),
        SeccompProfile::Default => seccomp::default_filter(target).map(Some),
        SeccompProfile::Custom(profile) => seccomp::filter(profile, target),
    }
}

fn namespaces(facts: &Facts<'_>) -> Result<Vec<LinuxNamespace>> {
    let own = |kind| LinuxNamespaceBuilder::default().typ(kind).build();
    let of = |kind, name, peer: Option<Peer>| {
        let pid = peer.ok_or(Error::NoPeer)?.process;
        Ok::<_, Error>(LinuxNamespaceBuilder::default().typ(kind).path(format!("/proc/{pid}/ns/{name}")).build()?)
    };
    let mut list = vec![own(LinuxNamespaceType::Mount)?];
    if facts.spec.uts == NamespaceMode::Private {
        list.push(own(LinuxNamespaceType::Uts)?);
    }
    match facts.spec.pid {
        PidMode::Private => list.push(own(LinuxNamespaceType::Pid)?),
        PidMode::Host => {}
        PidMode::Container(_) => list.push(of(LinuxNamespaceType::Pid, "pid", facts.peers.pid)?),
    }
    match facts.spec.ipc {
        IpcMode::Private | IpcMode::None | IpcMode::Shareable => list.push(own(LinuxNamespaceType::Ipc)?),
        IpcMode::Host => {}
        IpcMode::Container(_) => list.push(of(LinuxNamespaceType::Ipc, "ipc", facts.peers.ipc)?),
    }
    // As Docker: private with v2, the host's with v1.
    let private = match facts.spec.cgroupns {
        CgroupnsMode::Default => facts.host.unified_cgroups && !facts.spec.privileged,
        CgroupnsMode::Private => true,
        CgroupnsMode::Host => false,
    };
    if private {
        list.push(own(LinuxNamespaceType::Cgroup)?);
    }
    if let Some((path, _)) = facts.users {
        list.push(LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::User).path(path).build()?);
    }
    if let Some(path) = facts.netns {
        list.push(LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network).path(path).build()?);
    }
    Ok(list)
}
