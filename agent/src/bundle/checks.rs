//! What is refused before anything is made, by key and value. Docker accepts and drops some of it; here nothing is dropped.

use std::collections::BTreeSet;

use model::{ContainerSpec, IpcMode, NamespaceMode, NetworkMode, PidMode, Propagation, SeccompProfile};

use super::{Host, block_io, capabilities, devices, limits, logging, seccomp, users};
use crate::{Error, Result};

/// Options that libcontainer reads and drops.
const NOT_PASSED_ON: [&str; 4] = ["sync", "dirsync", "mand", "lazytime"];

pub(super) fn refused(key: &'static str, value: impl ToString, reason: impl Into<String>) -> Error {
    Error::Spec { key, value: value.to_string(), reason: reason.into() }
}

/// Refuses what can be refused before anything is made.
///
/// # Errors
/// Naming the key and its value.
pub fn check(spec: &ContainerSpec, network: &NetworkMode, host: &Host) -> Result<()> {
    capabilities::of(spec, &host.capabilities)?;
    limits::process_limits(spec)?;
    limits::resources(spec, &[], host, &block_io::unknown_numbers(spec))?;
    oom_score(spec, host)?;
    logging::check(&spec.log)?;
    namespaces(spec)?;
    users::check(spec, network, host)?;
    sysctls(spec, network)?;
    security(spec, host)?;
    for rule in &spec.device_cgroup_rules {
        devices::parse_rule(rule)?;
    }
    if let Some(parent) = &spec.cgroup_parent {
        cgroup_parent(parent)?;
    }
    if let Some(runtime) = &spec.runtime {
        self::runtime(runtime, host)?;
    }
    if let Some(signal) = &spec.stop_signal {
        crate::signal::parse(signal)?;
    }
    for mount in &spec.mounts {
        let inherits = matches!(mount.source, model::MountSource::VolumesOf { .. });
        if !mount.target.starts_with('/') && !inherits {
            return Err(refused("mount target", &mount.target, "it must be an absolute path"));
        }
        if let model::MountSource::Bind { propagation: Propagation::Shared | Propagation::Rshared, path, .. } =
            &mount.source
        {
            let reason = "Orca does not let mounts of containers appear on the node; the other way round, rslave does";
            return Err(refused("mount propagation", format!("shared of {path}"), reason));
        }
        if let model::MountSource::Tmpfs { options, .. } = &mount.source
            && let Some(option) = options.iter().find(|option| NOT_PASSED_ON.contains(&option.as_str()))
            && matches!(spec.runtime.as_deref(), None | Some(super::BUILT_IN_RUNTIME))
        {
            let reason = "the built-in runtime does not set it: use a volume with type=tmpfs, or another runtime";
            return Err(refused("tmpfs option", option, reason));
        }
    }
    Ok(())
}

pub fn oom_score(spec: &ContainerSpec, host: &Host) -> Result<()> {
    match spec.oom_score_adj {
        Some(wanted) if wanted < host.oom_score_adj && !host.capabilities.contains("SYS_RESOURCE") => {
            Err(Error::OomScore { wanted, current: host.oom_score_adj })
        }
        Some(wanted) if !(-1000..=1000).contains(&wanted) => {
            Err(refused("oom_score_adj", wanted, "it is from -1000 to 1000"))
        }
        _ => Ok(()),
    }
}

fn namespaces(spec: &ContainerSpec) -> Result<()> {
    if spec.uts == NamespaceMode::Host {
        for (key, value) in [("hostname", &spec.hostname), ("domainname", &spec.domainname)] {
            if let Some(value) = value {
                return Err(refused(key, value, "with the host's UTS namespace it would be the host's"));
            }
        }
    }
    let own_shm = matches!(spec.ipc, IpcMode::Private | IpcMode::Shareable);
    match spec.shm_size {
        Some(size) if !own_shm => {
            Err(refused("shm_size", size, format!("with ipc {} the container has no /dev/shm of its own", spec.ipc)))
        }
        _ => Ok(()),
    }
}

/// The parameters that belong to a namespace; the others would be the host's. (kernel.domainname of uts is not among them:
/// there is a key for it.)
const IPC_PARAMETERS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

fn sysctls(spec: &ContainerSpec, network: &NetworkMode) -> Result<()> {
    for name in spec.sysctls.keys() {
        let dotted = name.replace('/', ".");
        let is_ipc = IPC_PARAMETERS.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.");
        let is_net = dotted.starts_with("net.");
        if is_ipc && !matches!(spec.ipc, IpcMode::Private | IpcMode::None | IpcMode::Shareable) {
            return Err(refused("sysctl", name, format!("with ipc {} it would be another's", spec.ipc)));
        }
        if is_net && *network == NetworkMode::Host {
            return Err(refused("sysctl", name, "with the host's network it would be the host's"));
        }
        if dotted == "kernel.domainname" {
            return Err(refused("sysctl", name, "use domainname"));
        }
        if !is_ipc && !is_net {
            return Err(refused("sysctl", name, "it is not in a namespace: the whole host would have it"));
        }
    }
    Ok(())
}

fn security(spec: &ContainerSpec, host: &Host) -> Result<()> {
    let security = &spec.security;
    if let Some(profile) = &security.apparmor
        && profile != super::UNCONFINED
        && !host.apparmor
    {
        return Err(refused("apparmor profile", profile, "AppArmor is not active on this node"));
    }
    for label in security.labels.iter().filter(|label| *label != "disable") {
        if !host.selinux {
            return Err(refused("label", label, "SELinux is not active on this node"));
        }
        // It becomes part of a mount's options.
        if let Some(odd) = label.chars().find(|c| !c.is_ascii_alphanumeric() && !":._,-".contains(*c)) {
            return Err(refused("label", label, format!("{odd:?} is in no label")));
        }
        if spec.privileged {
            let reason = "a privileged container is not confined by SELinux: leave one of both out";
            return Err(refused("label", label, reason));
        }
    }
    if let SeccompProfile::Custom(profile) = &security.seccomp {
        let capabilities = capabilities::of(spec, &host.capabilities)?;
        let target =
            seccomp::Target { capabilities: &capabilities, architecture: &host.architecture, kernel: host.kernel };
        seccomp::filter(profile, target)?;
    }
    Ok(())
}

/// Without `..`, and neither empty nor a hierarchy's root.
fn cgroup_parent(parent: &str) -> Result<()> {
    let mut parts = parent.split('/').filter(|part| !part.is_empty()).peekable();
    if parts.peek().is_none() || parts.any(|part| matches!(part, "." | "..")) {
        return Err(refused("cgroup_parent", parent, "it must name a cgroup, without .. and not a hierarchy's root"));
    }
    Ok(())
}

fn runtime(name: &str, host: &Host) -> Result<()> {
    if name == super::BUILT_IN_RUNTIME || host.runtimes.contains(name) {
        return Ok(());
    }
    let known: BTreeSet<&str> = host.runtimes.iter().map(String::as_str).chain([super::BUILT_IN_RUNTIME]).collect();
    let known: Vec<&str> = known.into_iter().collect();
    let reason = format!("the node has {}; orca daemon --add-runtime NAME=PATH makes others known", known.join(", "));
    Err(refused("runtime", name, reason))
}

/// Whether `spec` may join the IPC namespace of a container with `donor`'s.
pub fn may_join_ipc(name: &str, donor: &IpcMode) -> Result<()> {
    match donor {
        IpcMode::Shareable | IpcMode::Host => Ok(()),
        _ => Err(refused(
            "ipc",
            format!("container:{name}"),
            "that container keeps its own: run it with --ipc shareable",
        )),
    }
}

/// The name of the container that `mode` shares the pid namespace of.
pub fn pid_donor(mode: &PidMode) -> Option<&str> {
    match mode {
        PidMode::Container(name) => Some(name),
        PidMode::Private | PidMode::Host => None,
    }
}

/// The name of the container that `mode` shares the IPC namespace of.
pub fn ipc_donor(mode: &IpcMode) -> Option<&str> {
    match mode {
        IpcMode::Container(name) => Some(name),
        IpcMode::Private | IpcMode::None | IpcMode::Shareable | IpcMode::Host => None,
    }
}
