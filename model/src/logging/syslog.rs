//! Options of the `syslog` driver.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::LogError;

/// The port of syslog over UDP (RFC 5426), which Docker takes for TCP too.
const PORT: u16 = 514;
/// `daemon`.
const DAEMON: u8 = 3;

/// Where a syslog server listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyslogAddress {
    /// A datagram socket of this machine.
    Unixgram(String),
    /// A stream socket of this machine.
    Unix(String),
    /// Over UDP.
    Udp(SocketAddr),
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over TLS.
    Tls(SocketAddr),
}

/// Where a syslog server listens, as it was said: its host may have a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogServer {
    /// A datagram socket of this machine.
    Unixgram(String),
    /// A stream socket of this machine.
    Unix(String),
    /// Elsewhere.
    Remote {
        /// How it is reached.
        transport: SyslogTransport,
        /// A name or an address.
        host: String,
        /// Its port.
        port: u16,
    },
}

/// How a syslog server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogTransport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

/// Whom to trust, and who one is, where a server is reached by TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyslogTlsOptions {
    /// The server's CAs; else the system's.
    pub ca: Option<PathBuf>,
    /// The client's certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Any certificate will do.
    pub skip_verify: bool,
}

/// How messages are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyslogFormat {
    /// As programs of the same machine do it: RFC 3164 without a host name.
    #[default]
    Local,
    /// RFC 3164.
    Rfc3164,
    /// RFC 5424, times in seconds.
    Rfc5424,
    /// RFC 5424, times in microseconds.
    Rfc5424Micro,
}

/// The `syslog-*` options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogOptions {
    /// Where the server is.
    pub server: SyslogServer,
    /// The facility's number.
    pub facility: u8,
    /// How messages are written.
    pub format: SyslogFormat,
    /// For a server that is reached by TLS.
    pub tls: SyslogTlsOptions,
}

impl Default for SyslogOptions {
    fn default() -> Self {
        let server = SyslogServer::Unixgram("/dev/log".into());
        Self { server, facility: DAEMON, format: SyslogFormat::default(), tls: SyslogTlsOptions::default() }
    }
}

impl SyslogOptions {
    pub(super) fn set(&mut self, option: &str, value: &str) -> Result<(), LogError> {
        let refuse = |reason: String| LogError::Value { option: option.to_owned(), value: value.to_owned(), reason };
        match option {
            "syslog-address" => self.server = server(value).map_err(refuse)?,
            "syslog-facility" => {
                let facility = facility(value);
                self.facility = facility.ok_or_else(|| refuse("give a name such as daemon or local0".into()))?;
            }
            "syslog-format" => {
                self.format = match value {
                    "rfc3164" => SyslogFormat::Rfc3164,
                    "rfc5424" => SyslogFormat::Rfc5424,
                    "rfc5424micro" => SyslogFormat::Rfc5424Micro,
                    _ => return Err(refuse("give rfc3164, rfc5424 or rfc5424micro".into())),
                };
            }
            "syslog-tls-ca-cert" => self.tls.ca = Some(file(value).map_err(refuse)?),
            "syslog-tls-cert" => self.tls.cert = Some(file(value).map_err(refuse)?),
            "syslog-tls-key" => self.tls.key = Some(file(value).map_err(refuse)?),
            "syslog-tls-skip-verify" => {
                self.tls.skip_verify = super::boolean(value).ok_or_else(|| refuse("give true or false".into()))?;
            }
            _ => return Err(LogError::Option { driver: "syslog", option: option.to_owned() }),
        }
        Ok(())
    }

    /// Why an option makes no sense beside the others: its name, and the reason.
    pub(super) fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        let SyslogTlsOptions { ca, cert, key, skip_verify } = &self.tls;
        let is_tls = matches!(self.server, SyslogServer::Remote { transport: SyslogTransport::Tls, .. });
        let given = [
            ("syslog-tls-ca-cert", ca.is_some()),
            ("syslog-tls-cert", cert.is_some()),
            ("syslog-tls-key", key.is_some()),
            ("syslog-tls-skip-verify", *skip_verify),
        ];
        if !is_tls && let Some((option, _)) = given.into_iter().find(|(_, given)| *given) {
            return Some((option, "it is for a syslog-address with tcp+tls://"));
        }
        match (cert, key) {
            (Some(_), None) => Some(("syslog-tls-cert", "it needs syslog-tls-key")),
            (None, Some(_)) => Some(("syslog-tls-key", "it needs syslog-tls-cert")),
            _ => None,
        }
    }
}

fn file(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') { Ok(text.into()) } else { Err("give an absolute path".into()) }
}

fn server(text: &str) -> Result<SyslogServer, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(
            "give udp://HOST:PORT, tcp://HOST:PORT, tcp+tls://HOST:PORT, unix:///PATH or unixgram:///PATH".into()
        );
    };
    let path = || if rest.starts_with('/') { Ok(rest.to_owned()) } else { Err("give an absolute path".to_owned()) };
    let remote = |transport| {
        let (host, port) = host_and_port(rest)?;
        Ok(SyslogServer::Remote { transport, host, port })
    };
    match scheme {
        "unixgram" => Ok(SyslogServer::Unixgram(path()?)),
        "unix" => Ok(SyslogServer::Unix(path()?)),
        "udp" => remote(SyslogTransport::Udp),
        "tcp" => remote(SyslogTransport::Tcp),
        "tcp+tls" => remote(SyslogTransport::Tls),
        _ => Err(format!("{scheme:?} is not one of udp, tcp, tcp+tls, unix and unixgram")),
    }
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok((address.ip().to_string(), address.port()));
    }
    if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok((address.to_string(), PORT));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| format!("{port:?} is no port"))?),
        None => (text, PORT),
    };
    let is_name = |part: &str| {
        (1..=63).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > 253 || !name.split('.').all(is_name) {
        return Err("give the name or the address of a host, with or without :PORT".into());
    }
    Ok((host.to_owned(), port))
}

fn facility(text: &str) -> Option<u8> {
    const NAMES: [&str; 12] =
        ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"];
    if let Some(number) = NAMES.iter().position(|name| *name == text) {
        return u8::try_from(number).ok();
    }
    let number = match text.strip_prefix("local") {
        Some(number) => number.parse::<u8>().ok().filter(|number| *number < 8)? + 16,
        None => text.parse::<u8>().ok()?,
    };
    (number < 24).then_some(number)
}
