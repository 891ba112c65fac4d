//! `orca service create|update|scale|rollback|rm`.

use api::control::{CreateServiceRequest, RemoveServiceRequest, UpdateServiceRequest};
use model::{Service, ServiceId, ServiceMode, ServiceSpec};

use super::args::CreateArgs;
use super::edit::UpdateArgs;
use super::wait::WaitFlags;
use super::{all, ask, converge, find, several};
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;
use crate::registry::in_cluster;

/// Arguments of `orca service rm`.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// Services: names or ids
    #[arg(required = true)]
    services: Vec<String>,
}

/// Arguments of `orca service rollback`.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    wait: WaitFlags,
    /// The service: its name or id
    service: String,
}

/// Arguments of `orca service scale`.
#[derive(Debug, clap::Args)]
pub struct ScaleArgs {
    #[command(flatten)]
    wait: WaitFlags,
    /// Services and their numbers of replicas
    #[arg(required = true, value_name = "SERVICE=REPLICAS")]
    scales: Vec<String>,
}

/// How often a change is made again that somebody else's came before.
const TRIES: u32 = 5;

/// Declares a service.
pub async fn create(host: &Host, args: CreateArgs) -> Result<()> {
    let wait = args.common.wait.clone();
    let mut client = Client::connect_or_start(host).await?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => free_name(&all(&mut client, None).await?, args.image_and_command.first().map_or("", String::as_str)),
    };
    let resolves = !args.common.no_resolve_image;
    let mut spec = args.spec(name)?;
    if resolves {
        spec.container.image = in_cluster(&mut client, &spec.container.image).await?;
    }
    let reply = client.control.create_service(CreateServiceRequest { spec: Some(spec.into()) }).await?.into_inner();
    format::write(&format!("{}\n", reply.id))?;
    converge::wait(&mut client, parse(&reply.id)?, reply.version, false, &wait).await
}

fn parse(id: &str) -> Result<ServiceId> {
    id.parse().map_err(|_| Error::NotConverged(format!("the daemon calls a service {id:?}, which is no id")))
}

/// A name after the image, with a number where it is taken.
fn free_name(services: &[Service], image: &str) -> String {
    let image = image.split('@').next().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let base: String =
        last.split(':').next().unwrap_or_default().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let base = if base.is_empty() { "service".to_owned() } else { base };
    let taken = |name: &str| services.iter().any(|service| service.spec.name == name);
    let mut names = (1..).map(|number| if number == 1 { base.clone() } else { format!("{base}-{number}") });
    names.find(|name| !taken(name)).unwrap_or(base)
}

/// Changes the spec of a service; a change of somebody else's in between is no failure. The service, and the state's version.
async fn change(
    client: &mut Client,
    name: &str,
    edit: impl Fn(&Service) -> Result<ServiceSpec>,
) -> Result<(Service, u64)> {
    let mut tries = 0;
    loop {
        let service = ask(client, name).await?;
        let spec = Some(edit(&service)?.into());
        let (id, seen) = (service.id.to_string(), service.meta.version);
        match client.control.update_service(UpdateServiceRequest { service: id, spec, seen, rollback: false }).await {
            Ok(reply) => return Ok((service, reply.into_inner().version)),
            Err(status) if status.code() == tonic::Code::Aborted && tries < TRIES => tries += 1,
            Err(status) => return Err(status.into()),
        }
    }
}

/// Changes a service.
pub async fn update(host: &Host, mut args: UpdateArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let wait = args.common.wait.clone();
    if args.rollback_to_previous {
        return go_back(&mut client, &args.service, &wait).await;
    }
    if let Some(image) = args.image.as_mut().filter(|_| !args.common.no_resolve_image) {
        *image = in_cluster(&mut client, image).await?;
    }
    let (service, since) = change(&mut client, &args.service, |service| args.edit(service)).await?;
    format::write(&format!("{}\n", args.service))?;
    converge::wait(&mut client, service.id, since, false, &wait).await
}

/// Makes a service what it was.
pub async fn rollback(host: &Host, args: RollbackArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    go_back(&mut client, &args.service, &args.wait).await
}

async fn go_back(client: &mut Client, name: &str, wait: &WaitFlags) -> Result<()> {
    let mut tries = 0;
    let (id, since) = loop {
        let service = ask(client, name).await?;
        let (id, seen) = (service.id.to_string(), service.meta.version);
        let request = UpdateServiceRequest { service: id, spec: None, seen, rollback: true };
        match client.control.update_service(request).await {
            Ok(reply) => break (service.id, reply.into_inner().version),
            Err(status) if status.code() == tonic::Code::Aborted && tries < TRIES => tries += 1,
            Err(status) => return Err(status.into()),
        }
    };
    format::write(&format!("{name}\n"))?;
    converge::wait(client, id, since, true, wait).await
}

/// Sets numbers of replicas.
pub async fn scale(host: &Host, args: ScaleArgs) -> Result<()> {
    let mut scales = Vec::new();
    for scale in &args.scales {
        let parsed = scale.split_once('=').and_then(|(name, count)| Some((name, count.parse::<u32>().ok()?)));
        let invalid = || Error::Flag {
            flag: "SERVICE=REPLICAS",
            value: scale.clone(),
            reason: "expected a service and a number, such as web=3".into(),
        };
        scales.push(parsed.filter(|(name, _)| !name.is_empty()).ok_or_else(invalid)?);
    }
    let mut client = Client::connect(host).await?;
    let (mut failed, mut changed, mut version) = (Vec::new(), Vec::new(), 0);
    for (name, count) in scales {
        let scaled = change(&mut client, name, |service| {
            let mode = match service.spec.mode {
                ServiceMode::Replicated { .. } => ServiceMode::Replicated { replicas: count },
                ServiceMode::ReplicatedJob { max_concurrent, .. } => {
                    ServiceMode::ReplicatedJob { max_concurrent, total_completions: count }
                }
                mode => {
                    let word = mode.word();
                    let reason = format!("scale can only be used with replicated or replicated-job mode, not {word}");
                    return Err(Error::NotConverged(format!("{name}: {reason}")));
                }
            };
            Ok(ServiceSpec { mode, ..service.spec.clone() })
        });
        match scaled.await {
            Ok((service, since)) => {
                format::write(&format!("{name} scaled to {count}\n"))?;
                changed.push(service.id);
                version = version.max(since);
            }
            Err(error) => failed.push(error.to_string()),
        }
    }
    converge::wait_of(&mut client, &changed, version, false, &args.wait).await?;
    several(failed)
}

/// Removes services.
pub async fn remove(host: &Host, args: RemoveArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let services = all(&mut client, None).await?;
    let mut failed = Vec::new();
    for name in &args.services {
        let removed = match find(&services, name) {
            Ok(service) => remove_one(&mut client, service).await,
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => format::write(&format!("{name}\n"))?,
            Err(error) => failed.push(error.to_string()),
        }
    }
    several(failed)
}

async fn remove_one(client: &mut Client, service: &Service) -> Result<()> {
    let mut seen = service.meta.version;
    let mut tries = 0;
    loop {
        let request = RemoveServiceRequest { service: service.id.to_string(), seen };
        match client.control.remove_service(request).await {
            Ok(_) => return Ok(()),
            Err(status) if status.code() == tonic::Code::Aborted && tries < TRIES => {
                tries += 1;
                seen = ask(client, &service.id.to_string()).await?.meta.version;
            }
            Err(status) => return Err(status.into()),
        }
    }
}
