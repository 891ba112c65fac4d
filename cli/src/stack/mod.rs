//! `orca stack`: a Compose file on the whole cluster.

mod deploy;

use api::control::RemoveStackRequest;
use clap::Subcommand;
use model::Service;
use serde_json::json;
use std::collections::BTreeMap;

use crate::client::{Client, Host};
use crate::compose::wait_until_gone;
use crate::error::{Error, Result};
use crate::output::format::{self, Format, Listing};
use crate::service::{self, ListFlags, TaskFlags};
use template::Value;

/// What to do with stacks.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show the file as it would be deployed
    Config(deploy::ConfigArgs),
    /// Run the services of a Compose file on the cluster's nodes
    #[command(alias = "up")]
    Deploy(deploy::DeployArgs),
    /// List stacks
    #[command(alias = "list")]
    Ls(ListArgs),
    /// List the tasks of a stack
    Ps(PsArgs),
    /// Remove stacks
    #[command(alias = "down", alias = "remove")]
    Rm(RemoveArgs),
    /// List the services of a stack
    Services(ServicesArgs),
}

/// Arguments of `orca stack ls`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// table, json, or a Go template; "table TEMPLATE" has headers
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
}

/// Arguments of `orca stack ps`.
#[derive(Debug, clap::Args)]
pub struct PsArgs {
    #[command(flatten)]
    flags: TaskFlags,
    /// The stack's name
    stack: String,
}

/// Arguments of `orca stack services`.
#[derive(Debug, clap::Args)]
pub struct ServicesArgs {
    #[command(flatten)]
    flags: ListFlags,
    /// The stack's name
    stack: String,
}

/// Arguments of `orca stack rm`.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// Do not wait until the services are gone
    #[arg(short, long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    detach: Option<bool>,
    /// Names of stacks
    #[arg(required = true)]
    stacks: Vec<String>,
}

/// Carries a verb out.
pub async fn run(host: &Host, verb: Verb) -> Result<()> {
    match verb {
        Verb::Config(args) => deploy::config(args),
        Verb::Deploy(args) => deploy::deploy(host, args).await,
        Verb::Ls(args) => list(host, args).await,
        Verb::Ps(args) => {
            let mut client = Client::connect(host).await?;
            let services = services(&mut client, &args.stack).await?;
            service::show(&mut client, &services, &args.flags).await
        }
        Verb::Rm(args) => remove(host, args).await,
        Verb::Services(args) => {
            let mut client = Client::connect(host).await?;
            services(&mut client, &args.stack).await?;
            service::print(&mut client, Some(args.stack), &args.flags).await
        }
    }
}

/// The services of a stack; one that has none is not there.
async fn services(client: &mut Client, stack: &str) -> Result<Vec<Service>> {
    let services = service::all(client, Some(stack.to_owned())).await?;
    match services.is_empty() {
        true => Err(Error::NotFound { kind: "stack", name: stack.to_owned() }),
        false => Ok(services),
    }
}

const LISTING: Listing<'_> =
    Listing { kind: "*formatter.stackContext", columns: "{{.Name}}\t{{.Services}}", headers: &[] };

async fn list(host: &Host, args: ListArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let mut stacks: BTreeMap<String, usize> = BTreeMap::new();
    for service in service::all(&mut client, None).await? {
        // A project that `up` brought up on a node is none.
        if let Some(member) = service.spec.stack.as_ref().filter(|_| service.spec.rolls()) {
            *stacks.entry(member.stack.clone()).or_default() += 1;
        }
    }
    let row = |(name, count): (&String, &usize)| {
        let row = json!({ "Name": name, "Namespace": "", "Orchestrator": "Swarm", "Services": count.to_string() });
        Value::row(&row, Default::default())
    };
    LISTING.print(&args.format, &stacks.iter().map(row).collect::<Vec<_>>())
}

async fn remove(host: &Host, args: RemoveArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    for stack in args.stacks {
        let services = services(&mut client, &stack).await?;
        let keys: Vec<String> = services.iter().map(|service| service.spec.key().to_owned()).collect();
        let request = RemoveStackRequest { stack: stack.clone(), services: Vec::new() };
        let since = client.control.remove_stack(request).await?.into_inner().version;
        for service in &services {
            format::write(&format!("Removing service {}\n", service.spec.name))?;
        }
        if args.detach != Some(true) {
            wait_until_gone(&mut client, &stack, &keys, since).await?;
        }
    }
    Ok(())
}
