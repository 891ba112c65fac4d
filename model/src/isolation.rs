//! Whose namespaces a container has, and which confinement beside capabilities.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A namespace of its own, or the host's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceMode {
    /// The container's own.
    #[default]
    Private,
    /// The host's.
    Host,
}

/// Whose pid namespace. (`docker run --pid`)
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PidMode {
    /// The container's own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// That of another container on the node, by name or id.
    Container(String),
}

/// Whose IPC namespace and /dev/shm. (`docker run --ipc`)
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpcMode {
    /// The container's own, which no other may join.
    #[default]
    Private,
    /// The container's own, without /dev/shm.
    None,
    /// The container's own, which others may join.
    Shareable,
    /// The host's.
    Host,
    /// That of another container on the node, by name or id.
    Container(String),
}

/// Whose cgroup namespace. (`docker run --cgroupns`)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupnsMode {
    /// Private on cgroup v2, the host's on v1.
    #[default]
    Default,
    /// The container's own.
    Private,
    /// The host's.
    Host,
}

/// What a privileged container sees and others don't.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// What only a privileged container may write to.
pub const READ_ONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Confinement beside capabilities. (`docker run --security-opt`)
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecurityOptions {
    /// System call filter.
    pub seccomp: SeccompProfile,
    /// Set `no_new_privs` (prctl(2), PR_SET_NO_NEW_PRIVS).
    pub no_new_privileges: bool,
    /// AppArmor profile, loaded in the node's kernel; `unconfined` for none.
    pub apparmor: Option<String>,
    /// SELinux: `disable`, or `user:`, `role:`, `type:`, `filetype:`, `level:` and a value.
    pub labels: Vec<String>,
    /// Neither mask nor protect paths below /proc and /sys.
    pub systempaths_unconfined: bool,
}

/// Which system call filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeccompProfile {
    /// Docker's default profile.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// This one: JSON in Docker's format.
    Custom(String),
}

/// A mode that there is none of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownMode {
    /// What may be said.
    pub expected: &'static str,
}

impl fmt::Display for UnknownMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

impl std::error::Error for UnknownMode {}

/// The container that `container:NAME` names.
fn container(text: &str) -> Option<String> {
    text.strip_prefix("container:").filter(|name| !name.is_empty()).map(str::to_owned)
}

impl FromStr for NamespaceMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "" | "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => Err(UnknownMode { expected: "host" }),
        }
    }
}

impl FromStr for PidMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "" | "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => container(text).map(Self::Container).ok_or(UnknownMode { expected: "host or container:NAME" }),
        }
    }
}

impl FromStr for IpcMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "" | "private" => Ok(Self::Private),
            "none" => Ok(Self::None),
            "shareable" => Ok(Self::Shareable),
            "host" => Ok(Self::Host),
            _ => container(text)
                .map(Self::Container)
                .ok_or(UnknownMode { expected: "none, private, shareable, host or container:NAME" }),
        }
    }
}

impl FromStr for CgroupnsMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "" => Ok(Self::Default),
            "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => Err(UnknownMode { expected: "private or host" }),
        }
    }
}

/// As Docker's inspect shows it.
impl fmt::Display for NamespaceMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "",
            Self::Host => "host",
        })
    }
}

/// As Docker's inspect shows it.
impl fmt::Display for PidMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => Ok(()),
            Self::Host => f.write_str("host"),
            Self::Container(name) => write!(f, "container:{name}"),
        }
    }
}

/// As Docker's inspect shows it.
impl fmt::Display for IpcMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => f.write_str("private"),
            Self::None => f.write_str("none"),
            Self::Shareable => f.write_str("shareable"),
            Self::Host => f.write_str("host"),
            Self::Container(name) => write!(f, "container:{name}"),
        }
    }
}

/// As Docker's inspect shows it.
impl fmt::Display for CgroupnsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "",
            Self::Private => "private",
            Self::Host => "host",
        })
    }
}

impl SecurityOptions {
    /// Adds one `--security-opt` in Docker's words; `read` finds the seccomp profile of a path.
    ///
    /// # Errors
    /// Why not: the option is unknown, its value makes no sense, or `read` says so.
    pub fn add(&mut self, option: &str, read: impl FnOnce(&str) -> Result<String, String>) -> Result<(), String> {
        match option.split_once(['=', ':']).unwrap_or((option, "")) {
            ("no-new-privileges", "" | "true") => self.no_new_privileges = true,
            ("no-new-privileges", "false") => self.no_new_privileges = false,
            ("seccomp", "unconfined") => self.seccomp = SeccompProfile::Unconfined,
            ("seccomp", "builtin" | "default") => self.seccomp = SeccompProfile::Default,
            ("seccomp", "") => return Err("name a profile file, builtin or unconfined".into()),
            ("seccomp", path) => self.seccomp = SeccompProfile::Custom(read(path)?),
            ("systempaths", "unconfined") => self.systempaths_unconfined = true,
            ("apparmor", profile) if !profile.is_empty() => self.apparmor = Some(profile.to_owned()),
            ("label", value) if value == "disable" => self.labels.push(value.to_owned()),
            ("label", value) => match value.split_once(':') {
                Some(("user" | "role" | "type" | "filetype" | "level", part)) if !part.is_empty() => {
                    self.labels.push(value.to_owned())
                }
                _ => {
                    let reason =
                        "expected label=disable, or label=user:, role:, type:, filetype: or level: and a value";
                    return Err(reason.into());
                }
            },
            ("credentialspec", _) => return Err("credential specs are Windows'".into()),
            ("writable-cgroups", _) => return Err("cgroups are read-only in containers, unless privileged".into()),
            _ => {
                return Err("expected apparmor=PROFILE, label=…, no-new-privileges, seccomp=PROFILE or \
                    systempaths=unconfined"
                    .into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_and_shown_in_dockers_words() {
        for text in ["", "host", "container:web"] {
            assert_eq!(text.parse::<PidMode>().unwrap().to_string(), text);
        }
        for text in ["private", "none", "shareable", "host", "container:web"] {
            assert_eq!(text.parse::<IpcMode>().unwrap().to_string(), text);
        }
        assert_eq!("private".parse(), Ok(CgroupnsMode::Private));
        assert!("container:".parse::<PidMode>().is_err() && "none".parse::<PidMode>().is_err());
        assert!("container:x".parse::<NamespaceMode>().is_err() && "x".parse::<CgroupnsMode>().is_err());
    }

    #[test]
    fn security_options() {
        let add = |options: &[&str]| {
            let mut security = SecurityOptions::default();
            let read = |path: &str| if path == "p.json" { Ok("{}".into()) } else { Err(format!("no {path}")) };
            options.iter().try_for_each(|option| security.add(option, read)).map(|()| security)
        };
        let all = add(&[
            "no-new-privileges",
            "seccomp=p.json",
            "apparmor:docker-default",
            "label=type:svirt_t",
            "systempaths=unconfined",
        ]);
        let expected = SecurityOptions {
            seccomp: SeccompProfile::Custom("{}".into()),
            no_new_privileges: true,
            apparmor: Some("docker-default".into()),
            labels: vec!["type:svirt_t".into()],
            systempaths_unconfined: true,
        };
        assert_eq!(all, Ok(expected));
        assert_eq!(add(&["no-new-privileges=true", "no-new-privileges:false"]), Ok(SecurityOptions::default()));
        for bad in [
            "seccomp=other.json",
            "seccomp",
            "apparmor=",
            "label=x:y",
            "label",
            "systempaths=x",
            "proc=y",
            "no-new-privileges=x",
        ] {
            assert!(add(&[bad]).is_err(), "{bad}");
        }
    }
}
