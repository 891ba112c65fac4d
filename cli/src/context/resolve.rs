//! Which daemon a command talks to.

use std::path::PathBuf;

use api::tls::Identity;
use clap::Args;

use super::DEFAULT;
use super::store::Store;
use crate::client::{DEFAULT_HOST, Host, read_pem};
use crate::error::{Error, Result};

/// What the user says on the command line and in the environment.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// `--host`.
    pub host: Option<String>,
    /// `--context`.
    pub context: Option<String>,
    /// `ORCA_HOST`, or else `DOCKER_HOST`.
    pub environment_host: Option<String>,
    /// `ORCA_CONTEXT`.
    pub environment_context: Option<String>,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// Certificates for an address.
    pub tls: TlsChoice,
}

/// Which certificates `tcp://` is used with, when no context says.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsChoice {
    /// With tcp://, show a certificate and demand one; else ORCA_TLS_VERIFY
    #[arg(long)]
    tlsverify: bool,
    /// CA of the daemon; else ca.pem in ORCA_CERT_PATH, or in ~/.docker
    #[arg(long, value_name = "FILE")]
    tlscacert: Option<PathBuf>,
    /// The own certificate; else cert.pem there
    #[arg(long, value_name = "FILE")]
    tlscert: Option<PathBuf>,
    /// Its key; else key.pem there
    #[arg(long, value_name = "FILE")]
    tlskey: Option<PathBuf>,
}

fn variable(names: [&str; 2]) -> Option<String> {
    names.into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

impl TlsChoice {
    /// Whether the command line says anything of it.
    pub fn by_flag(&self) -> bool {
        self.tlsverify || self.tlscacert.is_some() || self.tlscert.is_some() || self.tlskey.is_some()
    }

    /// The certificates, if any are asked for.
    fn identity(&self) -> Result<Option<Identity>> {
        if !self.by_flag() && variable(["ORCA_TLS_VERIFY", "DOCKER_TLS_VERIFY"]).is_none() {
            return Ok(None);
        }
        let home = || PathBuf::from(std::env::var("HOME").unwrap_or_else(|_| "/root".into())).join(".docker");
        let directory = variable(["ORCA_CERT_PATH", "DOCKER_CERT_PATH"]).map_or_else(home, PathBuf::from);
        let read = |file: &Option<PathBuf>, name: &str| read_pem(&file.clone().unwrap_or_else(|| directory.join(name)));
        Ok(Some(Identity {
            ca: read(&self.tlscacert, "ca.pem")?,
            cert: read(&self.tlscert, "cert.pem")?,
            key: read(&self.tlskey, "key.pem")?,
        }))
    }
}

impl Choice {
    /// With what the environment says.
    pub fn with_environment(mut self) -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        self.environment_host = variable(["ORCA_HOST", "DOCKER_HOST"]);
        self.environment_context = set("ORCA_CONTEXT");
        self
    }

    /// The context by name; an address goes before those that are not on the command line.
    pub fn in_use(&self, current: &str) -> String {
        let name = match (&self.context, &self.host, &self.environment_host, &self.environment_context) {
            (Some(context), ..) => context,
            (None, Some(_), ..) | (None, None, Some(_), _) => DEFAULT,
            (None, None, None, Some(context)) => context,
            (None, None, None, None) => current,
        };
        name.to_owned()
    }
}

/// The daemon that is meant.
///
/// # Errors
/// If both an address and a context are asked for, or there is no such context.
pub fn resolve(choice: &Choice) -> Result<Host> {
    if let (Some(_), Some(_)) = (&choice.host, &choice.context) {
        return Err(Error::Unsupported {
            what: "--host together with --context".into(),
            instead: "give one of them".into(),
        });
    }
    let address = choice.host.as_ref().or(choice.environment_host.as_ref()).filter(|_| choice.context.is_none());
    if choice.tls.by_flag() && !address.is_some_and(|address| address.starts_with("tcp://")) {
        return Err(Error::Unsupported {
            what: "certificates for a daemon that is not reached over tcp://".into(),
            instead: "give -H tcp://HOST too, or make a context that has them: `orca context create --docker`".into(),
        });
    }
    if let Some(address) = address {
        let is_tcp = address.starts_with("tcp://");
        let identity = if is_tcp { choice.tls.identity()? } else { None };
        return Ok(Host {
            address: address.clone(),
            explicit: true,
            context: DEFAULT.into(),
            identity,
            dry_run: false,
        });
    }
    let store = Store::open(choice.config.clone());
    let name = match choice.context.as_ref().or(choice.environment_context.as_ref()) {
        Some(name) => name.clone(),
        None => store.current()?,
    };
    if name == DEFAULT {
        return Ok(Host {
            address: DEFAULT_HOST.into(),
            explicit: false,
            context: name,
            identity: None,
            dry_run: false,
        });
    }
    let context = store.get(&name)?;
    let identity = context.tls.map(Identity::from);
    Ok(Host { address: context.host, explicit: true, context: name, identity, dry_run: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_goes_before_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let config = Some(dir.path().to_path_buf());
        let store = Store::open(config.clone());
        store.add(&super::super::store::Context::new("far", "ssh://far")).unwrap();
        let choice = |host: &str, context: &str, environment_host: &str, environment_context: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Choice {
                host: some(host),
                context: some(context),
                environment_host: some(environment_host),
                environment_context: some(environment_context),
                config: config.clone(),
                ..Choice::default()
            }
        };
        let address =
            |choice: &Choice| resolve(choice).map(|host| host.address).unwrap_or_else(|error| error.to_string());
        assert_eq!(address(&choice("", "", "", "")), DEFAULT_HOST);
        assert_eq!(address(&choice("unix:///a", "", "unix:///b", "far")), "unix:///a");
        assert_eq!(address(&choice("", "far", "unix:///b", "")), "ssh://far");
        assert_eq!(address(&choice("", "", "unix:///b", "far")), "unix:///b");
        assert_eq!(address(&choice("", "", "", "far")), "ssh://far");
        assert!(address(&choice("unix:///a", "far", "", "")).contains("--context"));
        let tls = TlsChoice { tlsverify: true, ..TlsChoice::default() };
        for other in [choice("", "", "", ""), choice("unix:///a", "", "", ""), choice("", "far", "tcp://a", "")] {
            assert!(address(&Choice { tls: tls.clone(), ..other }).contains("tcp://"));
        }
        assert!(address(&choice("", "nowhere", "", "")).contains("nowhere"));
        store.set_current("far").unwrap();
        assert_eq!(address(&choice("", "", "", "")), "ssh://far");
        assert_eq!(address(&choice("", "default", "", "")), DEFAULT_HOST);
    }
}
