//! Which daemon a command talks to.

use std::path::PathBuf;

use super::DEFAULT;
use super::store::Store;
use crate::client::{DEFAULT_HOST, Host};
use crate::error::{Error, Result};

/// What the user says on the command line and in the environment.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// `--host`.
    pub host: Option<String>,
    /// `--context`.
    pub context: Option<String>,
    /// `ORCA_HOST`.
    pub environment_host: Option<String>,
    /// `ORCA_CONTEXT`.
    pub environment_context: Option<String>,
    /// `--config`.
    pub config: Option<PathBuf>,
}

impl Choice {
    /// With what the environment says.
    pub fn with_environment(mut self) -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        self.environment_host = set("ORCA_HOST");
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
    if choice.context.is_none()
        && let Some(address) = choice.host.as_ref().or(choice.environment_host.as_ref())
    {
        return Ok(Host { address: address.clone(), explicit: true, context: DEFAULT.into() });
    }
    let store = Store::open(choice.config.clone());
    let name = match choice.context.as_ref().or(choice.environment_context.as_ref()) {
        Some(name) => name.clone(),
        None => store.current()?,
    };
    if name == DEFAULT {
        return Ok(Host { address: DEFAULT_HOST.into(), explicit: false, context: name });
    }
    Ok(Host { address: store.get(&name)?.host, explicit: true, context: name })
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
        assert!(address(&choice("", "nowhere", "", "")).contains("nowhere"));
        store.set_current("far").unwrap();
        assert_eq!(address(&choice("", "", "", "")), "ssh://far");
        assert_eq!(address(&choice("", "default", "", "")), DEFAULT_HOST);
    }
}
