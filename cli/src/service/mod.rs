//! `orca service`: services by themselves, on the whole cluster.

mod args;
mod build;
mod change;
mod converge;
mod edit;
mod inspect;
mod list;
mod logs;
mod pretty;
mod tasks;
mod values;
mod wait;

use api::control::ListServicesRequest;
use clap::Subcommand;
use model::Service;

use crate::client::{Client, Host};
use crate::error::{Error, Result};

pub use converge::wait_of;
pub use list::{ListFlags, print};
pub use tasks::{TaskFlags, show};
pub use wait::WaitFlags;

/// What to do with services.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Declare a service
    Create(Box<args::CreateArgs>),
    /// Show all about services
    Inspect(inspect::Args),
    /// Show what the containers of a service, or of a task, have written
    Logs(logs::Args),
    /// List services
    #[command(alias = "list")]
    Ls(list::Args),
    /// List the tasks of services
    Ps(tasks::Args),
    /// Remove services
    #[command(alias = "remove")]
    Rm(change::RemoveArgs),
    /// Make a service what it was before its last change
    Rollback(change::RollbackArgs),
    /// Set the number of replicas of services
    Scale(change::ScaleArgs),
    /// Change a service
    Update(Box<edit::UpdateArgs>),
}

impl Verb {
    /// Whether it waits for what it has changed, so that its exit code has to say more than that something went wrong.
    pub fn waits(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Update(_) | Self::Scale(_) | Self::Rollback(_))
    }
}

/// Carries a verb out.
pub async fn run(host: &Host, verb: Verb) -> Result<()> {
    match verb {
        Verb::Create(args) => change::create(host, *args).await,
        Verb::Inspect(args) => inspect::inspect(host, args).await,
        Verb::Logs(args) => logs::logs(host, args).await,
        Verb::Ls(args) => list::list(host, args).await,
        Verb::Ps(args) => tasks::list(host, args).await,
        Verb::Rm(args) => change::remove(host, args).await,
        Verb::Rollback(args) => change::rollback(host, args).await,
        Verb::Scale(args) => change::scale(host, args).await,
        Verb::Update(args) => change::update(host, *args).await,
    }
}

/// All services, in the order of their names.
pub async fn all(client: &mut Client, stack: Option<String>) -> Result<Vec<Service>> {
    let services = client.control.list_services(ListServicesRequest { stack }).await?.into_inner().services;
    let services: Result<Vec<Service>, api::Error> = services.into_iter().map(Service::try_from).collect();
    let mut services = services?;
    services.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    Ok(services)
}

/// The service of this name: its name, its id, or the beginning of one.
pub fn find<'a>(services: &'a [Service], name: &str) -> Result<&'a Service> {
    let exact = |service: &&Service| service.spec.name == name || service.id.to_string() == name;
    if let Some(service) = services.iter().find(exact) {
        return Ok(service);
    }
    let begun = services.iter().filter(|service| !name.is_empty() && service.id.to_string().starts_with(name));
    match begun.collect::<Vec<_>>().as_slice() {
        [service] => Ok(service),
        [] => Err(Error::NotFound { kind: "service", name: name.to_owned() }),
        several => {
            Err(Error::NotConverged(format!("service {name} is ambiguous ({} are meant): give the id", several.len())))
        }
    }
}

/// Asks for the services and finds one.
async fn ask(client: &mut Client, name: &str) -> Result<Service> {
    let services = all(client, None).await?;
    find(&services, name).cloned()
}

/// Tells all failures after everything was tried.
fn several(failed: Vec<String>) -> Result<()> {
    if failed.is_empty() { Ok(()) } else { Err(Error::Several(failed.join("\n"))) }
}
