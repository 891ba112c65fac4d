//! Devices of the host, by path or by a request that the node's device specifications answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A host device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path on the host.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Some of `r`, `w`, `m` (mknod).
    pub permissions: String,
}

/// Devices that the node chooses and prepares: `--gpus`, and CDI devices by their qualified names (`--device vendor.com/class=name`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceRequest {
    /// Who makes them ready: `cdi`, `nvidia`; empty: whoever has the capabilities.
    pub driver: String,
    /// How many; -1 for all.
    pub count: i64,
    /// Which ones.
    pub device_ids: Vec<String>,
    /// What they must be able to do, such as `gpu`.
    pub capabilities: Vec<String>,
    /// For the driver.
    pub options: BTreeMap<String, String>,
}

/// The driver of CDI devices.
pub const CDI: &str = "cdi";

impl DeviceRequest {
    /// A CDI device by its qualified name, `vendor.com/class=name`; `None`: the text is no such name.
    #[must_use]
    pub fn cdi(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('=')?;
        let (vendor, class) = kind.split_once('/')?;
        let word = |text: &str, more: &[u8]| {
            text.starts_with(|first: char| first.is_ascii_alphanumeric())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        let fine = word(vendor, b"_-.") && word(class, b"_-.") && word(name, b"_-.:");
        fine.then(|| Self { driver: CDI.into(), device_ids: vec![text.into()], ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualified_names_and_paths_are_told_apart() {
        for name in ["nvidia.com/gpu=0", "nvidia.com/gpu=GPU-1:0", "v.org/c_1=all"] {
            assert_eq!(DeviceRequest::cdi(name).unwrap().device_ids, [name]);
        }
        for path in ["/dev/fuse", "/dev/a=b", "nvidia.com/gpu", "gpu=0", "a/b=", "a/b=../c", "/=x"] {
            assert_eq!(DeviceRequest::cdi(path), None, "{path}");
        }
    }
}
