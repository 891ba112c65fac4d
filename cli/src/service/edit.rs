//! `orca service update`: what its flags make of a spec.

use std::collections::BTreeMap;

use model::{
    AttachmentSpec, Constraint, HostEntry, NetworkMode, PortSpec, Protocol, Service, ServiceMode, ServiceSpec, Ulimit,
};

use super::args::{Common, Words};
use super::build::invalid;
use super::values;
use crate::container::{flags, mounts};
use crate::error::{Error, Result};

/// Arguments of `orca service update`.
#[derive(Debug, clap::Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    pub common: Common,
    /// The command's arguments
    #[arg(long, value_name = "COMMAND", value_parser = values::words, allow_hyphen_values = true)]
    args: Option<Words>,
    /// Add a capability
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// Add or replace a config
    #[arg(long, value_name = "CONFIG", value_parser = values::config)]
    config_add: Vec<model::ConfigFile>,
    /// Remove a config
    #[arg(long, value_name = "NAME")]
    config_rm: Vec<String>,
    /// Add a constraint
    #[arg(long, value_name = "CONSTRAINT")]
    constraint_add: Vec<Constraint>,
    /// Remove a constraint
    #[arg(long, value_name = "CONSTRAINT")]
    constraint_rm: Vec<Constraint>,
    /// Add or change a label of the containers
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = flags::label)]
    container_label_add: Vec<String>,
    /// Remove a label of the containers
    #[arg(long, value_name = "KEY")]
    container_label_rm: Vec<String>,
    /// Add a name server
    #[arg(long, value_name = "ADDRESS")]
    dns_add: Vec<std::net::IpAddr>,
    /// Remove a name server
    #[arg(long, value_name = "ADDRESS")]
    dns_rm: Vec<std::net::IpAddr>,
    /// Add a resolv.conf option
    #[arg(long, value_name = "OPTION")]
    dns_option_add: Vec<String>,
    /// Remove a resolv.conf option
    #[arg(long, value_name = "OPTION")]
    dns_option_rm: Vec<String>,
    /// Add a search domain
    #[arg(long, value_name = "DOMAIN")]
    dns_search_add: Vec<String>,
    /// Remove a search domain
    #[arg(long, value_name = "DOMAIN")]
    dns_search_rm: Vec<String>,
    /// Add or change a variable
    #[arg(long, value_name = "KEY[=VALUE]")]
    env_add: Vec<String>,
    /// Remove a variable
    #[arg(long, value_name = "KEY")]
    env_rm: Vec<String>,
    /// Make the containers anew though nothing has changed
    #[arg(long)]
    force: bool,
    /// Add or change what a node must have left of a kind
    #[arg(long, value_name = "KIND=COUNT", value_parser = values::generic)]
    generic_resource_add: Vec<(String, u64)>,
    /// Remove a kind
    #[arg(long, value_name = "KIND")]
    generic_resource_rm: Vec<String>,
    /// Add a supplementary group
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Remove a supplementary group
    #[arg(long, value_name = "GROUP")]
    group_rm: Vec<String>,
    /// Add an entry of /etc/hosts
    #[arg(long, value_name = "HOST:ADDRESS", value_parser = flags::extra_host)]
    host_add: Vec<HostEntry>,
    /// Remove an entry of /etc/hosts
    #[arg(long, value_name = "HOST:ADDRESS")]
    host_rm: Vec<String>,
    /// The image
    #[arg(long)]
    pub(super) image: Option<String>,
    /// Add or change a label of the service
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = flags::label)]
    label_add: Vec<String>,
    /// Remove a label of the service
    #[arg(long, value_name = "KEY")]
    label_rm: Vec<String>,
    /// Add or replace a mount
    #[arg(long, value_name = "MOUNT")]
    mount_add: Vec<String>,
    /// Remove the mount of a target
    #[arg(long, value_name = "TARGET")]
    mount_rm: Vec<String>,
    /// Add a network
    #[arg(long, value_name = "NETWORK", value_parser = values::network)]
    network_add: Vec<AttachmentSpec>,
    /// Remove a network
    #[arg(long, value_name = "NAME")]
    network_rm: Vec<String>,
    /// Add a preference
    #[arg(long, value_name = "PREFERENCE", value_parser = values::preference)]
    placement_pref_add: Vec<model::Attribute>,
    /// Remove a preference
    #[arg(long, value_name = "PREFERENCE", value_parser = values::preference)]
    placement_pref_rm: Vec<model::Attribute>,
    /// Publish a port
    #[arg(long, value_name = "PORT")]
    publish_add: Vec<String>,
    /// No longer publish a port of the containers
    #[arg(long, value_name = "TARGET[/PROTOCOL]", value_parser = target)]
    publish_rm: Vec<(u16, Protocol)>,
    /// Make the service what it was before its last change
    #[arg(long = "rollback")]
    pub rollback_to_previous: bool,
    /// Add or replace a secret
    #[arg(long, value_name = "SECRET", value_parser = values::secret)]
    secret_add: Vec<model::SecretFile>,
    /// Remove a secret
    #[arg(long, value_name = "NAME")]
    secret_rm: Vec<String>,
    /// Add or change a kernel parameter
    #[arg(long, value_name = "KEY=VALUE")]
    sysctl_add: Vec<String>,
    /// Remove a kernel parameter
    #[arg(long, value_name = "KEY")]
    sysctl_rm: Vec<String>,
    /// Add or change a resource limit
    #[arg(long, value_name = "LIMIT", value_parser = flags::ulimit)]
    ulimit_add: Vec<(String, Ulimit)>,
    /// Remove a resource limit
    #[arg(long, value_name = "NAME")]
    ulimit_rm: Vec<String>,
    /// The service: its name or id
    pub service: String,
}

/// `80`, `80/udp`, `8080:80`: what counts is the container's.
fn target(value: &str) -> Result<(u16, Protocol), String> {
    let ports = flags::ports(value)?;
    ports.first().map(|port| (port.target, port.protocol)).ok_or_else(|| "expected a port".into())
}

/// Leaves those that are not named, and adds those that are not there yet.
fn edit<T: PartialEq>(items: &mut Vec<T>, removed: &[T], added: impl IntoIterator<Item = T>) {
    items.retain(|item| !removed.contains(item));
    for item in added {
        if !items.contains(&item) {
            items.push(item);
        }
    }
}

/// The same of pairs.
fn edit_map<T>(map: &mut BTreeMap<String, T>, removed: &[String], added: impl IntoIterator<Item = (String, T)>) {
    map.retain(|key, _| !removed.contains(key));
    map.extend(added);
}

impl UpdateArgs {
    /// The service's spec as these flags want it.
    pub fn edit(&self, service: &Service) -> Result<ServiceSpec> {
        let mut spec = service.spec.clone();
        spec.mode = self.mode(spec.mode)?;
        spec.force_update += u64::from(self.force);
        edit_map(&mut spec.labels, &self.label_rm, flags::labels(&self.label_add));
        let placement = &mut spec.placement;
        edit(&mut placement.constraints, &self.constraint_rm, self.constraint_add.iter().cloned());
        edit(&mut placement.preferences, &self.placement_pref_rm, self.placement_pref_add.iter().cloned());
        spec.ports = self.ports(spec.ports)?;
        spec.network = self.networks(spec.network)?;
        self.container(&mut spec)?;
        self.common.apply(&mut spec)?;
        Ok(spec)
    }

    fn mode(&self, mode: ServiceMode) -> Result<ServiceMode> {
        let (replicas, concurrent) = (self.common.replicas, self.common.max_concurrent);
        Ok(match mode {
            ServiceMode::Replicated { replicas: before } if concurrent.is_none() => {
                ServiceMode::Replicated { replicas: replicas.unwrap_or(before) }
            }
            ServiceMode::ReplicatedJob { max_concurrent, total_completions } => ServiceMode::ReplicatedJob {
                max_concurrent: concurrent.unwrap_or(max_concurrent),
                total_completions: replicas.unwrap_or(total_completions),
            },
            _ if replicas.is_none() && concurrent.is_none() => mode,
            _ => {
                let reason = format!("it has no meaning for a service in {} mode", mode.word());
                let flag = if concurrent.is_some() { "--max-concurrent" } else { "--replicas" };
                return Err(invalid(flag, &concurrent.or(replicas).unwrap_or_default().to_string())(reason));
            }
        })
    }

    fn ports(&self, mut ports: Vec<PortSpec>) -> Result<Vec<PortSpec>> {
        for removed in &self.publish_rm {
            ports.retain(|port| (port.target, port.protocol) != *removed);
        }
        for text in &self.publish_add {
            for port in values::publish(text).map_err(invalid("--publish-add", text))? {
                let same = |other: &PortSpec| {
                    (other.published, other.protocol) == (port.published, port.protocol) && port.published.is_some()
                        || *other == port
                };
                ports.retain(|other| !same(other));
                ports.push(port);
            }
        }
        Ok(ports)
    }

    fn networks(&self, network: NetworkMode) -> Result<NetworkMode> {
        if self.network_add.is_empty() && self.network_rm.is_empty() {
            return Ok(network);
        }
        let mut attachments = match network {
            NetworkMode::Networks(attachments) => attachments,
            NetworkMode::Host => vec![values::network("host").map_err(invalid("--network-add", "host"))?],
            _ => Vec::new(),
        };
        attachments.retain(|attachment| !self.network_rm.contains(&attachment.network));
        for added in &self.network_add {
            attachments.retain(|attachment| attachment.network != added.network);
            attachments.push(added.clone());
        }
        values::networks(attachments).map_err(invalid("--network-add", ""))
    }

    fn container(&self, spec: &mut ServiceSpec) -> Result<()> {
        let container = &mut spec.container;
        if let Some(image) = &self.image {
            container.image.clone_from(image);
        }
        if let Some(args) = &self.args {
            container.command = (!args.is_empty()).then(|| args.clone());
        }
        edit_map(&mut container.labels, &self.container_label_rm, flags::labels(&self.container_label_add));
        let env = flags::environment(&self.env_add, |key| std::env::var(key).ok());
        edit_map(&mut container.env, &self.env_rm, env.map_err(invalid("--env-add", &self.env_add.join(" ")))?);
        edit_map(&mut container.sysctls, &self.sysctl_rm, flags::labels(&self.sysctl_add));
        edit_map(&mut container.ulimits, &self.ulimit_rm, self.ulimit_add.iter().cloned());
        let generic = &mut container.resources.reservations.generic;
        edit_map(generic, &self.generic_resource_rm, self.generic_resource_add.iter().cloned());
        edit(&mut container.group_add, &self.group_rm, self.group_add.iter().cloned());
        edit(&mut container.dns, &self.dns_rm, self.dns_add.iter().copied());
        edit(&mut container.dns_options, &self.dns_option_rm, self.dns_option_add.iter().cloned());
        edit(&mut container.dns_search, &self.dns_search_rm, self.dns_search_add.iter().cloned());
        // What is added is no longer dropped, and the other way round.
        edit(&mut container.cap_add, &self.cap_drop, self.cap_add.iter().cloned());
        edit(&mut container.cap_drop, &self.cap_add, self.cap_drop.iter().cloned());
        self.hosts(&mut container.extra_hosts);
        container.secrets.retain(|file| !self.secret_rm.contains(&file.secret));
        for added in &self.secret_add {
            container.secrets.retain(|file| file.file.path != added.file.path);
            container.secrets.push(added.clone());
        }
        container.configs.retain(|file| !self.config_rm.contains(&file.config));
        for added in &self.config_add {
            container.configs.retain(|file| file.file.path != added.file.path);
            container.configs.push(added.clone());
        }
        self.mounts(spec)
    }

    fn hosts(&self, hosts: &mut Vec<HostEntry>) {
        for removed in &self.host_rm {
            match flags::extra_host(removed) {
                Ok(entry) => hosts.retain(|host| *host != entry),
                Err(_) => hosts.retain(|host| host.host != *removed),
            }
        }
        edit(hosts, &[], self.host_add.iter().cloned());
    }

    fn mounts(&self, spec: &mut ServiceSpec) -> Result<()> {
        let here =
            std::env::current_dir().map_err(|source| Error::File { action: "find", path: ".".into(), source })?;
        let mounts = &mut spec.container.mounts;
        mounts.retain(|mount| !self.mount_rm.contains(&mount.target));
        for text in &self.mount_add {
            let mount = mounts::long(text, &here).map_err(invalid("--mount-add", text))?;
            mounts.retain(|other| other.target != mount.target);
            mounts.push(mount);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use model::{Meta, ServiceId};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: UpdateArgs,
    }

    fn edited(spec: ServiceSpec, line: &str) -> Result<ServiceSpec> {
        let words = ["update"].into_iter().chain(line.split_whitespace()).chain(["web"]);
        let args = Line::try_parse_from(words).unwrap().args;
        args.edit(&Service::new(ServiceId::from_random(1), Meta::default(), spec, false))
    }

    #[test]
    fn nothing_given_changes_nothing() {
        let mut spec = ServiceSpec::default();
        (spec.update, spec.rollback) = (Some(Default::default()), Some(Default::default()));
        assert_eq!(edited(spec.clone(), "").unwrap(), spec);
    }

    #[test]
    fn lists_are_edited() {
        let spec =
            edited(ServiceSpec::default(), "--env-add A=1 --env-add B=2 --label-add x=y --publish-add 80:80").unwrap();
        let spec = edited(spec, "--env-rm A --publish-rm 80 --constraint-add node.role==worker --force").unwrap();
        assert_eq!(spec.container.env.keys().collect::<Vec<_>>(), ["B"]);
        assert!(spec.ports.is_empty() && spec.labels["x"] == "y" && spec.force_update == 1);
        let spec = edited(spec, "--constraint-rm node.role==worker --cap-add NET_ADMIN").unwrap();
        assert!(spec.placement.constraints.is_empty());
        let spec = edited(spec, "--cap-drop NET_ADMIN").unwrap();
        assert!(spec.container.cap_add.is_empty() && spec.container.cap_drop == ["NET_ADMIN"]);
        let spec = edited(spec, "--network-add back").unwrap();
        let spec = edited(spec, "--network-add front --network-rm back").unwrap();
        assert_eq!(spec.network.attachments()[0].network, "front");
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        let global = ServiceSpec { mode: ServiceMode::Global, ..ServiceSpec::default() };
        assert!(edited(global, "--replicas 2").unwrap_err().to_string().contains("--replicas"));
        assert!(edited(ServiceSpec::default(), "--max-concurrent 2").unwrap_err().to_string().contains("concurrent"));
    }
}
