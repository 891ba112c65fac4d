//! `preflight`: what would keep services from running here. Looks, and changes nothing.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use api::node as wire;
use image::Store;
use model::{ContainerSpec, MountSource, NetworkMode, PortSpec, Protocol, ServiceSpec};
use tonic::Status;

use super::containers::is_up;
use super::{NodeService, blocking};
use crate::containers::mount_warnings;
use crate::network::plan::ports_clash;

/// Ports that somebody of this node publishes.
struct Published {
    /// Service or container.
    holder: String,
    ports: Vec<PortSpec>,
}

pub async fn preflight(service: &NodeService, request: wire::PreflightRequest) -> Result<wire::PreflightReply, Status> {
    let specs =
        request.services.into_iter().map(TryInto::try_into).collect::<Result<Vec<ServiceSpec>, api::Error>>()?;
    let published = published(service);
    let warnings = warnings(&specs, service.parts.networks.warnings());
    let elsewhere = specs.iter().filter(|spec| !spec.ports.is_empty()).filter_map(|spec| {
        let network = service.parts.networks.all_elsewhere(&spec.network)?;
        Some(format!(
            "service {}: its ports cannot be published: on network {network} its containers are reached at their own addresses",
            spec.key()
        ))
    });
    let elsewhere: Vec<String> = elsewhere.collect();
    let store = service.containers().images().clone();
    let mut problems = blocking("the preflight", move || Ok(problems(&specs, &store, &published))).await?;
    problems.extend(elsewhere);
    Ok(wire::PreflightReply { problems, warnings })
}

fn published(service: &NodeService) -> Vec<Published> {
    let assigned = service.parts.networks.assigned();
    let services = assigned.endpoints.values();
    let services = services.map(|endpoint| Published { holder: endpoint.name.clone(), ports: endpoint.ports.clone() });
    let standalone = service.containers().list().into_iter().filter(|view| view.task.is_none() && is_up(view));
    services.chain(standalone.map(|view| Published { holder: view.name, ports: view.ports })).collect()
}

/// What the user should know of services that can run all the same; `network` is of those that have addresses.
fn warnings(specs: &[ServiceSpec], network: Vec<String>) -> Vec<String> {
    let mut found = Vec::new();
    if specs.iter().any(|spec| matches!(spec.network, NetworkMode::Networks(_))) {
        found.extend(network);
    }
    let has_selinux = crate::mounts::has_selinux();
    for warning in specs.iter().flat_map(|spec| mount_warnings(&spec.container.mounts, has_selinux)) {
        if !found.contains(&warning) {
            found.push(warning);
        }
    }
    found
}

/// Each problem once, in the order of the services.
fn problems(specs: &[ServiceSpec], store: &Store, published: &[Published]) -> Vec<String> {
    let (own, others): (Vec<_>, Vec<_>) =
        published.iter().partition(|published| specs.iter().any(|spec| spec.name == published.holder));
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for spec in specs {
        let mounted = spec.container.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Image { image, .. } => Some(image),
            _ => None,
        });
        let images = std::iter::once(&spec.container.image).chain(mounted);
        let missing = images.filter_map(|image| image_problem(image, store));
        let missing = missing.chain(bind_problems(&spec.container)).chain(device_problems(&spec.container));
        let ports = spec.ports.iter().filter_map(|port| port_problem(port, &own, &others));
        let new = missing.chain(ports).filter(|problem| seen.insert(problem.clone()));
        found.extend(new.map(|problem| format!("service {}: {problem}", spec.key())));
    }
    found
}

fn image_problem(image: &str, store: &Store) -> Option<String> {
    match store.get(image) {
        Ok(_) => None,
        Err(image::Error::NoSuchImage(name)) => Some(format!("No such image: {name}; pull, import or load it")),
        Err(error) => Some(error.to_string()),
    }
}

fn bind_problems(spec: &ContainerSpec) -> impl Iterator<Item = String> {
    spec.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Bind { path, create: false, .. } => path_problem("bind source", path),
        MountSource::Bind { create: true, .. }
        | MountSource::Volume { .. }
        | MountSource::Tmpfs { .. }
        | MountSource::Image { .. }
        | MountSource::VolumesOf { .. } => None,
    })
}

fn device_problems(spec: &ContainerSpec) -> impl Iterator<Item = String> {
    spec.devices.iter().filter_map(|device| path_problem("device", &device.source))
}

fn path_problem(what: &str, path: &str) -> Option<String> {
    match Path::new(path).try_exists() {
        Ok(true) => None,
        Ok(false) => Some(format!("{what} path does not exist: {path}")),
        Err(error) => Some(format!("{what} path {path} cannot be looked at: {error}")),
    }
}

/// A port that one of the services publishes already stays theirs.
fn port_problem(port: &PortSpec, own: &[&Published], others: &[&Published]) -> Option<String> {
    let number = port.published?;
    let address = port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let has = |published: &Published| published.ports.iter().any(|other| ports_clash(port, other));
    let taken =
        |by: &str| format!("bind for {address}:{number}/{} failed: port is already allocated{by}", port.protocol);
    if let Some(other) = others.iter().find(|other| has(other)) {
        return Some(taken(&format!(" to {}", other.holder)));
    }
    if own.iter().any(|own| has(own)) {
        return None;
    }
    match bind_patiently(SocketAddr::new(address, number), port.protocol) {
        Ok(()) => None,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Some(taken(" to another process of this host")),
        Err(error) => Some(format!("bind for {address}:{number}/{} failed: {error}", port.protocol)),
    }
}

/// How long a port that has just been given up may still be held: until netd has the next table.
const RELEASE: Duration = Duration::from_secs(1);

/// Tries again for a moment: after `down`, a port is free a little later than the service is gone.
fn bind_patiently(address: SocketAddr, protocol: Protocol) -> std::io::Result<()> {
    let begin = std::time::Instant::now();
    loop {
        match try_bind(address, protocol) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && begin.elapsed() < RELEASE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
}

/// Binds for a moment; listening tells also of sockets that share their port.
fn try_bind(address: SocketAddr, protocol: Protocol) -> std::io::Result<()> {
    match protocol {
        Protocol::Tcp => TcpListener::bind(address).map(drop),
        Protocol::Udp => UdpSocket::bind(address).map(drop),
        Protocol::Sctp => net::netd::can_bind(protocol, address),
    }
}

#[cfg(test)]
mod tests {
    use model::{Device, Mount, Propagation, PublishMode};

    use super::*;

    fn spec(name: &str, ports: Vec<PortSpec>) -> ServiceSpec {
        let bind = |path: &str, create| Mount {
            target: "/x".into(),
            read_only: false,
            source: MountSource::Bind {
                path: path.into(),
                create,
                propagation: Propagation::default(),
                recursive: Default::default(),
                relabel: None,
            },
        };
        let container = ContainerSpec {
            image: "missing:1".into(),
            mounts: vec![bind("/nonexistent/a", false), bind("/nonexistent/b", true), bind("/", false)],
            devices: vec![Device {
                source: "/dev/nonexistent".into(),
                target: "/dev/x".into(),
                permissions: "rwm".into(),
            }],
            ..ContainerSpec::default()
        };
        ServiceSpec { name: name.into(), container, ports, ..ServiceSpec::default() }
    }

    fn port(number: u16) -> PortSpec {
        let host_ip = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        PortSpec {
            host_ip,
            published: Some(number),
            target: 80,
            protocol: Protocol::Tcp,
            mode: PublishMode::Ingress,
            choose_from: None,
        }
    }

    #[test]
    fn each_problem_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let found = problems(&[spec("web", Vec::new()), spec("other", Vec::new())], &store, &[]);
        assert_eq!(
            found,
            [
                "service web: No such image: missing:1; pull, import or load it",
                "service web: bind source path does not exist: /nonexistent/a",
                "service web: device path does not exist: /dev/nonexistent",
            ]
        );
    }

    #[test]
    fn warnings_are_for_those_whom_they_concern() {
        let closed = || vec!["closed".to_owned()];
        let web = spec("web", Vec::new());
        assert_eq!(warnings(std::slice::from_ref(&web), closed()), closed());
        assert_eq!(warnings(&[ServiceSpec { network: NetworkMode::None, ..web }], closed()), Vec::<String>::new());
    }

    #[test]
    fn taken_ports_name_their_holder_and_own_ones_are_no_problem() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = listener.local_addr().unwrap().port();
        let published = [Published { holder: "db".into(), ports: vec![port(number)] }];
        let all: Vec<&Published> = published.iter().collect();
        assert!(port_problem(&port(number), &[], &all).unwrap().ends_with("port is already allocated to db"));
        assert_eq!(port_problem(&port(number), &all, &[]), None);
        assert!(port_problem(&port(number), &[], &[]).unwrap().contains("another process"));
        drop(listener);
        assert_eq!(port_problem(&port(number), &[], &[]), None);
    }
}
