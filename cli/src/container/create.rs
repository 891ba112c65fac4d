//! The flags that `run` and `create` share, and the container that they describe.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use model::{
    ContainerSpec, DeviceRequest, HealthTest, Healthcheck, HostEntry, Mount, NetworkMode, PortSpec, Reservations,
    Resources, RestartPolicy, Ulimit,
};

use super::isolation::IsolationArgs;
use super::limits::LimitArgs;
use super::{flags, mounts};
use crate::error::{Error, Result};
use crate::network::{First, attachments};

/// What container to make.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the container
    #[arg(long)]
    pub name: Option<String>,
    /// Remove the container, and its anonymous volumes, when it ends
    #[arg(long)]
    pub rm: bool,
    /// Allocate a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Keep standard input open
    #[arg(short, long)]
    pub interactive: bool,
    /// Set a variable: KEY=VALUE, or KEY for the value that it has here
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,
    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Mount a volume or a path: [SOURCE:]TARGET[:ro]
    #[arg(short, long, value_name = "[SOURCE:]TARGET[:OPTIONS]")]
    pub volume: Vec<String>,
    /// Mount a file system in memory
    #[arg(long, value_name = "TARGET[:OPTIONS]", value_parser = mounts::tmpfs)]
    pub tmpfs: Vec<Mount>,
    /// Mount a volume, path, image or file system in memory: type=…,source=…,target=…
    #[arg(long, value_name = "FIELDS")]
    pub mount: Vec<String>,
    /// Mount everything that another container mounts
    #[arg(long, value_name = "CONTAINER[:ro]", value_parser = mounts::volumes_from)]
    pub volumes_from: Vec<Mount>,
    /// Volume driver: local
    #[arg(long, value_name = "DRIVER")]
    pub volume_driver: Option<String>,
    /// Publish a port: [IP:][PUBLISHED:]TARGET[/udp]
    #[arg(short, long, value_name = "PORT")]
    pub publish: Vec<String>,
    /// Say that the container has a port, which publishes it with -P alone: PORT[-PORT][/udp]
    #[arg(long, value_name = "PORT")]
    pub expose: Vec<String>,
    /// Publish every port that the image or --expose names, on ports that are free
    #[arg(short = 'P', long)]
    pub publish_all: bool,
    /// Connect to a network, to `none` or to `host`: NAME, or name=NAME,ip=ADDRESS,alias=NAME,…
    #[arg(long, alias = "net", value_name = "NETWORK")]
    pub network: Vec<String>,
    /// A further name on the network
    #[arg(long, alias = "net-alias", value_name = "NAME")]
    pub network_alias: Vec<String>,
    /// A name of its own for another container, without environment variables: CONTAINER[:ALIAS]
    #[arg(long, value_name = "CONTAINER[:ALIAS]")]
    pub link: Vec<String>,
    /// IPv4 address on the network
    #[arg(long)]
    pub ip: Option<std::net::Ipv4Addr>,
    /// IPv6 address on the network
    #[arg(long)]
    pub ip6: Option<std::net::Ipv6Addr>,
    /// A further address on the network, for the link alone
    #[arg(long, value_name = "ADDRESS")]
    pub link_local_ip: Vec<std::net::IpAddr>,
    /// Link address on the network
    #[arg(long, value_name = "ADDRESS")]
    pub mac_address: Option<model::MacAddress>,
    #[command(flatten)]
    pub limits: LimitArgs,
    /// User and group, names or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// Supplementary groups
    #[arg(long, value_name = "GROUP")]
    pub group_add: Vec<String>,
    /// Working directory in the container
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Replace the image's entrypoint; empty to clear it
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Host name
    #[arg(short = 'h', long)]
    pub hostname: Option<String>,
    /// NIS domain name
    #[arg(long)]
    pub domainname: Option<String>,
    /// Label: KEY[=VALUE]
    #[arg(short, long, value_name = "KEY[=VALUE]", value_parser = flags::label)]
    pub label: Vec<String>,
    /// Read labels from a file: a KEY[=VALUE] a line
    #[arg(long, value_name = "FILE")]
    pub label_file: Vec<std::path::PathBuf>,
    /// OCI annotation
    #[arg(long, value_name = "KEY=VALUE")]
    pub annotation: Vec<String>,
    /// Mount the root file system read-only
    #[arg(long)]
    pub read_only: bool,
    /// All capabilities and devices, no confinement
    #[arg(long)]
    pub privileged: bool,
    /// Add a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_drop: Vec<String>,
    /// Restart policy: no, always, unless-stopped, on-failure[:max]
    #[arg(long, value_name = "POLICY", value_parser = flags::restart)]
    pub restart: Option<RestartPolicy>,
    /// Signal that asks the container to end
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL
    #[arg(long, value_name = "SECONDS")]
    pub stop_timeout: Option<u64>,
    /// Entry for /etc/hosts
    #[arg(long, value_name = "HOST:ADDRESS", value_parser = flags::extra_host)]
    pub add_host: Vec<HostEntry>,
    /// Name server
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<std::net::IpAddr>,
    /// Search domain
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// resolv.conf option
    #[arg(long, alias = "dns-opt", value_name = "OPTION")]
    pub dns_option: Vec<String>,
    /// Kernel parameter of the container's namespaces
    #[arg(long, value_name = "KEY=VALUE")]
    pub sysctl: Vec<String>,
    /// Resource limit: NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT", value_parser = flags::ulimit)]
    pub ulimit: Vec<(String, Ulimit)>,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES", value_parser = flags::bytes)]
    pub shm_size: Option<u64>,
    /// Make a host device available: PATH[:PATH][:rwm], or a CDI device, vendor.com/class=name
    #[arg(long, value_name = "DEVICE", value_parser = flags::device_flag)]
    pub device: Vec<flags::DeviceFlag>,
    /// GPUs to use: all, a number, or "device=ID,…"
    #[arg(long, value_name = "GPUS", value_parser = flags::gpus)]
    pub gpus: Vec<DeviceRequest>,
    /// Adjust the OOM killer's score
    #[arg(long, value_name = "SCORE", allow_hyphen_values = true)]
    pub oom_score_adj: Option<i32>,
    /// Where output goes: json-file, local, journald, syslog, none
    #[arg(long, value_name = "DRIVER")]
    pub log_driver: Option<String>,
    /// Option of the logging driver
    #[arg(long, value_name = "KEY=VALUE")]
    pub log_opt: Vec<String>,
    /// Health check: a shell command
    #[arg(long, value_name = "COMMAND")]
    pub health_cmd: Option<String>,
    /// Time between checks
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub health_interval: Option<Duration>,
    /// Time that a check may take
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub health_timeout: Option<Duration>,
    /// Failures in a row that mean unhealthy
    #[arg(long, value_name = "NUMBER")]
    pub health_retries: Option<u32>,
    /// Time in which failures do not count
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub health_start_period: Option<Duration>,
    /// Time between checks in that time
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    pub health_start_interval: Option<Duration>,
    /// No health check, not even the image's
    #[arg(long)]
    pub no_healthcheck: bool,
    /// Run the command below a first process that hands signals on and takes leave of orphans
    #[arg(long)]
    pub init: bool,
    #[command(flatten)]
    pub streams: super::run::StreamArgs,
    #[command(flatten)]
    pub pull: crate::registry::PullFlags,
    /// Namespaces, confinement, limits
    #[command(flatten)]
    pub isolation: IsolationArgs,
    /// Print help; -h is the host name here, as in Docker
    #[arg(long, action = clap::ArgAction::Help)]
    pub help: Option<bool>,
    /// Image, then the command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "IMAGE")]
    pub image_and_command: Vec<String>,
}

impl CreateArgs {
    /// The request that these flags make.
    pub fn request(self) -> Result<api::node::CreateContainerRequest> {
        let ports = self.ports()?;
        let network = self.network_mode()?;
        let name = self.name.clone();
        let (auto_remove, publish_all) = (self.rm, self.publish_all);
        if auto_remove && self.restart.as_ref().is_some_and(|r| r.condition != model::RestartCondition::No) {
            return Err(Error::Flag {
                flag: "--restart",
                value: "with --rm".into(),
                reason: "a container that is removed when it ends cannot be restarted".into(),
            });
        }
        Ok(api::node::CreateContainerRequest {
            secrets: Vec::new(),
            configs: Vec::new(),
            name,
            spec: Some(self.spec()?.into()),
            network: Some(network.into()),
            ports: ports.into_iter().map(Into::into).collect(),
            auto_remove,
            publish_all,
        })
    }

    fn ports(&self) -> Result<Vec<PortSpec>> {
        flags::all_ports(&self.publish)
    }

    fn network_mode(&self) -> Result<NetworkMode> {
        let refuse =
            |flag, value: &str, reason: &str| Err(Error::Flag { flag, value: value.into(), reason: reason.into() });
        let (aliases, links) = (self.network_alias.clone(), self.link.clone());
        let link_local = self.link_local_ip.clone();
        let first = First { aliases, links, ip: self.ip, ip6: self.ip6, mac: self.mac_address, link_local };
        attachments(&self.network, first).or_else(|reason| refuse("--network", &self.network.join(" "), &reason))
    }

    fn mounts(&self) -> Result<Vec<Mount>> {
        let here =
            std::env::current_dir().map_err(|source| Error::File { action: "find", path: ".".into(), source })?;
        parse("--volume-driver", self.volume_driver.as_deref().unwrap_or_default(), mounts::driver)?;
        let volumes = self.volume.iter().map(|value| parse("--volume", value, |text| mounts::volume(text, &here)));
        let long = self.mount.iter().map(|value| parse("--mount", value, |text| mounts::long(text, &here)));
        let others = self.tmpfs.iter().chain(&self.volumes_from).cloned().map(Ok);
        let all: Vec<Mount> = volumes.chain(long).chain(others).collect::<Result<_>>()?;
        for (index, mount) in all.iter().enumerate().filter(|(_, mount)| !mount.target.is_empty()) {
            if all[..index].iter().any(|other| other.target.trim_end_matches('/') == mount.target.trim_end_matches('/'))
            {
                let reason = "two mounts have this target".into();
                return Err(Error::Flag { flag: "--mount", value: mount.target.clone(), reason });
            }
        }
        Ok(all)
    }

    fn environment(&self) -> Result<std::collections::BTreeMap<String, String>> {
        let mut items = flags::env_files(&self.env_file)?;
        items.extend(self.env.iter().cloned());
        flags::environment(&items, |key| std::env::var(key).ok()).map_err(|reason| Error::Flag {
            flag: "--env",
            value: self.env.join(" "),
            reason,
        })
    }

    fn spec(self) -> Result<ContainerSpec> {
        let mounts = self.mounts()?;
        let env = self.environment()?;
        let healthcheck = self.healthcheck();
        let exposed = self.expose.iter().map(|value| parse("--expose", value, flags::exposed));
        let exposed = exposed.collect::<Result<Vec<_>>>()?.concat();
        let limits = self.isolation.limits(self.limits.limits());
        let reservations =
            Reservations { memory: self.limits.memory_reservation.unwrap_or(0), ..Reservations::default() };
        let mut image_and_command = self.image_and_command.into_iter();
        let image = image_and_command.next().unwrap_or_default();
        let command: Vec<String> = image_and_command.collect();
        let entrypoint = self.entrypoint.map(|program| if program.is_empty() { Vec::new() } else { vec![program] });
        let (mut devices, mut device_requests) = (Vec::new(), self.gpus);
        for device in self.device {
            match device {
                flags::DeviceFlag::Path(device) => devices.push(device),
                flags::DeviceFlag::Request(request) => device_requests.push(request),
            }
        }
        let mut spec = ContainerSpec {
            image,
            entrypoint,
            command: (!command.is_empty()).then_some(command),
            env,
            working_dir: self.workdir,
            user: self.user,
            group_add: self.group_add,
            hostname: self.hostname,
            domainname: self.domainname,
            labels: flags::all_labels(&self.label_file, &self.label)?,
            annotations: flags::labels(&self.annotation),
            tty: self.tty,
            open_stdin: self.interactive,
            stop_signal: self.stop_signal,
            stop_grace_period: self.stop_timeout.map(Duration::from_secs),
            read_only: self.read_only,
            privileged: self.privileged,
            cap_add: self.cap_add,
            cap_drop: self.cap_drop,
            mounts,
            secrets: Vec::new(),
            configs: Vec::new(),
            healthcheck,
            extra_hosts: self.add_host,
            dns: self.dns,
            dns_search: self.dns_search,
            dns_options: self.dns_option,
            sysctls: flags::labels(&self.sysctl),
            ulimits: self.ulimit.into_iter().collect(),
            // As in Docker none is the default: without a limit a container could fill the node's memory.
            shm_size: self.shm_size.filter(|size| *size > 0),
            devices,
            device_requests,
            resources: Resources { limits, reservations },
            oom_score_adj: self.oom_score_adj,
            restart: self.restart.unwrap_or_default(),
            log: crate::logging::config(self.log_driver.as_deref(), &self.log_opt)?,
            exposed,
            init: self.init,
            ..ContainerSpec::default()
        };
        self.isolation.apply(&mut spec)?;
        Ok(spec)
    }

    fn healthcheck(&self) -> Option<Healthcheck> {
        let test = match &self.health_cmd {
            _ if self.no_healthcheck => Some(HealthTest::Disabled),
            Some(command) => Some(HealthTest::Shell(command.clone())),
            None => None,
        };
        let check = Healthcheck {
            test,
            interval: self.health_interval,
            timeout: self.health_timeout,
            retries: self.health_retries,
            start_period: self.health_start_period,
            start_interval: self.health_start_interval,
        };
        (check != Healthcheck::default()).then_some(check)
    }
}

fn parse<T>(flag: &'static str, value: &str, parser: impl Fn(&str) -> Result<T, String>) -> Result<T> {
    parser(value).map_err(|reason| Error::Flag { flag, value: value.chars().take(200).collect(), reason })
}
