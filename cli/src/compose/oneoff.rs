//! `orca compose run`: one more container of a service, for one command.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use api::control::plan_request::Change;
use api::control::{ApplyStackRequest, ListServicesRequest, Recreate};
use api::node::{
    AttachStart, CreateContainerReply, CreateContainerRequest, RemoveContainerRequest, StartContainerRequest,
};
use clap::Args;
use model::{AttachmentSpec, ContainerSpec, NetworkMode, RestartPolicy, ServiceMode, ServiceSpec, Stack};

use super::converge::Goal;
use super::dry_run::{self, Step};
use super::project::{Loaded, ProjectArgs};
use super::{build, making, pull, up};
use crate::client::{Client, Host};
use crate::container::{attach, flags, mounts};
use crate::error::{Error, Result};
use crate::output::format;
use crate::stream;
use crate::terminal;

/// Arguments of `orca compose run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Run in the background and print the container's name
    #[arg(short, long)]
    detach: bool,
    /// Remove the container when it ends
    #[arg(long)]
    rm: bool,
    /// Name of the container
    #[arg(long)]
    name: Option<String>,
    /// Replace the entrypoint; empty to clear it
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Set a variable
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    env: Vec<String>,
    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    env_from_file: Vec<PathBuf>,
    /// User and group
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Label: KEY[=VALUE]
    #[arg(short, long, value_name = "KEY[=VALUE]", value_parser = flags::label)]
    label: Vec<String>,
    /// Mount a volume or a path
    #[arg(short, long, value_name = "[SOURCE:]TARGET[:OPTIONS]")]
    volume: Vec<String>,
    /// Publish a port
    #[arg(short, long, value_name = "PORT", conflicts_with = "service_ports")]
    publish: Vec<String>,
    /// Publish the service's ports
    #[arg(short = 'P', long)]
    service_ports: bool,
    /// Answer to the service's names on its networks
    #[arg(long)]
    use_aliases: bool,
    /// Build the service's image before, even if it is here
    #[arg(long)]
    build: bool,
    /// Do not show how builds come along
    #[arg(long)]
    quiet_build: bool,
    /// Do not start what the service depends on
    #[arg(long)]
    no_deps: bool,
    /// Add a capability
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// No terminal
    #[arg(short = 'T', long = "no-tty")]
    no_tty: bool,
    /// Pass standard input on; so by default
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    interactive: bool,
    /// Pull images before: always, missing, never, or as each service's pull_policy says
    #[arg(long, value_enum, default_value_t, value_name = "POLICY", hide_possible_values = true)]
    pull: pull::PullFlag,
    /// Do not show how pulls come along
    #[arg(long)]
    quiet_pull: bool,
    /// Remove containers of services that the file no longer has
    #[arg(long)]
    remove_orphans: bool,
    /// Say nothing of what is started
    #[arg(short, long)]
    quiet: bool,
    /// Service
    service: String,
    /// Command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs one command in a container of its own.
pub async fn run(host: &Host, project: &ProjectArgs, args: RunArgs) -> Result<()> {
    let loaded = project.load(std::slice::from_ref(&args.service))?;
    let making = making::Making::default();
    let before = async |part: Stack, provider: &compose_spec::Provider| {
        making.bring(&mut Client::connect_or_start(host).await?, &loaded, part, provider).await
    };
    let service_asked = std::slice::from_ref(&args.service);
    let mut stack = loaded.provided(service_asked, args.no_deps, &[], host.dry_run, before).await?;
    // As in Compose: they are for the service's own containers.
    stack.services.retain(|spec| spec.step_of.as_ref() != Some(&args.service));
    let (service, contents) = service(&stack, &args.service)?;
    let tty = !args.no_tty && !args.detach && terminal::stdin_is_terminal() && terminal::stdout_is_terminal();
    let request = request(&args, &loaded, service, contents, tty)?;
    let mut client = Client::connect_or_start(host).await?;
    make_ready(&mut client, &loaded, stack, &args, host.dry_run).await?;
    if host.dry_run {
        let name = request.name.unwrap_or_default();
        dry_run::tell(["Created", "Started"].map(|action| Step::new("Container", name.clone(), action)));
        return Ok(());
    }
    let created = create(&mut client, &request).await?;
    if args.detach {
        let started = client.node.start_container(StartContainerRequest { container: created.id.clone() }).await;
        if let Err(status) = started {
            discard(&mut client, &request, &created.id).await;
            return Err(status.into());
        }
        return format::write(&format!("{}\n", created.name));
    }
    let stdin = args.interactive;
    let detach = Some(terminal::detach_keys(None)?);
    let options = stream::Options { stdin, tty, detach, ..stream::Options::default() };
    let size = if tty { terminal::size() } else { None };
    let start = AttachStart { container: created.id.clone(), stdin, start_container: true, logs: false, size };
    match attach::join(&mut client, start, options).await {
        Ok(code) => attach::exit(code),
        Err(error) => {
            discard(&mut client, &request, &created.id).await;
            Err(error)
        }
    }
}

/// How long a network that has just been declared may take to come to this node.
const NETWORK_PATIENCE: Duration = Duration::from_secs(10);

/// Makes the container. Its networks may still be on their way to the node.
async fn create(client: &mut Client, request: &CreateContainerRequest) -> Result<CreateContainerReply> {
    let deadline = tokio::time::Instant::now() + NETWORK_PATIENCE;
    loop {
        match client.node.create_container(request.clone()).await {
            Ok(created) => return Ok(created.into_inner()),
            Err(status)
                if status.code() == tonic::Code::NotFound
                    && status.message().starts_with("network ")
                    && tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
}

async fn discard(client: &mut Client, request: &CreateContainerRequest, id: &str) {
    if request.auto_remove {
        let remove = RemoveContainerRequest { container: id.into(), force: true, volumes: true };
        let _ = client.node.remove_container(remove).await;
    }
}

/// What the files of a service's secrets and configs hold: it has no task that managers would send them for.
struct Contents {
    secrets: Vec<Vec<u8>>,
    configs: Vec<Vec<u8>>,
}

fn service(stack: &Stack, key: &str) -> Result<(ServiceSpec, Contents)> {
    let found = stack.services.iter().find(|service| service.key() == key).cloned();
    let service = found.ok_or_else(|| Error::NotFound { kind: "service", name: key.to_owned() })?;
    let container = &service.container;
    let secret = container.secrets.iter().find(|file| file.template).map(|file| &file.secret);
    if let Some(name) = secret.or(container.configs.iter().find(|file| file.template).map(|file| &file.config)) {
        return Err(Error::Compose(format!("{name} is a template, which is filled in for tasks of a service only")));
    }
    let missing = |kind: &'static str, name: &str| Error::NotFound { kind, name: name.to_owned() };
    let secret = |name: &str| {
        let spec = stack.secrets.iter().find(|spec| spec.name == name);
        spec.map(|spec| spec.data.reveal().to_vec()).ok_or_else(|| missing("secret", name))
    };
    let config = |name: &str| {
        let spec = stack.configs.iter().find(|spec| spec.name == name);
        spec.map(|spec| spec.data.clone()).ok_or_else(|| missing("config", name))
    };
    let secrets = service.container.secrets.iter().map(|file| secret(&file.secret)).collect::<Result<_>>()?;
    let configs = service.container.configs.iter().map(|file| config(&file.config)).collect::<Result<_>>()?;
    Ok((service, Contents { secrets, configs }))
}

/// Starts what the service depends on; the service itself is declared with no container of its own if it is not there yet, so
/// that its networks are.
async fn make_ready(
    client: &mut Client,
    loaded: &Loaded,
    mut stack: Stack,
    args: &RunArgs,
    dry_run: bool,
) -> Result<()> {
    making::pin(client, &mut stack).await?;
    making::localize(client, &mut stack).await?;
    let needed: BTreeSet<&str> = stack.services.iter().map(|service| service.key()).collect();
    if dry_run {
        let images = pull::foreseen(client, loaded, &needed, args.pull).await?;
        dry_run::tell(images.into_iter().map(|image| Step::new("Image", image, "Pulled")));
        dry_run::tell(dry_run::new_volumes(client, &stack).await?);
        let built = build::foreseen(client, loaded, &needed, build::BuildFlags::default()).await?;
        dry_run::tell(built.into_iter().map(|image| Step::new("Image", image, "Built")));
    } else {
        pull::ensure(client, loaded, &needed, args.pull, args.quiet_pull || args.quiet).await?;
        let flags = build::BuildFlags { quiet_build: args.quiet_build || args.quiet, ..build::BuildFlags::default() };
        build::ensure(client, loaded, &needed, flags).await?;
        if args.build {
            let own = std::iter::once(args.service.clone()).collect();
            build::build_services(client, loaded, &own, flags.quiet_build).await?;
        }
    }
    match (args.remove_orphans, dry_run) {
        (true, true) => making::orphans_foreseen(client, loaded, true).await?,
        (true, false) => making::orphans(client, loaded, true).await?,
        (false, _) => {}
    }
    let listed = ListServicesRequest { stack: Some(stack.name.clone()) };
    let there = client.control.list_services(listed).await?.into_inner().services;
    let is_there = there.into_iter().filter_map(|service| service.spec?.stack).any(|member| member.key == args.service);
    stack.services.retain(|service| !is_there || service.key() != args.service);
    for service in stack.services.iter_mut().filter(|service| service.key() == args.service) {
        service.mode = ServiceMode::Replicated { replicas: 0 };
    }
    let keys: Vec<String> = stack.services.iter().map(|service| service.key().to_owned()).collect();
    let started: Vec<String> = keys.iter().filter(|key| **key != args.service).cloned().collect();
    let request = ApplyStackRequest {
        stack: Some(stack.clone().into()),
        recreate: Recreate::Never.into(),
        remove_orphans: false,
        start_stopped: true,
        no_start: false,
        keep_replicas: keys,
        ..ApplyStackRequest::default()
    };
    if dry_run {
        dry_run::tell(dry_run::plan(client, Change::ApplyStack(request)).await?);
        return Ok(());
    }
    let since = client.control.apply_stack(request).await?.into_inner().version;
    up::wait(client, &stack.name, &started, Goal::Started, since, None).await
}

fn request(
    args: &RunArgs,
    loaded: &Loaded,
    service: ServiceSpec,
    contents: Contents,
    tty: bool,
) -> Result<CreateContainerRequest> {
    let ports = match args.service_ports {
        true => service.ports.clone(),
        false => flags::all_ports(&args.publish)?,
    };
    let name = match &args.name {
        Some(name) => name.clone(),
        None => {
            let number = format!("{:012x}", crate::clock::now().0 & 0xffff_ffff_ffff);
            loaded.project.made_name(&[&args.service, "run", &number])
        }
    };
    let network = network(&service, args.use_aliases);
    let spec = spec(args, service.container, tty)?;
    Ok(CreateContainerRequest {
        name: Some(name),
        spec: Some(spec.into()),
        network: Some(network.into()),
        ports: ports.into_iter().map(Into::into).collect(),
        auto_remove: args.rm,
        publish_all: false,
        secrets: contents.secrets,
        configs: contents.configs,
    })
}

/// The service's networks; its names there only if asked for, and never its fixed address.
fn network(service: &ServiceSpec, use_aliases: bool) -> NetworkMode {
    let NetworkMode::Networks(attachments) = &service.network else { return service.network.clone() };
    let attachment = |attachment: &AttachmentSpec| {
        let mut aliases = Vec::new();
        if use_aliases {
            aliases.clone_from(&attachment.aliases);
            aliases.push(service.key().to_owned());
        }
        AttachmentSpec { aliases, ipv4_address: None, ipv6_address: None, mac_address: None, ..attachment.clone() }
    };
    NetworkMode::Networks(attachments.iter().map(attachment).collect())
}

fn spec(args: &RunArgs, mut spec: ContainerSpec, tty: bool) -> Result<ContainerSpec> {
    let mut env = flags::env_files(&args.env_from_file)?;
    env.extend(args.env.iter().cloned());
    let env: BTreeMap<String, String> = flags::environment(&env, |key| std::env::var(key).ok())
        .map_err(|reason| Error::Flag { flag: "--env", value: args.env.join(" "), reason })?;
    spec.env.extend(env);
    if !args.command.is_empty() {
        spec.command = Some(args.command.clone());
    }
    if let Some(program) = &args.entrypoint {
        spec.entrypoint = Some(if program.is_empty() { Vec::new() } else { vec![program.clone()] });
        // As Docker: another entrypoint has nothing of the service's command.
        spec.command = (!args.command.is_empty()).then(|| args.command.clone());
    }
    let here = std::env::current_dir().map_err(|source| Error::File { action: "find", path: ".".into(), source })?;
    for text in &args.volume {
        let mount = mounts::volume(text, &here);
        let mount = mount.map_err(|reason| Error::Flag { flag: "--volume", value: text.clone(), reason })?;
        spec.mounts.retain(|other| other.target != mount.target);
        spec.mounts.push(mount);
    }
    spec.user = args.user.clone().or(spec.user);
    spec.working_dir = args.workdir.clone().or(spec.working_dir);
    spec.labels.extend(flags::labels(&args.label));
    spec.labels.insert("com.docker.compose.oneoff".into(), "True".into());
    spec.cap_add.extend(args.cap_add.iter().cloned());
    spec.cap_drop.extend(args.cap_drop.iter().cloned());
    (spec.tty, spec.open_stdin) = (tty, args.interactive);
    spec.restart = RestartPolicy::default();
    Ok(spec)
}
