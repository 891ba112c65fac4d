//! What the shim must know of `config.json`, and the few things that it must correct before libcontainer reads it.

use std::path::{Path, PathBuf};

use model::shim::ShimSpec;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cgroup::Setup;
use crate::error::{Result, ShimError};
use crate::user::Identity;

/// The parts of an OCI configuration that concern the shim; the rest is skipped unread.
#[derive(Debug, Deserialize)]
pub struct View {
    root: Root,
    process: ProcessView,
    #[serde(default)]
    mounts: Vec<MountView>,
    linux: LinuxView,
}

#[derive(Debug, Deserialize)]
struct Root {
    path: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProcessView {
    #[serde(default)]
    terminal: bool,
    cwd: String,
    #[serde(default)]
    user: UserView,
    no_new_privileges: Option<bool>,
    oom_score_adj: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
struct UserView {
    #[serde(default)]
    uid: u32,
}

#[derive(Debug, Deserialize)]
struct MountView {
    destination: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LinuxView {
    #[serde(default)]
    cgroups_path: PathBuf,
    mount_label: Option<String>,
    #[serde(default)]
    namespaces: Vec<NamespaceView>,
}

#[derive(Debug, Deserialize)]
struct NamespaceView {
    path: Option<PathBuf>,
}

/// What this host is like, as far as configurations must heed it.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// Which cgroups it has.
    pub setup: Setup,
    /// The shim's own `oom_score_adj`.
    pub oom_score_adj: i64,
    /// Whether the shim may go below it (CAP_SYS_RESOURCE).
    pub may_lower_oom_score: bool,
}

impl View {
    /// Where the container's root file system is mounted.
    #[must_use]
    pub fn root(&self, bundle: &Path) -> PathBuf {
        bundle.join(&self.root.path)
    }

    /// The namespaces that it joins rather than makes.
    pub fn joined(&self) -> impl Iterator<Item = &Path> {
        self.linux.namespaces.iter().filter_map(|namespace| namespace.path.as_deref())
    }

    /// The SELinux label of its files.
    #[must_use]
    pub fn mount_label(&self) -> Option<&str> {
        self.linux.mount_label.as_deref()
    }

    /// The first process's working directory.
    #[must_use]
    pub fn cwd(&self) -> &str {
        &self.process.cwd
    }

    /// The first process's user, as the container numbers it.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.process.user.uid
    }

    /// Checks it against `shim.json` and the host.
    ///
    /// # Errors
    /// Naming the key that contradicts or can't be had.
    pub fn check(&self, spec: &ShimSpec, host: Host) -> Result<()> {
        crate::cgroup::check_path(&spec.cgroup)?;
        if self.linux.cgroups_path != spec.cgroup {
            return Err(ShimError::Contradiction {
                key: "cgroup",
                spec: spec.cgroup.display().to_string(),
                config: self.linux.cgroups_path.display().to_string(),
            });
        }
        if self.process.terminal != spec.terminal {
            return Err(ShimError::Contradiction {
                key: "terminal",
                spec: spec.terminal.to_string(),
                config: self.process.terminal.to_string(),
            });
        }
        // v1 hierarchies are mounted writable in the container whatever the mount says.
        if host.setup != Setup::Unified
            && let Some(mount) = self.mounts.iter().find(|mount| mount.kind.as_deref() == Some("cgroup"))
        {
            return Err(ShimError::CgroupMount(mount.destination.clone()));
        }
        match self.process.oom_score_adj {
            Some(wanted) if wanted < host.oom_score_adj && !host.may_lower_oom_score => {
                Err(ShimError::OomScore { wanted, current: host.oom_score_adj })
            }
            _ => Ok(()),
        }
    }

    /// Whether [`correct`] would change anything.
    #[must_use]
    pub fn needs_correction(&self, spec: &ShimSpec) -> bool {
        let labelled = spec.runtime.is_none() && self.linux.mount_label.is_some();
        self.process.no_new_privileges == Some(false) || spec.user.is_some() || labelled
    }
}

/// Makes of the agent's configuration the one that libcontainer gets:
/// - `noNewPrivileges: false` goes, because libcontainer would load the seccomp filter after dropping the privilege that
///   it then needs;
/// - the looked-up user is filled in.
///
/// For the built-in runtime [`label_mounts`] is due as well.
pub fn correct(config: &mut Value, identity: Option<&Identity>) {
    if config.pointer("/process/noNewPrivileges") == Some(&Value::Bool(false))
        && let Some(process) = config.pointer_mut("/process").and_then(Value::as_object_mut)
    {
        process.remove("noNewPrivileges");
    }
    if let Some(identity) = identity
        && let Some(user) = config.pointer_mut("/process/user").and_then(Value::as_object_mut)
    {
        let mut gids = identity.additional_gids.clone();
        let asked: Vec<u32> =
            user.get("additionalGids").and_then(|v| serde_json::from_value(v.clone()).ok()).unwrap_or_default();
        gids.extend(asked);
        gids.sort_unstable();
        gids.dedup();
        user.insert("uid".to_owned(), json!(identity.uid));
        user.insert("gid".to_owned(), json!(identity.gid));
        user.insert("additionalGids".to_owned(), json!(gids));
    }
}

/// The label of files becomes an option of the file systems that take it: libcontainer would give it to all, and the kernel
/// refuses it for message queues, whose file system is there with the IPC namespace.
pub fn label_mounts(config: &mut Value) {
    let label =
        config.pointer_mut("/linux").and_then(Value::as_object_mut).and_then(|linux| linux.remove("mountLabel"));
    let Some(label) = label.as_ref().and_then(Value::as_str) else { return };
    for mount in config.get_mut("mounts").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(mount) = mount.as_object_mut() else { continue };
        if mount.get("type").and_then(Value::as_str).is_some_and(|kind| ["tmpfs", "devpts"].contains(&kind)) {
            let options = mount.entry("options").or_insert_with(|| json!([]));
            options.as_array_mut().into_iter().for_each(|options| options.push(json!(format!("context={label}"))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_options_of_file_systems_that_take_them() {
        let mut config = json!({
            "linux": {"mountLabel": "u:r:t:s0:c1,c2", "maskedPaths": ["/proc/kcore"]},
            "mounts": [{"type": "tmpfs", "options": ["ro"]}, {"type": "devpts"}, {"type": "mqueue"}, {"type": "bind"}, {}],
        });
        label_mounts(&mut config);
        let label = "context=u:r:t:s0:c1,c2";
        assert_eq!(config["linux"], json!({"maskedPaths": ["/proc/kcore"]}));
        let mounts = json!([{"type": "tmpfs", "options": ["ro", label]}, {"type": "devpts", "options": [label]},
            {"type": "mqueue"}, {"type": "bind"}, {}]);
        assert_eq!(config["mounts"], mounts);
    }

    fn sample() -> Value {
        json!({
            "root": {"path": "rootfs"},
            "process": {
                "cwd": "/", "user": {"uid": 0, "gid": 0, "additionalGids": [7]}, "noNewPrivileges": false,
                "capabilities": {"bounding": ["CAP_CHOWN", "CAP_MKNOD"]}
            },
            "linux": {"cgroupsPath": "/orca/c"}
        })
    }

    #[test]
    fn false_no_new_privileges_goes_and_the_user_is_filled_in() {
        let mut config = sample();
        let identity = Identity { uid: 5, gid: 6, additional_gids: vec![9, 7], home: None };
        correct(&mut config, Some(&identity));
        assert_eq!(config.pointer("/process/noNewPrivileges"), None);
        assert_eq!(config["process"]["user"], json!({"uid": 5, "gid": 6, "additionalGids": [7, 9]}));
        assert_eq!(config["process"]["capabilities"]["bounding"], json!(["CAP_CHOWN", "CAP_MKNOD"]));
    }

    #[test]
    fn the_host_and_the_other_file_are_heeded() {
        let spec: ShimSpec = serde_json::from_value(json!({
            "version": 1, "container_id": "c", "run_generation": 1, "snapshot": null,
            "log": {"driver": "none", "path": ""}, "cgroup": "/orca/c", "state_dir": "state"
        }))
        .unwrap();
        let host = Host { setup: Setup::Hybrid, oom_score_adj: 0, may_lower_oom_score: false };
        let check = |config: &Value| serde_json::from_value::<View>(config.clone()).unwrap().check(&spec, host);
        let mut config = sample();
        assert!(check(&config).is_ok());
        config["process"]["oomScoreAdj"] = json!(-500);
        assert!(matches!(check(&config), Err(ShimError::OomScore { wanted: -500, current: 0 })));
        let mut config = sample();
        config["mounts"] = json!([{"destination": "/sys/fs/cgroup", "type": "cgroup"}]);
        assert!(matches!(check(&config), Err(ShimError::CgroupMount(_))));
        let mut config = sample();
        config["linux"]["cgroupsPath"] = json!("");
        assert!(matches!(check(&config), Err(ShimError::Contradiction { key: "cgroup", .. })));
    }
}
