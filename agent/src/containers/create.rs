//! Making containers: what a request, an image and the node's rules add up to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use image::manifest::RunConfig;
use image::store::Image;
use model::{
    ContainerId, ContainerSpec, HealthTest, Healthcheck, MountSource, NetworkId, NetworkMode, PortSpec, Protocol,
    RunIntent, Task, TaskState, TaskStatus, VolumeSpec, check_object_name, check_port_count,
};

use super::record::{Record, TaskRef, VolumeUse};
use super::state::{Entry, State};
use super::{CreateContainer, Created, Shared, inherit, names};
use crate::health::Check;
use crate::mounts::{VolumeRecord, Volumes};
use crate::task::{Goal, Hooks, Machine, Policy, Saved};
use crate::{Error, Result, bundle, clock, random, signal};

/// Docker's grace period.
const GRACE: std::time::Duration = std::time::Duration::from_secs(10);
/// How often a generated name may clash.
const NAME_ATTEMPTS: u32 = 32;

impl Shared {
    pub async fn create(self: Arc<Self>, request: CreateContainer) -> Result<Created> {
        let CreateContainer { name, mut spec, network, mut ports, auto_remove, publish_all, task, contents } = request;
        if let Some(name) = &name {
            check_object_name("container", name)?;
        }
        spec.log = spec.log.over(self.executor.default_log());
        self.executor.check(&spec, &network).await?;
        check_shared(&network, &spec)?;
        let mut warnings = check_ports(&network, &mut ports)?;
        if matches!(network, NetworkMode::Networks(_)) {
            warnings.extend(self.executor.networks().warnings());
        }
        let image = self.executor.image(&spec.image).await?;
        check_words(&spec)?;
        check_exposed(&spec)?;
        spec.exposed.extend(image.config.config.exposed_ports.keys().map(|port| with_protocol(port)));
        spec.exposed.sort();
        spec.exposed.dedup();
        if publish_all && matches!(network, NetworkMode::Networks(_)) {
            publish_exposed(&mut ports, &spec.exposed);
        }
        check_port_count(ports.len()).map_err(|error| Error::Spec {
            key: "published ports",
            value: ports.len().to_string(),
            reason: error.to_string(),
        })?;
        let id = ContainerId::from_random(random::bits256()?);
        let mut record = Record {
            id,
            name: String::new(),
            network,
            ports,
            auto_remove,
            task,
            image_id: String::new(),
            args: Vec::new(),
            labels: BTreeMap::new(),
            created_at: clock::wall(),
            attachments: Vec::new(),
            volumes: Vec::new(),
            intent: RunIntent::default(),
            life: Saved { goal: Goal::Exist, reached: TaskState::Accepted, ..Saved::default() },
            status: TaskStatus { state: TaskState::Accepted, ..TaskStatus::default() },
            spec,
        };
        record.labels.clone_from(&record.spec.labels);
        let mut mounts = inherit::mounts(&self.state(), &record)?;
        self.name_images(&mut mounts).await?;
        warnings.extend(inherit::warnings(&mounts, crate::mounts::has_selinux()));
        record.spec.mounts = mounts;
        let policy = complete(&mut record, &image, self.executor.volumes(), &BTreeSet::new())?;
        let machine = Machine::new(policy, Goal::Exist);
        let anonymous: Vec<String> =
            record.volumes.iter().filter(|volume| volume.anonymous).map(|volume| volume.name.clone()).collect();
        let entered = match self.executor.hand_over(&record, contents).await {
            Ok(()) => self.enter(record, name, machine, &image.config.config).await,
            Err(error) => Err(error),
        };
        if entered.is_err() {
            self.executor.take_back(id).await;
            self.executor.volumes().forget(anonymous.iter().map(String::as_str));
            anonymous.iter().for_each(|name| self.db.delete_volume(name));
        }
        let record = entered?;
        self.notices.of_container(&record, "create", &[]);
        self.announce(id, false);
        Ok(Created { id, name: record.name, warnings })
    }

    /// Gives a container its name, addresses and ports, and records it. On disk when this returns.
    async fn enter(
        &self,
        mut record: Record,
        name: Option<String>,
        machine: Machine,
        run: &RunConfig,
    ) -> Result<Record> {
        let id = record.id;
        let record = {
            let mut state = self.state();
            record.name = free_name(&state, name)?;
            record.network = match &record.network {
                NetworkMode::Container(name) => NetworkMode::Container(state.resolve(name)?.to_string()),
                // Of a project's one-off container, links name services.
                other if record.project().is_some() => self.executor.networks().canonical(other)?,
                other => linked(&state, self.executor.networks().canonical(other)?)?,
            };
            record.attachments = self.executor.networks().addresses(&record, &held_addresses(&state, id))?;
            self.executor.networks().bind_ports(&record.network, &mut record.ports)?;
            check_families(&record)?;
            self.executor.networks().choose_ports(&mut record.ports, &held_ports(&state))?;
            // One may have been removed since it was looked for; from here on the container is among its users.
            record.volumes = volume_uses(&record, run, self.executor.volumes(), &BTreeSet::new())?;
            state.entries.insert(id, Entry::new(record.clone(), machine));
            record
        };
        let volumes = self.executor.volumes().of(&record);
        if let Err(error) = self.db.create_container(&record, &volumes).await {
            self.state().entries.remove(&id);
            return Err(error);
        }
        Ok(record)
    }

    /// Notes which images are meant by those that are mounted.
    pub async fn name_images(&self, mounts: &mut [model::Mount]) -> Result<()> {
        for mount in mounts {
            if let MountSource::Image { image, id: id @ None, .. } = &mut mount.source {
                *id = Some(self.executor.image(image).await?.id.to_string());
            }
        }
        Ok(())
    }

    /// Records the container of a task; its image and networks are looked for when it is prepared, so that what is missing
    /// rejects the task.
    pub fn create_for_task(self: &Arc<Self>, task: &Task, goal: Goal) -> Result<()> {
        let id = ContainerId::from_random(random::bits256()?);
        let mut spec = task.spec.container.clone();
        check_labels(&spec.labels)?;
        check_words(&spec)?;
        spec.log = spec.log.over(self.executor.default_log());
        let mut record = Record {
            id,
            name: task.name.clone(),
            spec,
            network: task.spec.network.clone(),
            ports: Vec::new(),
            auto_remove: false,
            task: Some(TaskRef::of(task)),
            image_id: String::new(),
            args: Vec::new(),
            labels: task.spec.container.labels.clone(),
            created_at: clock::wall(),
            attachments: Vec::new(),
            volumes: Vec::new(),
            intent: task.intent,
            life: Saved {
                goal,
                reached: TaskState::Accepted,
                stopped: task.intent.stopped,
                restarts_done: task.intent.restarts,
                ..Saved::default()
            },
            status: TaskStatus::default(),
        };
        let machine = Machine::resume(policy(&record, None)?, record.life.clone());
        let mut state = self.state();
        record.name = free_name(&state, Some(record.name))?;
        let mut entry = Entry::new(record, machine);
        entry.refresh(clock::now());
        self.db.save_container(&entry.record);
        self.notices.of_container(&entry.record, "create", &[]);
        state.entries.insert(id, entry);
        Ok(())
    }
}

/// The label of containers that are a RUN of a build: no list shows them, and the next daemon removes those that it finds.
pub const BUILD_LABEL: &str = "io.orca.build";

/// Refuses the label that makes a container a build's: such a container would go with the daemon.
///
/// # Errors
/// Naming it.
pub fn check_labels(labels: &BTreeMap<String, String>) -> Result<()> {
    match labels.get(BUILD_LABEL) {
        None => Ok(()),
        Some(value) => {
            let reason = "Orca marks the steps of builds with it: leave it out".to_owned();
            Err(Error::Spec { key: "label", value: format!("{BUILD_LABEL}={value}"), reason })
        }
    }
}

/// Adds what the image says: id, args, labels, volumes; returns the policy that follows. Volumes that are `doomed` are not taken
/// over.
pub fn complete(record: &mut Record, image: &Image, volumes: &Volumes, doomed: &BTreeSet<String>) -> Result<Policy> {
    let run = &image.config.config;
    record.image_id = image.id.to_string();
    record.args = bundle::args(&record.spec, run)?;
    record.labels = run.labels.clone();
    record.labels.remove(BUILD_LABEL);
    record.labels.extend(record.spec.labels.clone());
    record.volumes = volume_uses(record, run, volumes, doomed)?;
    policy(record, Some(run))
}

/// The volumes of a container by where they are mounted. Anonymous ones are found once, and kept: a task's container takes over
/// those that the one before it in its slot has left.
fn volume_uses(
    record: &Record,
    run: &RunConfig,
    volumes: &Volumes,
    doomed: &BTreeSet<String>,
) -> Result<Vec<VolumeUse>> {
    let anonymous = |target: &str, spec: &VolumeSpec| -> Result<VolumeUse> {
        let owner = record.task.filter(|task| task.volumes_since.is_some()).map(|task| task.place(target));
        let kept = record.volumes.iter().find(|volume| volume.target == target).map(|volume| volume.name.clone());
        let since = record.task.and_then(|task| task.volumes_since).unwrap_or(0);
        let left = || owner.as_ref().and_then(|owner| volumes.left_for(owner, since, doomed));
        let name = match kept.or_else(left) {
            Some(name) => name,
            None => crate::mounts::anonymous_name()?,
        };
        let (spec, created_at) = (spec.clone(), clock::wall());
        volumes.ensure(VolumeRecord { name: name.clone(), spec, created_at, anonymous: true, owner })?;
        Ok(VolumeUse { target: target.into(), name, anonymous: true })
    };
    let mut uses = Vec::new();
    for mount in &record.spec.mounts {
        let MountSource::Volume { name, spec, .. } = &mount.source else { continue };
        uses.push(match name {
            Some(name) => {
                let (name, target) = (name.clone(), mount.target.clone());
                volumes.ensure(VolumeRecord {
                    name: name.clone(),
                    spec: spec.clone(),
                    created_at: clock::wall(),
                    anonymous: false,
                    owner: None,
                })?;
                VolumeUse { target, name, anonymous: false }
            }
            None => anonymous(&mount.target, spec)?,
        });
    }
    let mounted: BTreeSet<&str> = record.spec.mounts.iter().map(|mount| mount.target.trim_end_matches('/')).collect();
    for target in run.volumes.keys().filter(|target| !mounted.contains(target.trim_end_matches('/'))) {
        uses.push(anonymous(target, &VolumeSpec::default())?);
    }
    Ok(uses)
}

/// The volumes that are to go with a container that is being removed.
pub fn doomed_volumes(state: &State) -> BTreeSet<String> {
    let doomed =
        state.entries.values().filter(|entry| matches!(entry.machine.goal(), Goal::Remove { volumes: true, .. }));
    doomed.flat_map(|entry| &entry.record.volumes).map(|volume| volume.name.clone()).collect()
}

/// How a container is restarted, ended and probed.
pub fn policy(record: &Record, image: Option<&RunConfig>) -> Result<Policy> {
    let spec = &record.spec;
    let signal = spec.stop_signal.as_deref().or_else(|| image?.stop_signal.as_deref()).filter(|text| !text.is_empty());
    let shell = image.map_or_else(|| vec!["/bin/sh".into(), "-c".into()], RunConfig::shell_prefix);
    let of_image = image.and_then(|run| run.healthcheck.as_ref()).map(healthcheck);
    Ok(Policy {
        restart: spec.restart.clone(),
        stop_signal: signal.map_or(Ok(signal::TERM), signal::parse)?,
        grace: spec.stop_grace_period.unwrap_or(GRACE),
        health: Check::of(spec.healthcheck.as_ref(), of_image.as_ref(), &shell),
        hooks: Hooks::of(spec),
        auto_remove: record.auto_remove,
        standalone: record.task.is_none(),
    })
}

/// An image's health check in the model's words.
fn healthcheck(image: &image::manifest::Healthcheck) -> Healthcheck {
    let duration =
        |nanos: i64| u64::try_from(nanos).ok().filter(|nanos| *nanos > 0).map(std::time::Duration::from_nanos);
    let test = match image.test.split_first() {
        Some((word, _)) if word == "NONE" => Some(HealthTest::Disabled),
        Some((word, args)) if word == "CMD" => Some(HealthTest::Exec(args.to_vec())),
        Some((word, args)) if word == "CMD-SHELL" => Some(HealthTest::Shell(args.join(" "))),
        _ => None,
    };
    Healthcheck {
        test,
        interval: duration(image.interval),
        timeout: duration(image.timeout),
        retries: u32::try_from(image.retries).ok().filter(|retries| *retries > 0),
        start_period: duration(image.start_period),
        start_interval: duration(image.start_interval),
    }
}

/// `80` as `80/tcp`.
fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

fn exposed(text: &str) -> Option<(u16, Protocol)> {
    let (number, protocol) = text.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    Some((number.parse().ok().filter(|number| *number > 0)?, protocol))
}

/// The longest name of a host that Linux takes (sethostname(2)), in bytes.
const HOST_NAME_MAX: usize = 64;

/// What the kernel would refuse only when the container starts, in its own words.
fn check_words(spec: &ContainerSpec) -> Result<()> {
    let names = [("hostname", &spec.hostname), ("domainname", &spec.domainname)];
    let mut given = names.into_iter().filter_map(|(key, name)| Some((key, name.as_ref()?)));
    if let Some((key, name)) = given.find(|(_, name)| name.len() > HOST_NAME_MAX) {
        let reason = format!("it has {} bytes, and Linux takes {HOST_NAME_MAX}", name.len());
        return Err(Error::Spec { key, value: name.chars().take(HOST_NAME_MAX).collect(), reason });
    }
    match &spec.working_dir {
        Some(path) if !path.is_empty() && !path.starts_with('/') => {
            let reason = "it needs to be an absolute path".into();
            Err(Error::Spec { key: "working directory", value: path.clone(), reason })
        }
        _ => Ok(()),
    }
}

fn check_exposed(spec: &ContainerSpec) -> Result<()> {
    match spec.exposed.iter().find(|text| exposed(text).is_none()) {
        None => Ok(()),
        Some(text) => {
            let reason = "expected PORT/PROTOCOL such as 80/tcp".into();
            Err(Error::Spec { key: "exposed port", value: text.clone(), reason })
        }
    }
}

/// Adds what is exposed and not published yet.
fn publish_exposed(ports: &mut Vec<PortSpec>, all: &[String]) {
    for (target, protocol) in all.iter().filter_map(|text| exposed(text)) {
        if check_port_count(ports.len()).is_err() {
            // They are refused; how many more there are matters no more.
            return;
        }
        if !ports.iter().any(|port| port.target == target && port.protocol == protocol) {
            let mode = model::PublishMode::Host;
            ports.push(PortSpec { host_ip: None, published: None, target, protocol, mode, choose_from: None });
        }
    }
}

/// What belongs to the network namespace is its owner's to say.
fn check_shared(network: &NetworkMode, spec: &ContainerSpec) -> Result<()> {
    if !network.is_shared() {
        return Ok(());
    }
    let own = [
        ("hostname", spec.hostname.clone()),
        ("extra hosts", spec.extra_hosts.first().map(|entry| entry.host.clone())),
        ("dns", spec.dns.first().map(ToString::to_string)),
    ];
    match own.into_iter().find_map(|(key, value)| Some((key, value?))) {
        None => Ok(()),
        Some((key, value)) => {
            let reason = "the container whose network is shared says that".into();
            Err(Error::Spec { key, value, reason })
        }
    }
}

fn check_ports(network: &NetworkMode, ports: &mut Vec<PortSpec>) -> Result<Vec<String>> {
    let is_local = |port: &&PortSpec| port.host_ip.is_some_and(|address| address.is_ipv6() && address.is_loopback());
    if let Some(port) = ports.iter().filter(|port| port.protocol != Protocol::Tcp).find(is_local) {
        let value = format!("[::1]:{}/{}", port.target, port.protocol);
        let reason = "on ::1 only TCP can be published: use 127.0.0.1, or another address of the node".into();
        return Err(Error::Spec { key: "published address", value, reason });
    }
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    if ports.iter().any(|port| port.protocol == Protocol::Sctp)
        && net::netd::can_bind(Protocol::Sctp, any).is_err_and(|error| error.kind() == ErrorKind::Unsupported)
    {
        let (value, reason) = ("sctp".to_owned(), "this host's kernel has no SCTP (module sctp): load it".into());
        return Err(Error::Spec { key: "protocol of a published port", value, reason });
    }
    match network {
        NetworkMode::Networks(_) => Ok(Vec::new()),
        _ if ports.is_empty() => Ok(Vec::new()),
        NetworkMode::Container(_) | NetworkMode::Service(_) => Err(Error::PortsWithoutNetwork("container")),
        NetworkMode::None => Err(Error::PortsWithoutNetwork("none")),
        NetworkMode::Host => {
            ports.clear();
            Ok(vec!["Published ports are discarded when using host network mode".into()])
        }
    }
}

/// Refuses a published address that leads to nowhere: of a family that the container has no address of. TCP on IPv6 is
/// relayed to IPv4.
fn check_families(record: &Record) -> Result<()> {
    let has = |v4: bool| record.attachments.iter().flat_map(|on| &on.addresses).any(|address| address.is_ipv4() == v4);
    let leads_nowhere = |port: &&PortSpec| match port.host_ip {
        Some(IpAddr::V4(_)) => !has(true),
        Some(IpAddr::V6(_)) => !has(false) && port.protocol != Protocol::Tcp,
        None => false,
    };
    match record.ports.iter().find(leads_nowhere).filter(|_| !record.attachments.is_empty()) {
        None => Ok(()),
        Some(port) => {
            let value = port.host_ip.map(|address| address.to_string()).unwrap_or_default();
            let reason = "the container has no address of that family: connect it to a network that has one".into();
            Err(Error::Spec { key: "published address", value, reason })
        }
    }
}

/// Links by the ids of the containers that they lead to, so that they outlive a change of names.
///
/// # Errors
/// [`Error::NoSuchContainer`], [`Error::AmbiguousContainer`].
pub fn linked(state: &State, mut network: NetworkMode) -> Result<NetworkMode> {
    if let NetworkMode::Networks(specs) = &mut network {
        for name in specs.iter_mut().flat_map(|spec| spec.links.values_mut()) {
            *name = state.resolve(name)?.short();
        }
    }
    Ok(network)
}

fn free_name(state: &State, name: Option<String>) -> Result<String> {
    let Some(name) = name else {
        for attempt in 0..NAME_ATTEMPTS {
            let bits = random::bits128()?;
            let name = names::generate(u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0), attempt);
            if state.by_name(&name).is_none() {
                return Ok(name);
            }
        }
        return Ok(format!("container_{:032x}", random::bits128()?));
    };
    match state.by_name(&name) {
        None => Ok(name),
        Some(holder) => Err(Error::NameInUse { name, holder: holder.short() }),
    }
}

/// The addresses of all containers but one.
pub fn held_addresses(state: &State, but: ContainerId) -> BTreeMap<NetworkId, BTreeSet<IpAddr>> {
    let mut held: BTreeMap<NetworkId, BTreeSet<IpAddr>> = BTreeMap::new();
    for entry in state.entries.values().filter(|entry| entry.record.id != but) {
        for attachment in &entry.record.attachments {
            held.entry(attachment.network).or_default().extend(attachment.addresses.iter().copied());
        }
    }
    held
}

fn held_ports(state: &State) -> Vec<PortSpec> {
    state.entries.values().flat_map(|entry| entry.record.ports.iter().cloned()).collect()
}
