//! The variables of a stage: what ARG declares, under what ENV sets.

use std::collections::BTreeMap;

use super::{Arg, Expander, Reason};
use crate::manifest::{Platform, RunConfig};

/// Variables that need no ARG, and are no part of what a step is known by.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// What ARG has declared so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    args: Vec<(String, Option<String>)>,
}

impl Scope {
    /// The value of a variable: the environment goes before arguments.
    pub fn value(&self, config: &RunConfig, name: &str) -> Option<String> {
        let own = || self.args.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone());
        config.env_value(name).map(str::to_owned).or_else(own)
    }

    /// Declares what one ARG instruction does: the caller's value goes before its default, and that before what was declared
    /// before the first FROM.
    ///
    /// # Errors
    /// What is wrong with a default.
    pub fn declare(
        &mut self,
        args: &[Arg],
        given: &BTreeMap<String, String>,
        global: &Scope,
        config: &RunConfig,
        escape: char,
    ) -> Result<(), Reason> {
        let before = self.clone();
        let lookup = |name: &str| before.value(config, name);
        let expander = Expander::new(&lookup, escape);
        for Arg { name, default } in args {
            let name = expander.word(name)?;
            let value = match (given.get(&name), default) {
                (Some(value), _) => Some(value.clone()),
                (None, Some(default)) => Some(expander.word(default)?),
                (None, None) => {
                    global.value(&RunConfig::default(), &name).or_else(|| self.value(&RunConfig::default(), &name))
                }
            };
            self.set(&name, value);
        }
        Ok(())
    }

    /// Gives a variable a value.
    pub fn set(&mut self, name: &str, value: Option<String>) {
        match self.args.iter_mut().find(|(known, _)| known == name) {
            Some((_, own)) => *own = value,
            None => self.args.push((name.to_owned(), value)),
        }
    }

    /// The arguments that have a value, as a RUN sees them.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.args.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
    }

    /// The names that were declared, with a value or without.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.args.iter().map(|(name, _)| name.as_str())
    }

    /// Whether a variable reaches RUN without ARG.
    pub fn is_proxy(name: &str) -> bool {
        PROXIES.contains(&name.to_ascii_lowercase().as_str())
    }
}

/// The variables that say what is built for what.
pub fn platform_args(target: &Platform, build: &Platform) -> Vec<(String, String)> {
    let mut args = Vec::new();
    for (prefix, platform) in [("TARGET", target), ("BUILD", build)] {
        let mut set = |name: &str, value: String| args.push((format!("{prefix}{name}"), value));
        set("PLATFORM", platform.to_string());
        set("OS", platform.os.clone());
        set("ARCH", platform.architecture.clone());
        set("VARIANT", platform.variant.clone().unwrap_or_default());
    }
    args
}
