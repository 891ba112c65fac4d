//! The messages between the agent and netd.
//!
//! A frame is a length (four bytes, big endian, at most [`MAX_FRAME`]) and that much JSON. The first frame of each side
//! says its version. Golden files hold every message of every version.

use std::io;
use std::net::SocketAddr;

use model::{MeshKey, Protocol};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::Error;
use crate::peers::Mesh;
use crate::plan::{Family, NodePlan, PortPlan};
use crate::resolve;

/// Version of these messages.
pub const VERSION: u32 = 1;
/// Bytes of the longest frame: a hundred thousand names are about ten million bytes.
pub const MAX_FRAME: usize = 64 << 20;

/// Everything that netd holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tables {
    /// Names, and who may ask.
    pub dns: resolve::Tables,
    /// Ports to keep others from taking.
    pub ports: Vec<Reservation>,
    /// Those of them whose IPv6 socket serves, since the packet filter cannot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relayed: Vec<Relayed>,
    /// The network between nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<Mesh>,
}

/// A reserved port whose IPv6 socket leads to containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relayed {
    /// Which port.
    pub reservation: Reservation,
    /// Where its connections go.
    pub backends: Vec<SocketAddr>,
}

/// A port to keep others from taking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reservation {
    /// tcp or udp.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// Only on this address; `None`: on all.
    pub host_ip: Option<std::net::IpAddr>,
}

impl From<&PortPlan> for Reservation {
    fn from(plan: &PortPlan) -> Self {
        let PortPlan { protocol, published, host_ip, backends: _, snat: _ } = plan;
        Self { protocol: *protocol, port: *published, host_ip: *host_ip }
    }
}

impl Tables {
    /// Names, and the ports that a plan publishes.
    pub fn new(dns: resolve::Tables, plan: &NodePlan) -> Self {
        let mut ports: Vec<Reservation> = plan.ports.iter().map(Reservation::from).collect();
        // A reservation of all addresses has an IPv6 socket only for TCP, where it answers.
        let datagrams = plan.ports.iter().filter(|port| port.protocol != Protocol::Tcp && port.host_ip.is_none());
        let both = datagrams.filter(|port| !port.backends_of(Family::V6).is_empty());
        ports.extend(both.map(|port| Reservation { host_ip: Some(Family::V6.unspecified()), ..port.into() }));
        let mesh = plan.mesh.as_ref().map(|plan| plan.mesh.clone());
        Self { dns, ports, relayed: plan.ports.iter().filter_map(|port| relayed(plan, port)).collect(), mesh }
    }
}

fn relayed(plan: &NodePlan, port: &PortPlan) -> Option<Relayed> {
    let (four, six) = (port.backends_of(Family::V4), port.backends_of(Family::V6));
    let is_away =
        |backend: &SocketAddr| plan.crossing().is_some_and(|(_, crossing)| crossing.away.contains_key(&backend.ip()));
    let backends = if port.host_ip.is_none() && !four.is_empty() && port.backends.iter().any(is_away) {
        // What this process sends to another node is led there by the port itself.
        vec![SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, port.published))]
    } else if six.is_empty() {
        four
    } else {
        six
    };
    let serves = port.protocol == Protocol::Tcp && port.is_on(Family::V6) && !backends.is_empty();
    serves.then(|| Relayed { reservation: port.into(), backends })
}

/// From a client to netd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// First of all.
    Hello {
        /// The client's [`VERSION`].
        version: u32,
    },
    /// Puts these in the place of the tables before.
    SetTables(Box<Tables>),
    /// Hands everything to a successor: answered by [`Reply::Handover`], then the descriptors; a second `TakeOver` says
    /// that they have arrived, and netd ends.
    TakeOver,
    /// Ends netd.
    Shutdown,
}

/// From netd to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Answer to [`Request::Hello`].
    Hello {
        /// netd's [`VERSION`].
        version: u32,
        /// Its process id.
        pid: u32,
    },
    /// Answer to [`Request::SetTables`].
    Report(Report),
    /// Answer to [`Request::TakeOver`].
    Handover(Box<Handover>),
    /// It is done.
    Done,
}

/// What netd could not do; the rest was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Ports that could not be reserved.
    pub ports: Vec<PortFailure>,
    /// Containers whose name server could not be opened.
    pub containers: Vec<ContainerFailure>,
    /// This node's end of the network between nodes, where there is to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<MeshReport>,
}

/// How a node's end of the network between nodes stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeshReport {
    /// It works, and this node has this key in it.
    Up(MeshKey),
    /// It does not, in words for the user.
    Down(String),
}

/// A port that could not be reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortFailure {
    /// Which.
    pub reservation: Reservation,
    /// Why not, in words for the user.
    pub message: String,
}

/// A container whose name server could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerFailure {
    /// Which.
    pub container: model::ContainerId,
    /// Why not, in words for the user.
    pub message: String,
}

/// What a successor gets: the tables, and what each of the descriptors that follow is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The tables in force.
    pub tables: Tables,
    /// In the order of their descriptors: two for a container (datagrams, connections), one for each reserved socket.
    pub held: Vec<Held>,
}

/// What descriptors belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// A container's name server: two descriptors.
    Container {
        /// Which container.
        container: model::ContainerId,
        /// Device and inode of its network namespace.
        namespace: (u64, u64),
    },
    /// A reserved port: so many descriptors.
    Port {
        /// Which port.
        reservation: Reservation,
        /// One, or two where IPv6 has a socket of its own.
        descriptors: usize,
    },
    /// This node's end of the network between nodes: so many queues of its device, then so many sockets, then so many queues of
    /// the device by which clients cross.
    Mesh {
        /// The private key.
        secret: Secret,
        /// How many queues.
        queues: usize,
        /// How many sockets.
        sockets: usize,
        /// How many queues by which clients cross.
        #[serde(default, skip_serializing_if = "is_zero")]
        ingress: usize,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A private key. It is shown to nobody but a successor.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub [u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// A message as a frame.
pub fn frame<T: Serialize>(message: &T) -> Result<Vec<u8>, Error> {
    let body = serde_json::to_vec(message).map_err(|error| Error::NetdMessage { reason: error.to_string() })?;
    if body.len() > MAX_FRAME {
        return Err(too_long(body.len()));
    }
    Ok([&(body.len() as u32).to_be_bytes()[..], &body].concat())
}

/// Reads a frame; `None` when the other side has ended between two.
pub(crate) async fn read<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<T>, Error> {
    let length = match stream.read_u32().await {
        Ok(length) => length as usize,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(Error::NetdMessage { reason: error.to_string() }),
    };
    if length > MAX_FRAME {
        return Err(too_long(length));
    }
    // Grown as bytes arrive: a length alone must not allocate 64 MiB.
    let mut body = Vec::new();
    let read = stream.take(length as u64).read_to_end(&mut body).await;
    read.map_err(|error| Error::NetdMessage { reason: error.to_string() })?;
    if body.len() != length {
        return Err(Error::NetdMessage { reason: "it ends before its length".into() });
    }
    serde_json::from_slice(&body).map(Some).map_err(|error| Error::NetdMessage { reason: error.to_string() })
}

/// Writes a frame.
pub(crate) async fn write<T: Serialize>(stream: &mut (impl AsyncWrite + Unpin), message: &T) -> Result<(), Error> {
    let written = stream.write_all(&frame(message)?).await;
    written.map_err(|error| Error::NetdMessage { reason: error.to_string() })
}

fn too_long(length: usize) -> Error {
    Error::NetdMessage { reason: format!("a frame of {length} bytes, at most {MAX_FRAME} are allowed") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ContainerId, NetworkId};
    use proptest::prelude::*;

    fn requests() -> Vec<Request> {
        let network = NetworkId::from_random(1);
        let mut zone = resolve::Zone::new("front", "10.1.0.0/24".parse().unwrap(), None);
        zone.add("web", std::net::IpAddr::from([10, 1, 0, 2]));
        zone.set_reverse([10, 1, 0, 5].into(), "web-1.front");
        let asker = resolve::Asker {
            netns: "/run/orca/netns/1".into(),
            networks: vec![network],
            forward: true,
            servers: vec!["9.9.9.9:53".parse().unwrap()],
            links: Default::default(),
        };
        let reservation = Reservation { protocol: Protocol::Tcp, port: 8080, host_ip: None };
        let dns = resolve::Tables {
            zones: [(network, zone)].into(),
            askers: [(ContainerId::from_random([1; 32]), asker)].into(),
        };
        let tables = Tables { dns, ports: vec![reservation], ..Tables::default() };
        vec![Request::Hello { version: 1 }, Request::SetTables(Box::new(tables)), Request::TakeOver, Request::Shutdown]
    }

    fn replies() -> Vec<Reply> {
        let reservation = Reservation { protocol: Protocol::Udp, port: 53, host_ip: Some([192, 0, 2, 1].into()) };
        let container = ContainerId::from_random([1; 32]);
        let held = vec![Held::Container { container, namespace: (4, 7) }, Held::Port { reservation, descriptors: 1 }];
        vec![
            Reply::Hello { version: 1, pid: 7 },
            Reply::Report(Report {
                ports: vec![PortFailure { reservation, message: "in use".into() }],
                containers: vec![ContainerFailure { container, message: "gone".into() }],
                mesh: None,
            }),
            Reply::Handover(Box::new(Handover { tables: Tables::default(), held })),
            Reply::Done,
        ]
    }

    fn golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, messages: &[T]) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/netd/golden").join(name);
        if std::env::var_os("ORCA_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, serde_json::to_string_pretty(messages).unwrap() + "\n").unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(serde_json::from_str::<Vec<T>>(&text).unwrap(), messages, "{name} no longer reads the same");
        assert_eq!(serde_json::to_string_pretty(messages).unwrap() + "\n", text, "{name} is no longer written so");
    }

    #[test]
    fn messages_of_version_1() {
        golden("requests-v1.json", &requests());
        golden("replies-v1.json", &replies());
    }

    #[test]
    fn what_the_mesh_adds_to_version_1() {
        let plan = crate::plan::sample::mesh_plan();
        let tables = Tables { mesh: plan.mesh.map(|plan| plan.mesh), ..Tables::default() };
        golden("mesh-requests-v1.json", &[Request::SetTables(Box::new(tables))]);
        let report = |mesh| Reply::Report(Report { mesh: Some(mesh), ..Report::default() });
        let held = vec![Held::Mesh { secret: Secret([3; 32]), queues: 2, sockets: 2, ingress: 0 }];
        let replies = [
            report(MeshReport::Up(MeshKey::new([7; 32]))),
            report(MeshReport::Down("the port is taken".into())),
            Reply::Handover(Box::new(Handover { tables: Tables::default(), held })),
        ];
        assert!(!format!("{replies:?}").contains("3, 3"), "a private key is not shown");
        golden("mesh-replies-v1.json", &replies);
    }

    #[test]
    fn what_clients_that_cross_add_to_version_1() {
        let plan = crate::plan::sample::crossing_plan();
        let tables = Tables { mesh: plan.mesh.map(|plan| plan.mesh), ..Tables::default() };
        golden("ingress-requests-v1.json", &[Request::SetTables(Box::new(tables))]);
        let held = vec![Held::Mesh { secret: Secret([3; 32]), queues: 2, sockets: 2, ingress: 2 }];
        golden("ingress-replies-v1.json", &[Reply::Handover(Box::new(Handover { tables: Tables::default(), held }))]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(read::<Request>(&mut bytes.as_slice()));
        }
    }
}
