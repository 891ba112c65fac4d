//! The Container Device Interface: what a vendor's file says about making a device ready for containers. Pure.
//! <https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md>
//!
//! - [`Document`]: one file, JSON or YAML ([`yaml`]) · [`Registry`]: all of a node · [`Edits`]: what requests come to

mod document;
mod yaml;

use std::collections::BTreeMap;

use model::{CDI, DeviceRequest};

use super::checks::refused;
use crate::Result;

pub use document::{DeviceNode, Document, Hook, HookKind, Mount};

/// What `--gpus` is answered with.
const GPU_KIND: &str = "nvidia.com/gpu";
/// The name by which a file gives all its devices.
const ALL: &str = "all";

/// Every document of a node. Later ones are from directories that stand above the earlier ones'.
#[derive(Debug, Default)]
pub struct Registry {
    documents: Vec<Placed>,
    /// Files that cannot be used, and why.
    broken: Vec<String>,
}

#[derive(Debug)]
struct Placed {
    /// The number of its directory.
    directory: usize,
    path: String,
    document: Document,
}

/// What a container gets with its devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// Variables, `NAME=VALUE`.
    pub env: Vec<String>,
    /// Devices.
    pub devices: Vec<DeviceNode>,
    /// Files and directories of the host.
    pub mounts: Vec<Mount>,
    /// Programs of the host to run.
    pub hooks: Vec<Hook>,
    /// Groups beside the user's own.
    pub groups: Vec<u32>,
}

impl Registry {
    /// Adds a file of directory number `directory`. One that makes no sense is remembered as such: only who asks for a
    /// device need know.
    pub fn add(&mut self, directory: usize, path: String, text: &str) {
        match Document::parse(&path, text) {
            Ok(document) => self.documents.push(Placed { directory, path, document }),
            Err(reason) => self.broken.push(format!("{path}: {reason}")),
        }
    }

    /// Remembers a file that could not be read.
    pub fn add_broken(&mut self, reason: String) {
        self.broken.push(reason);
    }

    /// What the requests come to.
    ///
    /// # Errors
    /// Which device there is none of, or two of, or what of it Orca cannot give.
    pub fn edits(&self, requests: &[DeviceRequest]) -> Result<Edits> {
        let mut edits = Edits::default();
        let mut whole = BTreeMap::new();
        for request in requests {
            for name in self.names(request)? {
                let (place, device) = self.find(&name)?;
                let document = &self.documents[place].document;
                // What a file says of all its devices comes once, before the first of them.
                if whole.insert(place, ()).is_none() {
                    document.container_edits.apply(&mut edits).map_err(|reason| refused("device", &name, reason))?;
                }
                document.devices[device]
                    .container_edits
                    .apply(&mut edits)
                    .map_err(|reason| refused("device", &name, reason))?;
            }
        }
        Ok(edits)
    }

    /// The qualified names that a request means.
    fn names(&self, request: &DeviceRequest) -> Result<Vec<String>> {
        let told = || match (request.device_ids.as_slice(), request.count) {
            ([], -1) => ALL.to_owned(),
            ([], count) => count.to_string(),
            (ids, _) => ids.join(","),
        };
        if !request.options.is_empty() {
            let options: Vec<&str> = request.options.keys().map(String::as_str).collect();
            return Err(refused("device option", options.join(","), "CDI devices have none"));
        }
        match request.driver.as_str() {
            CDI => Ok(request.device_ids.clone()),
            "" | "nvidia" if request.capabilities.iter().any(|capability| capability == "gpu") => {
                let devices = self.of_kind(GPU_KIND);
                if devices.is_empty() {
                    let reason = self.but_broken(format!(
                        "this node has no device of kind {GPU_KIND}: `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml` \
                            describes those of NVIDIA's driver"
                    ));
                    return Err(refused("gpus", told(), reason));
                }
                gpus(request, &devices).map_err(|reason| refused("gpus", told(), reason))
            }
            "" => {
                let wanted = request.capabilities.join(",");
                Err(refused("device capabilities", wanted, "the node gives devices with the capability gpu only"))
            }
            other => Err(refused("device driver", other, "the node has cdi, and nvidia by way of it")),
        }
    }

    /// Names of the devices of a kind, each once.
    fn of_kind(&self, kind: &str) -> Vec<&str> {
        let documents = self.documents.iter().filter(|placed| placed.document.kind == kind);
        let mut names: Vec<&str> =
            documents.flat_map(|placed| &placed.document.devices).map(|device| device.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The document and the device in it. Of several directories the last counts; two files of one contradict each other.
    fn find(&self, qualified: &str) -> Result<(usize, usize)> {
        let (kind, name) = qualified.split_once('=').unwrap_or((qualified, ""));
        let mut found: Vec<(usize, usize)> = Vec::new();
        for (place, Placed { document, .. }) in self.documents.iter().enumerate() {
            if document.kind == kind
                && let Some(device) = document.devices.iter().position(|device| device.name == name)
            {
                found.push((place, device));
            }
        }
        let above = found.iter().map(|(place, _)| self.documents[*place].directory).max();
        found.retain(|(place, _)| Some(self.documents[*place].directory) == above);
        match found[..] {
            [one] => Ok(one),
            [] => {
                let known = self.of_kind(kind);
                let reason = match known.is_empty() {
                    true => format!("no file in the node's CDI directories describes devices of kind {kind:?}"),
                    false => format!("of this kind the node has {}", known.join(", ")),
                };
                Err(refused("device", qualified, self.but_broken(reason)))
            }
            [(first, _), (second, _), ..] => {
                let paths = (&self.documents[first].path, &self.documents[second].path);
                Err(refused("device", qualified, format!("both {} and {} describe it", paths.0, paths.1)))
            }
        }
    }

    fn but_broken(&self, reason: String) -> String {
        match self.broken.as_slice() {
            [] => reason,
            broken => format!("{reason}; these files are of no use: {}", broken.join("; ")),
        }
    }
}

/// GPUs by id, by number, or all.
fn gpus(request: &DeviceRequest, devices: &[&str]) -> Result<Vec<String>, String> {
    let qualified = |name: &str| format!("{GPU_KIND}={name}");
    if !request.device_ids.is_empty() {
        return Ok(request.device_ids.iter().map(|id| qualified(id)).collect());
    }
    if request.count == -1 {
        if devices.contains(&ALL) {
            return Ok(vec![qualified(ALL)]);
        }
        return Ok(devices.iter().map(|name| qualified(name)).collect());
    }
    let mut numbers: Vec<u32> = devices.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    let count = usize::try_from(request.count).map_err(|_| "it is a number, or all".to_owned())?;
    if count > numbers.len() {
        return Err(format!("the node has {}", numbers.len()));
    }
    Ok(numbers[..count].iter().map(|number| qualified(&number.to_string())).collect())
}

#[cfg(test)]
mod tests;
