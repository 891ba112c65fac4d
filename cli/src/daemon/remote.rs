//! Commands of other machines: `orca daemon -H tcp://HOST:TLS_PORT --tlsverify`. Who may connect is root on this machine, so
//! nobody may without a certificate of the daemon's CA.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use api::client::TLS_PORT;
use api::listener::Client;
use api::tls::{Clients, ServerConfig};
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;

use crate::client::read_pem;
use crate::error::{Error, Result};

/// Where the daemon listens beside its own socket, and as whom.
#[derive(Debug, Args)]
pub struct RemoteArgs {
    /// Also answer commands of other machines: tcp://ADDRESS[:TLS_PORT], with --tlsverify
    #[arg(short = 'H', long = "host", id = "listen", value_name = "tcp://ADDRESS[:TLS_PORT]")]
    listen: Vec<String>,
    /// Answer only who has a certificate of the CA; -H demands it
    #[arg(long)]
    tlsverify: bool,
    /// CA of the clients' certificates
    #[arg(long, value_name = "FILE", default_value = "/etc/orca/tls/ca.pem")]
    tlscacert: PathBuf,
    /// The daemon's certificate
    #[arg(long, value_name = "FILE", default_value = "/etc/orca/tls/cert.pem")]
    tlscert: PathBuf,
    /// Its key
    #[arg(long, value_name = "FILE", default_value = "/etc/orca/tls/key.pem")]
    tlskey: PathBuf,
}

/// What to listen on.
pub struct Remote {
    addresses: Vec<SocketAddr>,
    config: Arc<ServerConfig>,
}

impl RemoteArgs {
    /// What these flags mean; `None`: nothing beside the daemon's own socket.
    pub fn remote(&self) -> Result<Option<Remote>> {
        let addresses = self.listen.iter().map(|text| address(text)).collect::<Result<Vec<_>>>()?;
        let Some(first) = self.listen.first() else { return Ok(None) };
        if !self.tlsverify {
            let reason =
                "whoever reaches the port would be root on this machine: give --tlsverify, --tlscacert, --tlscert \
                and --tlskey; there is no listening without"
                    .into();
            return Err(Error::Flag { flag: "--host", value: first.clone(), reason });
        }
        let identity = api::tls::Identity {
            ca: read_pem(&self.tlscacert)?,
            cert: read_pem(&self.tlscert)?,
            key: read_pem(&self.tlskey)?,
        };
        Ok(Some(Remote { addresses, config: Arc::new(identity.server(Clients::OfTheCa)?) }))
    }

    /// The flags for what is not the default, for a unit that is to say the same.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.listen.iter().map(|address| format!("--host={address}")).collect();
        if self.tlsverify {
            words.push("--tlsverify".into());
            let files = [("--tlscacert", &self.tlscacert), ("--tlscert", &self.tlscert), ("--tlskey", &self.tlskey)];
            words.extend(files.map(|(flag, path)| format!("{flag}={}", super::absolute(path))));
        }
        words
    }
}

fn address(text: &str) -> Result<SocketAddr> {
    let refused = |reason: &str| Error::Flag { flag: "--host", value: text.into(), reason: reason.into() };
    let place = match text.split_once("://") {
        Some(("tcp", place)) => place,
        Some(("unix", _)) => return Err(refused("the daemon's own socket is orca.sock in --run-dir")),
        _ => return Err(refused("expected tcp://ADDRESS[:TLS_PORT]")),
    };
    let place = place.trim_end_matches('/');
    let place = place.strip_prefix("localhost").map_or_else(|| place.to_owned(), |port| format!("127.0.0.1{port}"));
    let place = if place.is_empty() || place.starts_with(':') { format!("0.0.0.0{place}") } else { place };
    let bare = || place.trim_matches(['[', ']']).parse().map(|ip| SocketAddr::new(ip, TLS_PORT));
    place
        .parse()
        .or_else(|_| bare())
        .map_err(|_| refused("expected an address of this machine, such as tcp://0.0.0.0:2376"))
}

impl Remote {
    /// Takes the ports, before anything else is begun. Nobody is answered yet.
    pub async fn bind(self) -> Result<Bound> {
        let mut listeners = Vec::new();
        for address in self.addresses {
            let listener = TcpListener::bind(address).await.map_err(|error| Error::Start {
                action: "listen",
                reason: format!("tcp://{address}: {error}; choose another port with -H, or stop who has it"),
            })?;
            listeners.push(listener);
        }
        Ok(Bound { listeners, config: self.config })
    }
}

/// Ports that are the daemon's.
pub struct Bound {
    listeners: Vec<TcpListener>,
    config: Arc<ServerConfig>,
}

impl Bound {
    /// Answers; what comes is a client that has proved who it is.
    pub fn accept(self) -> ReceiverStream<io::Result<Client>> {
        for listener in &self.listeners {
            tracing::info!(address = ?listener.local_addr().ok(), "listening for commands of other machines");
        }
        let (_, config) = watch::channel(self.config);
        api::listener::accept(self.listeners, config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let shown = |text: &str| address(text).map(|address| address.to_string());
        assert_eq!(shown("tcp://10.0.0.1:99").unwrap(), "10.0.0.1:99");
        assert_eq!(shown("tcp://0.0.0.0").unwrap(), "0.0.0.0:2376");
        assert_eq!(shown("tcp://:2376").unwrap(), "0.0.0.0:2376");
        assert_eq!(shown("tcp://localhost:1").unwrap(), "127.0.0.1:1");
        assert_eq!(shown("tcp://[::1]").unwrap(), "[::1]:2376");
        for bad in ["unix:///a", "fd://", "10.0.0.1:1", "tcp://host:1", "tcp://1.2.3.4:x"] {
            assert!(shown(bad).is_err(), "{bad}");
        }
    }
}
