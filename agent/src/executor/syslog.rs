//! Where a syslog server is, asked of name servers when a container starts.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};

use model::{LogError, SyslogAddress, SyslogOptions, SyslogServer, SyslogTransport};

use crate::{Error, Result};

/// The address of the server, once it is certain that all files are there which the way to it needs. Blocks, on a thread that
/// may wait.
///
/// # Errors
/// A name that name servers don't know, or a file that can't be read.
pub fn address(options: &SyslogOptions) -> Result<SyslogAddress> {
    let (transport, host, port) = match &options.server {
        SyslogServer::Unixgram(path) => return Ok(SyslogAddress::Unixgram(path.clone())),
        SyslogServer::Unix(path) => return Ok(SyslogAddress::Unix(path.clone())),
        SyslogServer::Remote { transport, host, port } => (*transport, host, *port),
    };
    let files = [
        ("syslog-tls-ca-cert", &options.tls.ca),
        ("syslog-tls-cert", &options.tls.cert),
        ("syslog-tls-key", &options.tls.key),
    ];
    for (option, path) in files.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?))) {
        File::open(path).map_err(|error| refused(option, &path.display().to_string(), error.to_string()))?;
    }
    let address = SocketAddr::new(ip(host)?, port);
    Ok(match transport {
        SyslogTransport::Udp => SyslogAddress::Udp(address),
        SyslogTransport::Tcp => SyslogAddress::Tcp(address),
        SyslogTransport::Tls => SyslogAddress::Tls(address),
    })
}

fn ip(host: &str) -> Result<IpAddr> {
    crate::resolver::address(host).map_err(|reason| refused("syslog-address", host, reason))
}

fn refused(option: &str, value: &str, reason: String) -> Error {
    Error::Log(LogError::Value { option: option.into(), value: value.into(), reason })
}
