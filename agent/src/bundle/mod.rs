//! From image, spec and facts to an OCI runtime configuration, with Docker's behaviour where the spec is silent. Pure.
//!
//! - [`capabilities`] and [`seccomp`]: what the process may do · [`environment`]: args, environment, directory
//! - [`logging`]: where output goes
//! - [`devices`]: what is below /dev · [`limits`]: cgroup and process limits · [`filesystem`]: mounts and hidden paths

pub mod capabilities;
mod committed;
mod devices;
mod environment;
mod filesystem;
mod limits;
pub mod logging;
pub mod seccomp;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use image::manifest::RunConfig;
use image::user::ExecUser;
use model::{ContainerId, ContainerSpec, NamespaceMode, SeccompProfile};
use oci_spec::runtime::{
    Capabilities, Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxNamespace, LinuxNamespaceBuilder,
    LinuxNamespaceType, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};

use crate::{Error, Result};

pub use committed::committed;
pub use devices::HostDevice;
pub use environment::{args, environment};
pub use filesystem::MountPoint;

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
    /// Devices of the spec.
    pub devices: &'a [HostDevice],
    /// Its host name.
    pub hostname: &'a str,
    /// Its network namespace; `None`: the host's.
    pub netns: Option<&'a Path>,
    /// Below each hierarchy's root; never empty, or the runtime would take its caller's.
    pub cgroup: &'a Path,
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

/// The limits of a container's cgroup.
///
/// # Errors
/// Naming the key and its value.
pub fn resources(spec: &ContainerSpec, host: &Host) -> Result<oci_spec::runtime::LinuxResources> {
    limits::resources(spec, &[], host)
}

/// Refuses what can be refused before anything is made.
///
/// # Errors
/// Naming the key and its value.
pub fn check(spec: &ContainerSpec, host: &Host) -> Result<()> {
    capabilities::of(spec, &host.capabilities)?;
    limits::process_limits(spec)?;
    limits::resources(spec, &[], host)?;
    check_oom_score(spec, host)?;
    logging::check(&spec.log)?;
    if let Some(signal) = &spec.stop_signal {
        crate::signal::parse(signal)?;
    }
    for mount in &spec.mounts {
        if !mount.target.starts_with('/') {
            let reason = "it must be an absolute path".into();
            return Err(Error::Spec { key: "mount target", value: mount.target.clone(), reason });
        }
    }
    Ok(())
}

fn check_oom_score(spec: &ContainerSpec, host: &Host) -> Result<()> {
    match spec.oom_score_adj {
        Some(wanted) if wanted < host.oom_score_adj && !host.capabilities.contains("SYS_RESOURCE") => {
            Err(Error::OomScore { wanted, current: host.oom_score_adj })
        }
        _ => Ok(()),
    }
}

/// The configuration.
///
/// # Errors
/// What the spec asks for in vain, by key.
pub fn runtime_spec(facts: &Facts<'_>) -> Result<Spec> {
    let root = RootBuilder::default().path(facts.rootfs).readonly(facts.spec.read_only).build()?;
    let mut builder = SpecBuilder::default()
        .version("1.2.0")
        .root(root)
        .hostname(facts.hostname)
        .process(process(facts)?)
        .mounts(filesystem::mounts(facts)?)
        .linux(linux(facts)?);
    if let Some(domain) = &facts.spec.domainname {
        builder = builder.domainname(domain.clone());
    }
    if !facts.spec.annotations.is_empty() {
        let annotations: HashMap<_, _> = facts.spec.annotations.clone().into_iter().collect();
        builder = builder.annotations(annotations);
    }
    Ok(builder.build()?)
}

fn process(facts: &Facts<'_>) -> Result<Process> {
    let spec = facts.spec;
    check_oom_score(spec, facts.host)?;
    let mut groups: Vec<u32> = facts.user.additional_gids.iter().chain(facts.groups).copied().collect();
    groups.sort_unstable();
    groups.dedup();
    let user = UserBuilder::default().uid(facts.user.uid).gid(facts.user.gid).additional_gids(groups).build()?;
    let mut builder = ProcessBuilder::default()
        .terminal(spec.tty)
        .user(user)
        .args(facts.args)
        .env(environment(facts))
        .cwd(environment::working_dir(spec, facts.image))
        .capabilities(process_capabilities(facts)?)
        .rlimits(limits::process_limits(spec)?);
    if let Some(score) = spec.oom_score_adj {
        builder = builder.oom_score_adj(score);
    }
    let mut process = builder.build()?;
    // Some(false) with a seccomp filter is refused by the runtime: absent, or true.
    process.set_no_new_privileges(spec.security.no_new_privileges.then_some(true));
    Ok(process)
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
    let devices = devices::nodes(facts.devices)?;
    let rules = devices::cgroup_rules(spec.privileged, facts.devices)?;
    let (masked, read_only) = filesystem::hidden_paths(spec.privileged);
    let mut builder = LinuxBuilder::default()
        .namespaces(namespaces(facts)?)
        .cgroups_path(PathBuf::from(facts.cgroup))
        .resources(limits::resources(spec, &rules, facts.host)?)
        .devices(devices)
        .masked_paths(masked)
        .readonly_paths(read_only);
    let shared = spec.mounts.iter().any(|mount| filesystem::is_shared(&mount.source));
    if shared {
        builder = builder.rootfs_propagation("rslave");
    }
    if !spec.sysctls.is_empty() {
        let sysctls: HashMap<_, _> = spec.sysctls.clone().into_iter().collect();
        builder = builder.sysctl(sysctls);
    }
    if spec.security.seccomp == SeccompProfile::Default && !spec.privileged {
        let capabilities = capabilities::of(spec, &facts.host.capabilities)?;
        let target = seccomp::Target {
            capabilities: &capabilities,
            architecture: &facts.host.architecture,
            kernel: facts.host.kernel,
        };
        builder = builder.seccomp(seccomp::default_filter(target)?);
    }
    Ok(builder.build()?)
}

fn namespaces(facts: &Facts<'_>) -> Result<Vec<LinuxNamespace>> {
    let own = |kind| LinuxNamespaceBuilder::default().typ(kind).build();
    let mut list = vec![own(LinuxNamespaceType::Mount)?, own(LinuxNamespaceType::Uts)?];
    if facts.spec.pid == NamespaceMode::Private {
        list.push(own(LinuxNamespaceType::Pid)?);
    }
    if facts.spec.ipc == NamespaceMode::Private {
        list.push(own(LinuxNamespaceType::Ipc)?);
    }
    // As Docker: private with v2, the host's with v1, where the container sees no cgroups at all.
    if facts.host.unified_cgroups && !facts.spec.privileged {
        list.push(own(LinuxNamespaceType::Cgroup)?);
    }
    if let Some(path) = facts.netns {
        list.push(LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network).path(path).build()?);
    }
    Ok(list)
}
