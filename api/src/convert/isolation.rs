//! Namespaces and security options. What the first version of the wire could not say stands beside it as Docker's text.

use model::{IpcMode, NamespaceMode, PidMode};

use super::{WireEnum, text};
use crate::{Error, types};

/// What the first version's field says.
pub fn old_pid(mode: &PidMode) -> NamespaceMode {
    if *mode == PidMode::Host { NamespaceMode::Host } else { NamespaceMode::Private }
}

/// What the first version's field says.
pub fn old_ipc(mode: &IpcMode) -> NamespaceMode {
    if *mode == IpcMode::Host { NamespaceMode::Host } else { NamespaceMode::Private }
}

/// What it cannot say.
pub fn pid_text(mode: &PidMode) -> String {
    match mode {
        PidMode::Private | PidMode::Host => String::new(),
        PidMode::Container(_) => mode.to_string(),
    }
}

/// What it cannot say.
pub fn ipc_text(mode: &IpcMode) -> String {
    match mode {
        IpcMode::Private | IpcMode::Host => String::new(),
        IpcMode::None | IpcMode::Shareable | IpcMode::Container(_) => mode.to_string(),
    }
}

/// Both fields together.
pub fn pid(old: i32, mode: String) -> Result<PidMode, Error> {
    match (NamespaceMode::from_number("container.pid", old)?, mode.as_str()) {
        (NamespaceMode::Host, "") => Ok(PidMode::Host),
        (NamespaceMode::Private, "") => Ok(PidMode::Private),
        _ => text("container.pid_mode", mode),
    }
}

/// Both fields together.
pub fn ipc(old: i32, mode: String) -> Result<IpcMode, Error> {
    match (NamespaceMode::from_number("container.ipc", old)?, mode.as_str()) {
        (NamespaceMode::Host, "") => Ok(IpcMode::Host),
        (NamespaceMode::Private, "") => Ok(IpcMode::Private),
        _ => text("container.ipc_mode", mode),
    }
}

impl From<model::SecurityOptions> for types::SecurityOptions {
    fn from(security: model::SecurityOptions) -> Self {
        let model::SecurityOptions { seccomp, no_new_privileges, apparmor, labels, systempaths_unconfined } = security;
        let (seccomp, seccomp_profile) = match seccomp {
            model::SeccompProfile::Default => (types::SeccompProfile::Default, None),
            model::SeccompProfile::Unconfined => (types::SeccompProfile::Unconfined, None),
            model::SeccompProfile::Custom(profile) => (types::SeccompProfile::Default, Some(profile)),
        };
        Self { seccomp: seccomp.into(), no_new_privileges, seccomp_profile, apparmor, labels, systempaths_unconfined }
    }
}

impl TryFrom<types::SecurityOptions> for model::SecurityOptions {
    type Error = Error;

    fn try_from(security: types::SecurityOptions) -> Result<Self, Error> {
        let types::SecurityOptions {
            seccomp,
            no_new_privileges,
            seccomp_profile,
            apparmor,
            labels,
            systempaths_unconfined,
        } = security;
        let known =
            types::SeccompProfile::try_from(seccomp).map_err(|_| Error::invalid("security.seccomp", seccomp))?;
        let seccomp = match (known, seccomp_profile) {
            (_, Some(profile)) => model::SeccompProfile::Custom(profile),
            (types::SeccompProfile::Default, None) => model::SeccompProfile::Default,
            (types::SeccompProfile::Unconfined, None) => model::SeccompProfile::Unconfined,
        };
        Ok(Self { seccomp, no_new_privileges, apparmor, labels, systempaths_unconfined })
    }
}
