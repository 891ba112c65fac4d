//! What `up` and `create` have in common: the way from a Compose file to containers that are made. And `orca compose create`.

use std::collections::BTreeSet;

use api::control::plan_request::Change;
use api::control::{ApplyStackRequest, ListServicesRequest, Recreate, RemoveStackRequest};
use api::node::{CreateVolumeRequest, GetNodeRequest, PreflightRequest};
use clap::Args;
use model::{DependencyCondition, NetworkMode, NodeId, Stack, Timestamp};

use super::converge::Goal;
use super::project::{Loaded, ProjectArgs};
use super::{build, changed_volumes, down, dry_run, pull, up};
use crate::client::{Client, Host};
use crate::error::{Error, Result};

/// How containers are made.
#[derive(Debug, Default, Args)]
pub struct Making {
    /// Pull images before: always, missing, never, or as each service's pull_policy says
    #[arg(long, value_enum, default_value_t, value_name = "POLICY", hide_possible_values = true)]
    pull: pull::PullFlag,
    /// Do not show how pulls come along
    #[arg(long)]
    quiet_pull: bool,
    #[command(flatten)]
    build: build::BuildFlags,
    /// Number of containers of a service
    #[arg(long, value_name = "SERVICE=NUMBER", value_parser = up::scale)]
    pub scale: Vec<(String, u32)>,
    /// Make new containers even if nothing has changed
    #[arg(long, conflicts_with = "no_recreate")]
    force_recreate: bool,
    /// Keep containers even if something has changed
    #[arg(long)]
    no_recreate: bool,
    /// Remove containers of services that the file no longer has
    #[arg(long)]
    remove_orphans: bool,
    /// Ask nothing: volumes that the file has changed are made again, and what is in them is lost
    #[arg(short, long)]
    yes: bool,
}

/// Arguments of `orca compose create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    making: Making,
    /// Services; none means all
    services: Vec<String>,
}

/// What is made anew though nothing has changed, besides what the flags that `up` and `create` share say.
#[derive(Debug, Default)]
pub struct Anew<'a> {
    /// The services that the user named; none means all.
    pub services: &'a [String],
    /// What those depend on.
    pub dependencies: bool,
    /// Anonymous volumes, and with them their containers.
    pub volumes: bool,
}

/// What was declared.
#[derive(Debug)]
pub struct Made {
    /// As it was sent.
    pub stack: Stack,
    /// The keys of its services.
    pub keys: Vec<String>,
    /// The version that it made.
    pub since: u64,
    /// Just before.
    pub at: Timestamp,
}

/// Makes the application's containers, and starts none.
pub async fn create(host: &Host, project: &ProjectArgs, args: CreateArgs) -> Result<()> {
    let loaded = project.load(&args.services)?;
    let args = CreateArgs { services: loaded.project.expand(&args.services), ..args };
    let stack = loaded.provided(&args.services, false, &args.making.scale, host.dry_run, unstarted).await?;
    let mut client = Client::connect_or_start(host).await?;
    let anew = Anew { services: &args.services, ..Anew::default() };
    if host.dry_run {
        return args.making.foresee(&mut client, &loaded, stack, false, &anew).await;
    }
    let made = args.making.make(&mut client, &loaded, stack, false, &anew).await?;
    up::wait(&mut client, &made.stack.name, &made.keys, Goal::Created, made.since, None).await
}

/// Where no container is started, none can be there for a provider.
pub async fn unstarted(_: Stack, provider: &compose_spec::Provider) -> Result<()> {
    let needs: Vec<&str> = provider.needs.iter().map(|(service, _)| service.as_str()).collect();
    Err(Error::Unsupported {
        what: format!(
            "the provider of service {} without the containers that it depends on ({})",
            provider.service,
            needs.join(", ")
        ),
        instead: "orca compose up starts them first".into(),
    })
}

impl Making {
    /// Brings up the containers that a provider depends on, and waits until they are as it wants them.
    pub async fn bring(
        &self,
        client: &mut Client,
        loaded: &Loaded,
        part: Stack,
        provider: &compose_spec::Provider,
    ) -> Result<()> {
        let services: Vec<String> = provider.needs.iter().map(|(service, _)| service.clone()).collect();
        // What is to be made anew is so with the rest.
        let making = Self {
            pull: self.pull,
            quiet_pull: self.quiet_pull,
            build: self.build,
            no_recreate: self.no_recreate,
            yes: self.yes,
            ..Self::default()
        };
        let anew = Anew { services: &services, ..Anew::default() };
        let made = making.make(client, loaded, part, true, &anew).await?;
        up::wait(client, &made.stack.name, &made.keys, Goal::Started, made.since, None).await?;
        for (service, condition) in &provider.needs {
            let goal = match condition {
                DependencyCondition::ServiceStarted => continue,
                DependencyCondition::ServiceHealthy => Goal::Serving,
                DependencyCondition::ServiceCompletedSuccessfully => Goal::Completed,
            };
            up::wait(client, &made.stack.name, std::slice::from_ref(service), goal, made.since, None).await?;
        }
        Ok(())
    }

    /// The usual manner, with builds that are shown or not.
    pub fn silent(quiet_build: bool) -> Self {
        Self { build: build::BuildFlags { quiet_build, ..build::BuildFlags::default() }, ..Self::default() }
    }

    /// Whether builds are to be silent.
    pub fn quiet_build(&self) -> bool {
        self.build.quiet_build
    }

    /// Declares the stack; with `start` its containers are started too.
    pub async fn make(
        &self,
        client: &mut Client,
        loaded: &Loaded,
        mut stack: Stack,
        start: bool,
        anew: &Anew<'_>,
    ) -> Result<Made> {
        let unused = loaded.unused_volumes()?;
        pin(client, &mut stack).await?;
        localize(client, &mut stack).await?;
        let keys: Vec<String> = stack.services.iter().map(|service| service.key().to_owned()).collect();
        let wanted: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
        pull::ensure(client, loaded, &wanted, self.pull, self.quiet_pull).await?;
        build::ensure(client, loaded, &wanted, self.build).await?;
        let outdated = if self.no_recreate { BTreeSet::new() } else { build::outdated(client, loaded).await? };
        orphans(client, loaded, self.remove_orphans).await?;
        preflight(client, &stack).await?;
        changed_volumes::renew(client, &stack, self.yes).await?;
        for (name, spec) in unused {
            let request = CreateVolumeRequest { name: Some(name), spec: Some(spec.into()) };
            client.node.create_volume(request).await?;
        }
        let at = crate::clock::now();
        let since =
            client.control.apply_stack(self.request(&stack, start, anew, &outdated)).await?.into_inner().version;
        Ok(Made { stack, keys, since, at })
    }

    /// Tells what [`make`](Self::make) would do.
    pub async fn foresee(
        &self,
        client: &mut Client,
        loaded: &Loaded,
        mut stack: Stack,
        start: bool,
        anew: &Anew<'_>,
    ) -> Result<()> {
        let unused = loaded.unused_volumes()?;
        pin(client, &mut stack).await?;
        localize(client, &mut stack).await?;
        let wanted: BTreeSet<&str> = stack.services.iter().map(|service| service.key()).collect();
        let pulled = pull::foreseen(client, loaded, &wanted, self.pull).await?;
        // What is pulled first is not missing.
        let mut here = stack.clone();
        let built = build::foreseen(client, loaded, &wanted, self.build).await?;
        here.services
            .retain(|service| ![&pulled, &built].iter().any(|images| images.contains(&service.container.image)));
        dry_run::tell(built.into_iter().map(|image| dry_run::Step::new("Image", image, "Built")));
        let outdated = if self.no_recreate { BTreeSet::new() } else { build::outdated(client, loaded).await? };
        dry_run::tell(pulled.into_iter().map(|image| dry_run::Step::new("Image", image, "Pulled")));
        orphans_foreseen(client, loaded, self.remove_orphans).await?;
        preflight(client, &here).await?;
        let renewed = if self.yes { changed_volumes::changed(client, &stack).await? } else { BTreeSet::new() };
        dry_run::tell(renewed.into_iter().map(|name| dry_run::Step::new("Volume", name, "Recreated")));
        dry_run::tell(dry_run::new_volumes(client, &stack).await?);
        dry_run::tell(unused.into_iter().map(|(name, _)| dry_run::Step::new("Volume", name, "Created")));
        dry_run::tell(dry_run::plan(client, Change::ApplyStack(self.request(&stack, start, anew, &outdated))).await?);
        Ok(())
    }

    fn request(&self, stack: &Stack, start: bool, anew: &Anew<'_>, outdated: &BTreeSet<String>) -> ApplyStackRequest {
        let recreate = if self.no_recreate { Recreate::Never } else { Recreate::Changed };
        let force = |key: &str| match anew.services.is_empty() || anew.services.iter().any(|name| name == key) {
            true => self.force_recreate || anew.volumes,
            false => anew.dependencies,
        };
        // Steps run anew with their service.
        let forced = stack.services.iter().filter(|spec| force(spec.owner()) || outdated.contains(spec.owner()));
        ApplyStackRequest {
            stack: Some(stack.clone().into()),
            recreate: recreate.into(),
            remove_orphans: false,
            start_stopped: start,
            no_start: !start,
            keep_replicas: Vec::new(),
            force: forced.map(|spec| spec.key().to_owned()).collect(),
            renew_volumes: anew.volumes,
        }
    }
}

/// A project belongs to the node where `up` runs, so that binds and `./` mean what they say.
pub async fn pin(client: &mut Client, stack: &mut Stack) -> Result<()> {
    let node = client.node.get_node(GetNodeRequest {}).await?.into_inner();
    let node: NodeId =
        node.id.parse().map_err(|error| Error::Start { action: "tell its node id", reason: format!("{error}") })?;
    for service in &mut stack.services {
        service.placement.node = Some(node);
    }
    Ok(())
}

/// External networks are the node's own where it has one of that name: the managers need not know it.
pub async fn localize(client: &mut Client, stack: &mut Stack) -> Result<()> {
    if stack.external_networks.is_empty() {
        return Ok(());
    }
    let networks = client.networks.list_networks(api::network::ListRequest {}).await?.into_inner().networks;
    let own = networks.into_iter().filter(|network| {
        network.stack.is_none() && ["bridge", "macvlan", "ipvlan"].contains(&network.driver.as_str())
    });
    let own: BTreeSet<String> = own.filter_map(|network| Some(network.network?.name)).collect();
    stack.external_networks.retain(|name| !own.contains(name));
    for service in &mut stack.services {
        let key = service.key().to_owned();
        let NetworkMode::Networks(attachments) = &mut service.network else { continue };
        for attachment in attachments.iter_mut().filter(|attachment| own.contains(&attachment.network)) {
            if !stack.networks.iter().any(|network| network.name == attachment.network) {
                attachment.local = true;
                // Managers give a service its name on their networks; on this one its containers bear it.
                attachment.aliases.push(key.clone());
            }
        }
    }
    Ok(())
}

/// Asks the node what would fail, so that nothing is begun that cannot be finished.
pub async fn preflight(client: &mut Client, stack: &Stack) -> Result<()> {
    let services = stack.services.iter().cloned().map(Into::into).collect();
    let reply = client.node.preflight(PreflightRequest { services }).await?.into_inner();
    reply.warnings.iter().for_each(|warning| eprintln!("WARNING: {warning}"));
    let problems = reply.problems;
    if problems.is_empty() { Ok(()) } else { Err(Error::NotConverged(problems.join("\n"))) }
}

/// The services that are there but that the file no longer has, to be removed; without `remove` they are only named.
async fn found_orphans(client: &mut Client, loaded: &Loaded, remove: bool) -> Result<Vec<String>> {
    let stack = loaded.name().to_owned();
    let services = client.control.list_services(ListServicesRequest { stack: Some(stack.clone()) }).await?;
    let known = loaded.all_services();
    let present = services.into_inner().services.into_iter().filter(|service| !service.removing);
    let keys: BTreeSet<String> = present.filter_map(|service| service.spec).filter_map(owner).collect();
    let orphans: Vec<String> = keys.difference(&known).cloned().collect();
    if !remove && !orphans.is_empty() {
        eprintln!(
            "WARNING: services {} are no longer in the Compose file; remove them with --remove-orphans",
            orphans.join(", ")
        );
        return Ok(Vec::new());
    }
    Ok(orphans)
}

/// The key in the Compose file: of a step, that of its service.
pub fn owner(spec: api::types::ServiceSpec) -> Option<String> {
    spec.step_of.or(spec.stack.map(|member| member.key))
}

/// Tells what [`orphans`] would do.
pub async fn orphans_foreseen(client: &mut Client, loaded: &Loaded, remove: bool) -> Result<()> {
    let services = found_orphans(client, loaded, remove).await?;
    if !services.is_empty() {
        let request = RemoveStackRequest { stack: loaded.name().to_owned(), services };
        dry_run::tell(dry_run::plan(client, Change::RemoveStack(request)).await?);
    }
    Ok(())
}

/// Removes services that are there but that the file no longer has, or names them.
pub async fn orphans(client: &mut Client, loaded: &Loaded, remove: bool) -> Result<()> {
    let stack = loaded.name().to_owned();
    let orphans = found_orphans(client, loaded, remove).await?;
    if orphans.is_empty() {
        return Ok(());
    }
    let request = RemoveStackRequest { stack: stack.clone(), services: orphans.clone() };
    let version = client.control.remove_stack(request).await?.into_inner().version;
    down::wait(client, &stack, &orphans, version).await?;
    down::wait_for_containers(client, &stack, &orphans).await
}
