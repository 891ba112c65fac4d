//! The name server of containers, at 127.0.0.11 port 53 in each one's network namespace.
//!
//! - [`Sockets::open`] binds inside a namespace, on ports that are free there, and leads port 53 to them: a container may
//!   have a name server of its own on 0.0.0.0:53; who asks is told by the socket that was asked;
//! - [`serve`] answers on them from the tables that [`Shared`] holds, and forwards the rest from the host's namespace;
//! - messages are bounded in number, size and time: what one container asks cannot exhaust the node's server.

mod answer;
mod forward;
mod server;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Semaphore;

pub use server::serve;

use crate::resolve::Tables;
use crate::ruleset::Ruleset;
use crate::{Error, netlink::netns, nft};

pub use crate::resolve::ADDRESS;

/// Questions being forwarded at once, for the whole node.
const MAX_FORWARDED: usize = 1024;

/// A container's two server sockets.
#[derive(Debug)]
pub struct Sockets {
    /// For datagrams.
    pub udp: UdpSocket,
    /// For connections.
    pub tcp: TcpListener,
}

impl Sockets {
    /// Binds both inside a network namespace; they stay there whichever process holds them. Port 53 leads to them from
    /// then on, and no longer to any that were opened before.
    pub fn open(netns: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Netns { step: "open the name server's sockets in", path: netns.into(), source };
        netns::within(netns, || {
            let udp = UdpSocket::bind((*ADDRESS.ip(), 0)).map_err(failed)?;
            let tcp = TcpListener::bind((*ADDRESS.ip(), 0)).map_err(failed)?;
            udp.set_nonblocking(true).map_err(failed)?;
            tcp.set_nonblocking(true).map_err(failed)?;
            let port = |address: std::io::Result<SocketAddr>| address.map(|address| address.port()).map_err(failed);
            nft::add_or_replace(&Ruleset::name_server(port(udp.local_addr())?, port(tcp.local_addr())?))?;
            Ok(Self { udp, tcp })
        })
    }
}

/// What all servers of a node share.
#[derive(Debug)]
pub struct Shared {
    tables: RwLock<Arc<Tables>>,
    servers: RwLock<Arc<Vec<SocketAddr>>>,
    forwarded: Semaphore,
}

impl Default for Shared {
    fn default() -> Self {
        Self { tables: RwLock::default(), servers: RwLock::default(), forwarded: Semaphore::new(MAX_FORWARDED) }
    }
}

impl Shared {
    /// Puts new tables in the place of the old, whole.
    pub fn set_tables(&self, tables: Arc<Tables>) {
        *self.tables.write().unwrap_or_else(PoisonError::into_inner) = tables;
    }

    /// Says where names that no table knows are asked for.
    pub fn set_servers(&self, servers: Vec<SocketAddr>) {
        *self.servers.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(servers);
    }

    fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.tables.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn servers(&self) -> Arc<Vec<SocketAddr>> {
        Arc::clone(&self.servers.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The servers of a resolv.conf(5) text, three at most as there. A stub on 127.0.0.53 is kept: questions are forwarded
/// from the host's namespace, where it answers.
pub fn parse_resolv_conf(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        address.parse().ok().map(|ip| SocketAddr::new(ip, 53))
    };
    text.lines().filter_map(server).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_from_resolv_conf() {
        let text = "# comment\nnameserver 127.0.0.53\nsearch a b\nnameserver junk\nnameserver ::1 # x\n nameserver 9.9.9.9\nnameserver 8.8.8.8";
        let servers: Vec<String> = parse_resolv_conf(text).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["127.0.0.53:53", "[::1]:53", "9.9.9.9:53"]);
    }
}
