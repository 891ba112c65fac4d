//! Options of the `syslog` driver.

use std::net::SocketAddr;

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
    pub address: SyslogAddress,
    /// The facility's number.
    pub facility: u8,
    /// How messages are written.
    pub format: SyslogFormat,
}

impl Default for SyslogOptions {
    fn default() -> Self {
        let address = SyslogAddress::Unixgram("/dev/log".into());
        Self { address, facility: DAEMON, format: SyslogFormat::default() }
    }
}

impl SyslogOptions {
    pub(super) fn set(&mut self, option: &str, value: &str) -> Result<(), LogError> {
        let refuse = |reason: String| LogError::Value { option: option.to_owned(), value: value.to_owned(), reason };
        match option {
            "syslog-address" => self.address = address(value).map_err(refuse)?,
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
            _ => return Err(LogError::Option { driver: "syslog", option: option.to_owned() }),
        }
        Ok(())
    }
}

fn address(text: &str) -> Result<SyslogAddress, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("give udp://ADDRESS:PORT, tcp://ADDRESS:PORT, unix:///PATH or unixgram:///PATH".into());
    };
    let path = || if rest.starts_with('/') { Ok(rest.to_owned()) } else { Err("give an absolute path".to_owned()) };
    match scheme {
        "unixgram" => Ok(SyslogAddress::Unixgram(path()?)),
        "unix" => Ok(SyslogAddress::Unix(path()?)),
        "udp" => Ok(SyslogAddress::Udp(socket(rest)?)),
        "tcp" => Ok(SyslogAddress::Tcp(socket(rest)?)),
        "tcp+tls" => Err("syslog over TLS is not supported: send to a relay on this machine".into()),
        _ => Err(format!("{scheme:?} is not one of udp, tcp, unix and unixgram")),
    }
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    let named = text.strip_prefix("localhost").map(|rest| format!("127.0.0.1{rest}"));
    let text = named.as_deref().unwrap_or(text);
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    match text.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(ip) => Ok(SocketAddr::new(ip, PORT)),
        // Output must go on when name servers do not.
        Err(_) => Err("give an IP address: names are not resolved for logs".into()),
    }
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
