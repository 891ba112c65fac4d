//! What the process is and what it sees: args, environment, working directory.

use image::manifest::RunConfig;
use model::ContainerSpec;

use super::Facts;
use crate::{Error, Result};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Entrypoint and command by Docker's rules: the spec's entrypoint replaces the image's and drops the image's command.
///
/// # Errors
/// [`Error::NoCommand`] if nothing is left.
pub fn args(spec: &ContainerSpec, image: &RunConfig) -> Result<Vec<String>> {
    let image_entrypoint = image.entrypoint.as_deref().unwrap_or_default();
    let image_command = image.cmd.as_deref().unwrap_or_default();
    let (entrypoint, default_command) = match &spec.entrypoint {
        Some(entrypoint) => (entrypoint.as_slice(), &[][..]),
        None => (image_entrypoint, image_command),
    };
    let command = spec.command.as_deref().unwrap_or(default_command);
    let args: Vec<String> = entrypoint.iter().chain(command).cloned().collect();
    if args.iter().all(String::is_empty) { Err(Error::NoCommand) } else { Ok(args) }
}

/// Docker's own variables, over them the image's, over them the spec's; HOME from the user's passwd entry if none says it.
pub fn environment(facts: &Facts<'_>) -> Vec<String> {
    let mut variables: Vec<(String, String)> = vec![("PATH".into(), PATH.into())];
    variables.push(("HOSTNAME".into(), facts.hostname.into()));
    if facts.spec.tty {
        variables.push(("TERM".into(), "xterm".into()));
    }
    let image = facts.image.env.iter().filter_map(|entry| entry.split_once('='));
    let spec = facts.spec.env.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    for (key, value) in image.chain(spec) {
        match variables.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value.into(),
            None => variables.push((key.into(), value.into())),
        }
    }
    if !variables.iter().any(|(key, _)| key == "HOME") {
        let home = if facts.user.home.is_empty() { "/" } else { &facts.user.home };
        variables.push(("HOME".into(), home.into()));
    }
    variables.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// The spec's directory, else the image's, else `/`; a relative one is taken from `/`.
pub fn working_dir(spec: &ContainerSpec, image: &RunConfig) -> String {
    let chosen = spec.working_dir.as_deref().unwrap_or(&image.working_dir);
    if chosen.starts_with('/') { chosen.into() } else { format!("/{chosen}") }
}
