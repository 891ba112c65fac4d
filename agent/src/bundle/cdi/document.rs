//! One file of device specifications.

use serde::Deserialize;

use super::{Edits, yaml};

/// More devices, or edits of one kind, than hardware has.
const MOST: usize = 4096;

/// A file. What this version does not know is refused: half of a device's edits are of no use.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    cdi_version: String,
    /// `vendor.com/class`.
    pub kind: String,
    /// For people.
    #[serde(default, rename = "annotations")]
    _annotations: serde_json::Map<String, serde_json::Value>,
    /// The devices of this kind.
    pub devices: Vec<Device>,
    /// What comes with any of them.
    #[serde(default)]
    pub container_edits: ContainerEdits,
}

/// A device by name.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Device {
    /// What follows the `=` of its qualified name.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// For people.
    #[serde(default, rename = "annotations")]
    _annotations: serde_json::Map<String, serde_json::Value>,
    /// What comes with it.
    #[serde(default)]
    pub container_edits: ContainerEdits,
}

/// YAML has numbers where people mean names.
fn name<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match serde_json::Value::deserialize(from)? {
        serde_json::Value::String(name) => Ok(name),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        other => Err(serde::de::Error::custom(format!("{other} is no name of a device"))),
    }
}

/// What a container gets.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ContainerEdits {
    env: Vec<String>,
    device_nodes: Vec<DeviceNode>,
    mounts: Vec<Mount>,
    hooks: Vec<Hook>,
    additional_gids: Vec<u32>,
    /// Links of the host's network, of version 1.1.
    net_devices: Vec<serde_json::Value>,
    intel_rdt: Option<serde_json::Value>,
}

/// A device node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DeviceNode {
    /// In the container.
    pub path: String,
    /// On the host, if that is another.
    pub host_path: Option<String>,
    /// `b`, `c`, `u` or `p`; absent with the numbers: as on the host.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Its numbers.
    pub major: Option<i64>,
    /// Its numbers.
    pub minor: Option<i64>,
    /// Permission bits.
    pub file_mode: Option<u32>,
    /// Some of `rwm`.
    pub permissions: Option<String>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

/// A bind mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Mount {
    /// On the host.
    pub host_path: String,
    /// In the container.
    pub container_path: String,
    /// As mount(8) takes them.
    pub options: Vec<String>,
    /// `bind`, which is also what nothing means.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// A program of the host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hook {
    /// When it is run.
    #[serde(rename = "hookName")]
    pub kind: HookKind,
    /// Absolute path.
    pub path: String,
    /// Its arguments, its name among them.
    #[serde(default)]
    pub args: Vec<String>,
    /// Its environment.
    #[serde(default)]
    pub env: Vec<String>,
    /// Seconds after which it is ended.
    #[serde(default)]
    pub timeout: Option<i64>,
}

/// The moments of the OCI runtime specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // runtime-spec, config.md, "POSIX-platform Hooks"
pub enum HookKind {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl Document {
    /// Reads a file; YAML unless its name ends in `.json`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(path: &str, text: &str) -> Result<Self, String> {
        let value = match path.ends_with(".json") {
            true => serde_json::from_str(text).map_err(|error| error.to_string())?,
            false => yaml::parse(text)?,
        };
        let document: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        match document.cdi_version.split_once('.') {
            Some(("0" | "1", _)) => {}
            _ => return Err(format!("cdiVersion {:?} is not known here: 0.3 to 1.1 are", document.cdi_version)),
        }
        if document.devices.len() > MOST {
            return Err(format!("it describes {} devices, and {MOST} is the most", document.devices.len()));
        }
        Ok(document)
    }
}

impl ContainerEdits {
    /// Adds what it says.
    pub(super) fn apply(&self, to: &mut Edits) -> Result<(), String> {
        if !self.net_devices.is_empty() || self.intel_rdt.is_some() {
            return Err("its netDevices and intelRdt are not supported".into());
        }
        if let Some(bad) = self.env.iter().find(|entry| !entry.contains('=') || entry.contains('\0')) {
            return Err(format!("its variable {bad:?} is not NAME=VALUE"));
        }
        for mount in &self.mounts {
            if !matches!(mount.kind.as_deref(), None | Some("" | "bind" | "none")) {
                return Err(format!("its mount of type {:?} is not supported: only bind is", mount.kind));
            }
            if !mount.host_path.starts_with('/') || !mount.container_path.starts_with('/') {
                return Err(format!(
                    "its mount {} on {}: both must be absolute",
                    mount.host_path, mount.container_path
                ));
            }
        }
        for node in &self.device_nodes {
            let permissions = node.permissions.as_deref().unwrap_or_default();
            if !node.path.starts_with("/dev/") || !permissions.bytes().all(|byte| b"rwm".contains(&byte)) {
                return Err(format!("its device {} with permissions {permissions:?} makes no sense", node.path));
            }
        }
        for hook in &self.hooks {
            if hook.kind == HookKind::Poststop {
                return Err("its poststop hook is not supported: a container may end while no daemon runs".into());
            }
            if !hook.path.starts_with('/') || hook.timeout.is_some_and(|timeout| timeout <= 0) {
                return Err(format!("its hook {} must have an absolute path and a positive timeout", hook.path));
            }
        }
        to.env.extend(self.env.iter().cloned());
        to.devices.extend(self.device_nodes.iter().cloned());
        to.mounts.extend(self.mounts.iter().cloned());
        to.hooks.extend(self.hooks.iter().cloned());
        // Group 0 would be root's: CDI says to leave it out.
        to.groups.extend(self.additional_gids.iter().copied().filter(|gid| *gid != 0));
        match [to.env.len(), to.devices.len(), to.mounts.len(), to.hooks.len()].iter().any(|length| *length > MOST) {
            true => Err(format!("with it the container would get more than {MOST} edits")),
            false => Ok(()),
        }
    }
}
