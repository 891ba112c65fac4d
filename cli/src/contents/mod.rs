//! `orca secret` and `orca config`: what services get as files, given once and never changed.

mod create;
mod inspect;
mod list;
mod remove;

use std::collections::BTreeMap;

use api::control::{ListConfigsRequest, ListSecretsRequest};
use clap::Subcommand;
use model::{Config, Meta, Secret};

use crate::client::{Client, Host};
use crate::error::{Error, Result};

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretVerb {
    /// Keep what a file, standard input or a variable holds as a secret
    Create(create::Args),
    /// Show all about secrets but what they hold
    Inspect(inspect::Args),
    /// List secrets
    #[command(alias = "list")]
    Ls(list::Args),
    /// Remove secrets that no service has
    #[command(alias = "remove")]
    Rm(remove::Args),
}

/// What to do with configs.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Keep what a file, standard input or a variable holds as a config
    Create(create::Args),
    /// Show all about configs
    Inspect(inspect::Args),
    /// List configs
    #[command(alias = "list")]
    Ls(list::Args),
    /// Remove configs that no service has
    #[command(alias = "remove")]
    Rm(remove::Args),
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Told to nobody again.
    Secret,
    /// No secret.
    Config,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Config => "config",
        }
    }
}

/// Carries a verb on secrets out.
pub async fn run_secret(host: &Host, verb: SecretVerb) -> Result<()> {
    match verb {
        SecretVerb::Create(args) => create::create(host, Kind::Secret, args).await,
        SecretVerb::Inspect(args) => inspect::inspect(host, Kind::Secret, args).await,
        SecretVerb::Ls(args) => list::list(host, Kind::Secret, args).await,
        SecretVerb::Rm(args) => remove::remove(host, Kind::Secret, args).await,
    }
}

/// Carries a verb on configs out.
pub async fn run_config(host: &Host, verb: ConfigVerb) -> Result<()> {
    match verb {
        ConfigVerb::Create(args) => create::create(host, Kind::Config, args).await,
        ConfigVerb::Inspect(args) => inspect::inspect(host, Kind::Config, args).await,
        ConfigVerb::Ls(args) => list::list(host, Kind::Config, args).await,
        ConfigVerb::Rm(args) => remove::remove(host, Kind::Config, args).await,
    }
}

/// A secret or a config.
struct Content {
    id: String,
    meta: Meta,
    name: String,
    labels: BTreeMap<String, String>,
    template: bool,
    /// What a config holds.
    data: Option<Vec<u8>>,
}

impl From<Secret> for Content {
    fn from(Secret { id, meta, spec, superseded: _ }: Secret) -> Self {
        let (id, template) = (id.to_string(), spec.template);
        Self { id, meta, name: spec.name, labels: spec.labels, template, data: None }
    }
}

impl From<Config> for Content {
    fn from(Config { id, meta, spec, superseded: _ }: Config) -> Self {
        let (id, template) = (id.to_string(), spec.template);
        Self { id, meta, name: spec.name, labels: spec.labels, template, data: Some(spec.data) }
    }
}

/// All of a kind, in the order of their names.
async fn all(client: &mut Client, kind: Kind) -> Result<Vec<Content>> {
    let mut found: Vec<Content> = match kind {
        Kind::Secret => {
            let secrets = client.control.list_secrets(ListSecretsRequest {}).await?.into_inner().secrets;
            let secrets: Result<Vec<Secret>, api::Error> = secrets.into_iter().map(Secret::try_from).collect();
            secrets?.into_iter().map(Content::from).collect()
        }
        Kind::Config => {
            let configs = client.control.list_configs(ListConfigsRequest {}).await?.into_inner().configs;
            let configs: Result<Vec<Config>, api::Error> = configs.into_iter().map(Config::try_from).collect();
            configs?.into_iter().map(Content::from).collect()
        }
    };
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The one of this name: its name, its id, or the beginning of one.
fn find<'a>(kind: Kind, all: &'a [Content], name: &str) -> Result<&'a Content> {
    if let Some(content) = all.iter().find(|content| content.name == name || content.id == name) {
        return Ok(content);
    }
    let begun: Vec<&Content> = all.iter().filter(|content| !name.is_empty() && content.id.starts_with(name)).collect();
    match begun.as_slice() {
        [content] => Ok(content),
        [] => Err(Error::NotFound { kind: kind.word(), name: name.to_owned() }),
        several => Err(Error::NotConverged(format!(
            "{} {name} is ambiguous ({} are meant): give the id",
            kind.word(),
            several.len()
        ))),
    }
}

/// Tells all failures after everything was tried.
fn several(failed: Vec<String>) -> Result<()> {
    if failed.is_empty() { Ok(()) } else { Err(Error::Several(failed.join("\n"))) }
}
