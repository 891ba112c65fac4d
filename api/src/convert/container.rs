//! Containers.

use std::time::Duration;

use super::{WireEnum, all, isolation, list, map_values, nanos, or_default, strings, text, texts, wires};
use crate::{Error, types};

impl From<model::ContainerSpec> for types::ContainerSpec {
    fn from(spec: model::ContainerSpec) -> Self {
        let model::ContainerSpec {
            image,
            entrypoint,
            command,
            env,
            working_dir,
            user,
            group_add,
            hostname,
            domainname,
            labels,
            annotations,
            tty,
            open_stdin,
            stop_signal,
            stop_grace_period,
            read_only,
            privileged,
            cap_add,
            cap_drop,
            security,
            mounts,
            secrets,
            configs,
            healthcheck,
            extra_hosts,
            dns,
            dns_search,
            dns_options,
            sysctls,
            ulimits,
            shm_size,
            devices,
            resources,
            pid,
            ipc,
            oom_score_adj,
            restart,
            log,
            exposed,
            init,
            uts,
            userns,
            cgroupns,
            cgroup_parent,
            device_cgroup_rules,
            runtime,
            device_requests,
            post_start,
            pre_stop,
        } = spec;
        Self {
            image,
            entrypoint: entrypoint.map(list),
            command: command.map(list),
            env,
            working_dir,
            user,
            group_add,
            hostname,
            domainname,
            labels,
            annotations,
            tty,
            open_stdin,
            stop_signal,
            stop_grace_period: stop_grace_period.map(nanos),
            read_only,
            privileged,
            cap_add,
            cap_drop,
            security: Some(security.into()),
            mounts: wires(mounts),
            secrets: wires(secrets),
            configs: wires(configs),
            healthcheck: healthcheck.map(Into::into),
            extra_hosts: wires(extra_hosts),
            dns: strings(dns),
            dns_search,
            dns_options,
            sysctls,
            ulimits: ulimits.into_iter().map(|(name, limit)| (name, limit.into())).collect(),
            shm_size,
            devices: wires(devices),
            device_requests: wires(device_requests),
            resources: Some(resources.into()),
            pid: isolation::old_pid(&pid).number(),
            ipc: isolation::old_ipc(&ipc).number(),
            pid_mode: isolation::pid_text(&pid),
            ipc_mode: isolation::ipc_text(&ipc),
            uts: uts.number(),
            userns: userns.number(),
            cgroupns: cgroupns.number(),
            cgroup_parent,
            device_cgroup_rules,
            runtime,
            oom_score_adj,
            restart: Some(restart.into()),
            log: Some(log.into()),
            exposed,
            init,
            post_start: wires(post_start),
            pre_stop: wires(pre_stop),
        }
    }
}

impl TryFrom<types::ContainerSpec> for model::ContainerSpec {
    type Error = Error;

    fn try_from(spec: types::ContainerSpec) -> Result<Self, Error> {
        let types::ContainerSpec {
            image,
            entrypoint,
            command,
            env,
            working_dir,
            user,
            group_add,
            hostname,
            domainname,
            labels,
            annotations,
            tty,
            open_stdin,
            stop_signal,
            stop_grace_period,
            read_only,
            privileged,
            cap_add,
            cap_drop,
            security,
            mounts,
            secrets,
            configs,
            healthcheck,
            extra_hosts,
            dns,
            dns_search,
            dns_options,
            sysctls,
            ulimits,
            shm_size,
            devices,
            resources,
            pid,
            ipc,
            oom_score_adj,
            restart,
            log,
            exposed,
            init,
            pid_mode,
            ipc_mode,
            uts,
            userns,
            cgroupns,
            cgroup_parent,
            device_cgroup_rules,
            runtime,
            device_requests,
            post_start,
            pre_stop,
        } = spec;
        Ok(Self {
            image,
            entrypoint: entrypoint.map(|list| list.values),
            command: command.map(|list| list.values),
            env,
            working_dir,
            user,
            group_add,
            hostname,
            domainname,
            labels,
            annotations,
            tty,
            open_stdin,
            stop_signal,
            stop_grace_period: stop_grace_period.map(Duration::from_nanos),
            read_only,
            privileged,
            cap_add,
            cap_drop,
            security: or_default(security)?,
            mounts: all(mounts)?,
            secrets: all(secrets)?,
            configs: all(configs)?,
            healthcheck: healthcheck.map(TryInto::try_into).transpose()?,
            extra_hosts: all(extra_hosts)?,
            dns: texts("container.dns", dns)?,
            dns_search,
            dns_options,
            sysctls,
            ulimits: map_values(ulimits)?,
            shm_size,
            devices: all(devices)?,
            device_requests: all(device_requests)?,
            resources: or_default(resources)?,
            pid: isolation::pid(pid, pid_mode)?,
            ipc: isolation::ipc(ipc, ipc_mode)?,
            uts: WireEnum::from_number("container.uts", uts)?,
            userns: WireEnum::from_number("container.userns", userns)?,
            cgroupns: WireEnum::from_number("container.cgroupns", cgroupns)?,
            cgroup_parent,
            device_cgroup_rules,
            runtime,
            oom_score_adj,
            restart: or_default(restart)?,
            log: or_default(log)?,
            exposed,
            init,
            post_start: all(post_start)?,
            pre_stop: all(pre_stop)?,
        })
    }
}

impl From<model::HostEntry> for types::HostEntry {
    fn from(model::HostEntry { host, address }: model::HostEntry) -> Self {
        let address = match address {
            model::HostAddress::Ip(ip) => ip.to_string(),
            model::HostAddress::HostGateway => String::new(),
        };
        Self { host, address }
    }
}

impl TryFrom<types::HostEntry> for model::HostEntry {
    type Error = Error;

    fn try_from(types::HostEntry { host, address }: types::HostEntry) -> Result<Self, Error> {
        let address = match address.as_str() {
            "" => model::HostAddress::HostGateway,
            _ => model::HostAddress::Ip(text("host_entry.address", address)?),
        };
        Ok(Self { host, address })
    }
}

impl From<model::Hook> for types::Hook {
    fn from(hook: model::Hook) -> Self {
        let model::Hook { command, user, privileged, working_dir, env } = hook;
        Self { command, user, privileged, working_dir, env }
    }
}

impl TryFrom<types::Hook> for model::Hook {
    type Error = Error;

    fn try_from(hook: types::Hook) -> Result<Self, Error> {
        let types::Hook { command, user, privileged, working_dir, env } = hook;
        if command.is_empty() {
            return Err(Error::Missing("hook.command"));
        }
        Ok(Self { command, user, privileged, working_dir, env })
    }
}
