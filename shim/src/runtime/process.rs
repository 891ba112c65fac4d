//! The process that an exec makes.

use std::path::PathBuf;

use model::shim::ExecRequest;
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilitiesBuilder, Process, Spec};

use crate::error::{Result, ShimError};
use crate::rootfs::Rootfs;

/// The container's own process, changed as the request wants, and its home directory.
///
/// # Errors
/// If a user or a capability is not known.
pub fn exec_process(spec: &Spec, request: &ExecRequest, root: &Rootfs) -> Result<(Process, String)> {
    let none = || ShimError::Runtime { action: "exec in", message: "config.json has no process".to_owned() };
    let mut process = spec.process().clone().ok_or_else(none)?;
    let mut env = process.env().clone().unwrap_or_default();
    for entry in &request.env {
        let name = entry.split_once('=').map_or(entry.as_str(), |(name, _)| name);
        env.retain(|old| old.split_once('=').map_or(old.as_str(), |(old, _)| old) != name);
        env.push(entry.clone());
    }
    let own = process.user().clone();
    let wanted = request.user.clone().unwrap_or_else(|| format!("{}:{}", own.uid(), own.gid()));
    let identity = root.identity(&wanted)?;
    let mut gids = match request.user {
        Some(_) => identity.additional_gids,
        None => own.additional_gids().clone().unwrap_or_default(),
    };
    gids.extend(&request.additional_gids);
    let user = process.user_mut();
    user.set_uid(identity.uid).set_gid(identity.gid).set_additional_gids(Some(gids));
    if request.user.is_some() {
        // As Docker does: another user has another home.
        env.retain(|entry| !entry.starts_with("HOME=") || request.env.contains(entry));
    }
    let limits = requested_capabilities(request)?;
    if let Some(set) = limits {
        let mut built = LinuxCapabilitiesBuilder::default()
            .bounding(set.clone())
            .effective(set.clone())
            .permitted(set)
            .build()
            .map_err(|error| ShimError::Runtime { action: "exec in", message: error.to_string() })?;
        built.set_inheritable(None);
        built.set_ambient(None);
        process.set_capabilities(Some(built));
    }
    process.set_args(Some(request.args.clone())).set_env(Some(env)).set_terminal(Some(request.terminal));
    if let Some(cwd) = &request.cwd {
        process.set_cwd(PathBuf::from(cwd));
    }
    if request.no_new_privileges.is_some() {
        process.set_no_new_privileges(request.no_new_privileges.filter(|wanted| *wanted));
    }
    // A process that is not the container's first can't be made less killable than the first without privilege.
    process.set_oom_score_adj(None);
    Ok((process, identity.home.unwrap_or_else(|| "/".to_owned())))
}

fn requested_capabilities(request: &ExecRequest) -> Result<Option<Capabilities>> {
    if request.privileged {
        return Ok(Some(all_capabilities()));
    }
    let Some(names) = &request.capabilities else { return Ok(None) };
    let parse = |name: &String| capability(name).ok_or_else(|| ShimError::Capability(name.clone()));
    names.iter().map(parse).collect::<Result<Capabilities>>().map(Some)
}

/// Names in the order of their numbers. (linux/capability.h)
const CAPABILITIES: &str = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE \
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT \
    SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP \
    MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE";

fn capability(name: &str) -> Option<Capability> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
}

/// Every capability that the shim itself has; more can't be given.
fn all_capabilities() -> Capabilities {
    let own = rustix::thread::capabilities(None).map_or(0, |sets| sets.permitted.bits());
    CAPABILITIES
        .split_ascii_whitespace()
        .enumerate()
        .filter(|(number, _)| own & (1 << number) != 0)
        .filter_map(|(_, name)| capability(&format!("CAP_{name}")))
        .collect()
}
