//! Containers.

use std::time::Duration;

use super::{WireEnum, all, list, map_values, nanos, or_default, strings, text, texts, wires};
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
            init,
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
            resources: Some(resources.into()),
            pid: pid.number(),
            ipc: ipc.number(),
            oom_score_adj,
            restart: Some(restart.into()),
            log: Some(log.into()),
            init,
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
            init,
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
            resources: or_default(resources)?,
            pid: WireEnum::from_number("container.pid", pid)?,
            ipc: WireEnum::from_number("container.ipc", ipc)?,
            oom_score_adj,
            restart: or_default(restart)?,
            log: or_default(log)?,
            init,
        })
    }
}

impl From<model::SecurityOptions> for types::SecurityOptions {
    fn from(model::SecurityOptions { seccomp, no_new_privileges }: model::SecurityOptions) -> Self {
        Self { seccomp: seccomp.number(), no_new_privileges }
    }
}

impl TryFrom<types::SecurityOptions> for model::SecurityOptions {
    type Error = Error;

    fn try_from(types::SecurityOptions { seccomp, no_new_privileges }: types::SecurityOptions) -> Result<Self, Error> {
        Ok(Self { seccomp: WireEnum::from_number("security.seccomp", seccomp)?, no_new_privileges })
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
