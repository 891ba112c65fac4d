//! The flags of `run` and `create` that share, confine and limit, beyond the everyday ones of [`super::create`].

use clap::Args;
use model::{
    BlockIo, CgroupnsMode, DeviceRate, IpcMode, Limits, NamespaceMode, PidMode, SeccompProfile, SecurityOptions,
};

use super::flags;
use crate::error::{Error, Result};

/// Whose namespaces, which confinement, which limits.
#[derive(Debug, Default, Args)]
pub struct IsolationArgs {
    /// Process namespace: host, or container:NAME
    #[arg(long, value_name = "MODE")]
    pid: Option<PidMode>,
    /// IPC namespace: none, private, shareable, host, or container:NAME
    #[arg(long, value_name = "MODE")]
    ipc: Option<IpcMode>,
    /// Host name namespace: host
    #[arg(long, value_name = "MODE")]
    uts: Option<NamespaceMode>,
    /// User namespace: host
    #[arg(long, value_name = "MODE")]
    userns: Option<NamespaceMode>,
    /// Cgroup namespace: host or private
    #[arg(long, value_name = "MODE")]
    cgroupns: Option<CgroupnsMode>,
    /// The cgroup that the container's is made in
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
    /// apparmor=PROFILE, label=…, no-new-privileges, seccomp=FILE|builtin|unconfined, systempaths=unconfined
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Allow using devices: TYPE MAJOR:MINOR ACCESS
    #[arg(long, value_name = "RULE")]
    device_cgroup_rule: Vec<String>,
    /// Runtime that makes the container
    #[arg(long, value_name = "NAME")]
    runtime: Option<String>,
    /// How readily memory is swapped out, 0 to 100
    #[arg(long, value_name = "NUMBER", value_parser = swappiness, allow_hyphen_values = true)]
    memory_swappiness: Option<Swappiness>,
    /// Wait instead of being killed when out of memory
    #[arg(long)]
    oom_kill_disable: bool,
    /// Weight on one device: PATH:WEIGHT
    #[arg(long, value_name = "DEVICE", value_parser = operations)]
    blkio_weight_device: Vec<DeviceRate>,
    /// Bytes read from a device in a second: PATH:BYTES
    #[arg(long, value_name = "DEVICE", value_parser = bytes)]
    device_read_bps: Vec<DeviceRate>,
    /// Bytes written to a device in a second: PATH:BYTES
    #[arg(long, value_name = "DEVICE", value_parser = bytes)]
    device_write_bps: Vec<DeviceRate>,
    /// Reads from a device in a second: PATH:NUMBER
    #[arg(long, value_name = "DEVICE", value_parser = operations)]
    device_read_iops: Vec<DeviceRate>,
    /// Writes to a device in a second: PATH:NUMBER
    #[arg(long, value_name = "DEVICE", value_parser = operations)]
    device_write_iops: Vec<DeviceRate>,
}

/// -1 is Docker's word for "as the kernel has it".
#[derive(Debug, Clone, Copy)]
struct Swappiness(Option<u64>);

fn swappiness(text: &str) -> Result<Swappiness, String> {
    match text.parse::<i64>() {
        Ok(-1) => Ok(Swappiness(None)),
        Ok(number @ 0..=100) => Ok(Swappiness(u64::try_from(number).ok())),
        _ => Err("expected 0 to 100, or -1 for the kernel's own".into()),
    }
}

fn device_rate(text: &str, rate: impl Fn(&str) -> Result<u64, String>) -> Result<DeviceRate, String> {
    let (path, number) = text.rsplit_once(':').ok_or("expected PATH:NUMBER")?;
    if !path.starts_with("/dev/") {
        return Err(format!("{path:?} is not the path of a device, such as /dev/sda"));
    }
    Ok(DeviceRate { path: path.into(), rate: rate(number)? })
}

fn bytes(text: &str) -> Result<DeviceRate, String> {
    device_rate(text, flags::bytes)
}

fn operations(text: &str) -> Result<DeviceRate, String> {
    device_rate(text, |number| number.parse().map_err(|_| format!("{number:?} is not a number")))
}

impl IsolationArgs {
    /// Adds the limits that only a new container takes.
    pub fn limits(&self, common: Limits) -> Limits {
        Limits {
            memory_swappiness: self.memory_swappiness.and_then(|Swappiness(number)| number),
            oom_kill_disable: self.oom_kill_disable,
            block_io: BlockIo {
                weight_devices: self.blkio_weight_device.clone(),
                read_bps: self.device_read_bps.clone(),
                write_bps: self.device_write_bps.clone(),
                read_iops: self.device_read_iops.clone(),
                write_iops: self.device_write_iops.clone(),
                ..common.block_io
            },
            ..common
        }
    }

    /// Puts the rest into a spec.
    pub fn apply(self, spec: &mut model::ContainerSpec) -> Result<()> {
        spec.security = self.security()?;
        spec.pid = self.pid.unwrap_or_default();
        spec.ipc = self.ipc.unwrap_or_default();
        spec.uts = self.uts.unwrap_or_default();
        spec.userns = self.userns.unwrap_or_default();
        spec.cgroupns = self.cgroupns.unwrap_or_default();
        spec.cgroup_parent = self.cgroup_parent.filter(|parent| !parent.is_empty());
        spec.device_cgroup_rules = self.device_cgroup_rule;
        spec.runtime = self.runtime.filter(|name| !name.is_empty());
        Ok(())
    }

    fn security(&self) -> Result<SecurityOptions> {
        let mut security = SecurityOptions::default();
        for option in &self.security_opt {
            let read = |path: &str| std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
            security.add(option, read).map_err(|reason| Error::Flag {
                flag: "--security-opt",
                value: option.clone(),
                reason,
            })?;
        }
        if let SeccompProfile::Custom(profile) = &security.seccomp
            && let Err(error) = serde_json::from_str::<serde_json::Value>(profile)
        {
            let reason = format!("the profile is not JSON: {error}");
            return Err(Error::Flag { flag: "--security-opt", value: self.security_opt.join(" "), reason });
        }
        Ok(security)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_devices() {
        assert_eq!(bytes("/dev/sda:1mb"), Ok(DeviceRate { path: "/dev/sda".into(), rate: 1 << 20 }));
        assert_eq!(operations("/dev/sda:100"), Ok(DeviceRate { path: "/dev/sda".into(), rate: 100 }));
        for bad in ["/dev/sda", "sda:1", "/dev/sda:x", ":1"] {
            assert!(bytes(bad).is_err() && operations(bad).is_err(), "{bad}");
        }
        assert!(swappiness("101").is_err() && swappiness("-2").is_err() && swappiness("-1").is_ok());
    }
}
