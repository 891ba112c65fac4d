//! `orca compose push`.

use clap::Args;

use super::dry_run;
use super::project::{Loaded, ProjectArgs, Reading};
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::manner::{self, Style};
use crate::registry;

/// Arguments of `orca compose push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Push what can be pushed, and warn of the rest
    #[arg(long)]
    ignore_push_failures: bool,
    /// Also the services that these depend on
    #[arg(long)]
    include_deps: bool,
    /// Do not show how pushes come along
    #[arg(short, long)]
    quiet: bool,
    /// Services; none means all
    services: Vec<String>,
}

impl PushArgs {
    /// Of these services.
    pub fn of(services: Vec<String>, quiet: bool) -> Self {
        Self { ignore_push_failures: false, include_deps: false, quiet, services }
    }
}

/// Pushes the images of services that have a `build` section, as in Docker: the others came from a registry.
pub async fn push(host: &Host, project: &ProjectArgs, args: PushArgs) -> Result<()> {
    let reading = Reading { services: args.services.clone(), no_deps: !args.include_deps, ..Reading::default() };
    let loaded = project.read(reading)?;
    let failures = push_all(host, &loaded, args.quiet).await?;
    if args.ignore_push_failures {
        failures.iter().for_each(|failure| eprintln!("WARNING: {failure}"));
        return Ok(());
    }
    if failures.is_empty() { Ok(()) } else { Err(Error::NotConverged(failures.join("\n"))) }
}

/// Pushes the images of services that have a `build` section; those that can't be pushed are told.
pub async fn built(host: &Host, loaded: &Loaded) -> Result<()> {
    if loaded.project.services().any(|service| service.node.get("build").is_some()) {
        push_all(host, loaded, false).await?.iter().for_each(|failure| eprintln!("WARNING: {failure}"));
    }
    Ok(())
}

async fn push_all(host: &Host, loaded: &Loaded, quiet: bool) -> Result<Vec<String>> {
    let mut client = Client::connect(host).await?;
    let say = |service: &str, words: &str| match manner::style() {
        Style::Quiet => {}
        _ if quiet => {}
        Style::Json => eprintln!("{}", serde_json::json!({ "id": service, "status": "Working", "text": words })),
        _ => eprintln!(" {service} {words}"),
    };
    let mut failures = Vec::new();
    for service in loaded.project.services() {
        let image = service.image().filter(|_| service.node.get("build").is_some());
        let Some(image) = image else {
            say(service.name, "Skipped");
            continue;
        };
        if host.dry_run {
            dry_run::tell([dry_run::Step::new("Image", image, "Pushed")]);
            continue;
        }
        say(service.name, "Pushing");
        match registry::push_image(&mut client, image, quiet).await {
            Ok(()) => say(service.name, "Pushed"),
            Err(error) => {
                say(service.name, "Error");
                failures.push(format!("service {}: {error}", service.name));
            }
        }
    }
    Ok(failures)
}
