//! The command line: which words lead where.

use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::client::{self, Host};
use crate::context::{self, Choice};
use crate::error::{Error, Result};
use crate::{
    build, compose, container, contents, daemon, image, info, inspect, manifest, manual, network, node, registry,
    service, stack, surface, swarm, system, volume, why,
};

/// A container orchestrator in one binary: Docker's habits, from one laptop to a cluster.
#[derive(Debug, Parser)]
#[command(
    name = "orca",
    version,
    disable_help_subcommand = true,
    disable_version_flag = true,
    arg_required_else_help = true
)]
struct Cli {
    /// Daemon to talk to: unix://PATH, ssh://[USER@]HOST[:PORT] or tcp://HOST[:PORT]; else ORCA_HOST or DOCKER_HOST
    #[arg(short = 'H', long, value_name = "ADDRESS")]
    host: Option<String>,
    /// Context whose daemon to talk to; else ORCA_CONTEXT, or that of `orca context use`
    #[arg(short, long, value_name = "NAME")]
    context: Option<String>,
    /// Where contexts are kept; else ORCA_CONFIG, or ~/.orca
    #[arg(long, value_name = "DIR")]
    config: Option<std::path::PathBuf>,
    #[command(flatten)]
    tls: context::TlsChoice,
    /// Show the version
    #[arg(short, long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create and start a Compose application
    Up(Box<Up>),
    /// Stop and remove a Compose application
    Down(Down),
    /// Work with Compose applications
    Compose(Box<compose::ComposeArgs>),
    /// Create and run a container
    #[command(disable_help_flag = true)]
    #[command(override_usage = "orca run [OPTIONS] IMAGE [COMMAND] [ARG...]")]
    Run(Box<container::run::RunArgs>),
    /// Create a container without starting it
    #[command(disable_help_flag = true)]
    #[command(override_usage = "orca create [OPTIONS] IMAGE [COMMAND] [ARG...]")]
    Create(Box<container::create::CreateArgs>),
    /// List containers
    Ps(container::ps::PsArgs),
    /// Show a container's output
    Logs(container::logs::LogsArgs),
    /// Run a program in a container
    Exec(container::exec::ExecArgs),
    /// Join this terminal to a container
    Attach(container::attach::AttachArgs),
    /// Start containers
    Start(container::lifecycle::StartArgs),
    /// Stop containers
    Stop(container::lifecycle::StopArgs),
    /// Restart containers
    Restart(container::lifecycle::StopArgs),
    /// Send containers a signal
    Kill(container::lifecycle::KillArgs),
    /// Freeze all processes of containers
    Pause(container::lifecycle::Names),
    /// Thaw containers
    Unpause(container::lifecycle::Names),
    /// Change limits of containers
    Update(container::update::UpdateArgs),
    /// Give a container another name
    Rename(container::verbs::RenameArgs),
    /// Show where a container's ports are published
    Port(container::verbs::PortArgs),
    /// Show what containers use
    Stats(container::stats::StatsArgs),
    /// Show a container's processes
    Top(container::verbs::TopArgs),
    /// Remove containers
    Rm(container::lifecycle::RemoveArgs),
    /// Wait for containers to end and print their exit codes
    Wait(container::lifecycle::Names),
    /// Show all about objects of any kind
    Inspect(inspect::InspectArgs),
    /// Copy files between a container and this machine
    Cp(container::copy::CopyArgs),
    /// Show what a container has changed of its image's files
    Diff(container::diff::DiffArgs),
    /// Write a container's files as a tar
    Export(container::export::ExportArgs),
    /// Make an image of a container
    Commit(container::commit::CommitArgs),
    /// Work with containers
    #[command(subcommand)]
    Container(ContainerVerb),
    /// Make an image from a Dockerfile
    Build(Box<build::BuildArgs>),
    /// Build images, and forget what builds have kept
    #[command(subcommand)]
    Builder(build::BuilderVerb),
    /// Build images, and look at what builds have kept
    #[command(subcommand)]
    Buildx(build::BuildxVerb),
    /// List images
    Images(image::ListArgs),
    /// Make an image from a root file system
    Import(image::ImportArgs),
    /// Load images from an archive
    Load(image::LoadArgs),
    /// Pull an image from a registry
    Pull(registry::PullArgs),
    /// Push an image to a registry
    Push(registry::PushArgs),
    /// Log in to a registry
    Login(registry::LoginArgs),
    /// Log out of a registry
    Logout(registry::LogoutArgs),
    /// Write images into an archive
    Save(image::SaveArgs),
    /// Give an image another name
    Tag(image::TagArgs),
    /// Show how an image was made
    History(image::HistoryArgs),
    /// Remove images
    Rmi(image::RemoveArgs),
    /// Work with images
    #[command(subcommand)]
    Image(ImageVerb),
    /// Work with lists of manifests, one a platform, in registries
    #[command(subcommand)]
    Manifest(manifest::ManifestVerb),
    /// Serve a registry of one's own
    #[command(subcommand)]
    Registry(registry::RegistryVerb),
    /// Work with volumes
    #[command(subcommand)]
    Volume(VolumeVerb),
    /// Show what happens on the node
    Events(container::events::EventsArgs),
    /// Work with networks
    #[command(subcommand)]
    Network(network::Verb),
    /// Work with the cluster's nodes
    #[command(subcommand)]
    Node(node::Verb),
    /// Work with the cluster's secrets
    #[command(subcommand)]
    Secret(contents::SecretVerb),
    /// Work with the cluster's configs
    #[command(subcommand)]
    Config(contents::ConfigVerb),
    /// Say in words why a service or task is as it is
    Why(why::Args),
    /// Work with the cluster's services
    #[command(subcommand)]
    Service(service::Verb),
    /// Work with stacks: Compose files on the whole cluster
    #[command(subcommand)]
    Stack(stack::Verb),
    /// Make nodes a cluster
    #[command(subcommand)]
    Swarm(swarm::Verb),
    /// Work with this node as a whole
    #[command(subcommand)]
    System(SystemVerb),
    /// Run the daemon, or install it as a service
    Daemon(Box<daemon::DaemonArgs>),
    /// Give daemons names, and choose one
    #[command(subcommand)]
    Context(context::ContextVerb),
    /// Show the node as a whole
    Info(info::InfoArgs),
    /// Show the versions of the client and the daemon
    Version(info::VersionArgs),
    /// Write a shell's completion of commands and flags
    Completion {
        /// bash, elvish, fish, powershell or zsh
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a directory
    #[command(hide = true)]
    Man {
        /// The directory
        directory: std::path::PathBuf,
    },
}

/// `orca up`: a project and a verb.
#[derive(Debug, Args)]
struct Up {
    #[command(flatten)]
    project: compose::ProjectArgs,
    #[command(flatten)]
    up: compose::UpArgs,
}

/// `orca down`: a project and a verb.
#[derive(Debug, Args)]
struct Down {
    #[command(flatten)]
    project: compose::ProjectArgs,
    #[command(flatten)]
    down: compose::DownArgs,
}

#[derive(Debug, Subcommand)]
enum ContainerVerb {
    /// Create and run a container
    #[command(disable_help_flag = true)]
    #[command(override_usage = "orca container run [OPTIONS] IMAGE [COMMAND] [ARG...]")]
    Run(Box<container::run::RunArgs>),
    /// Create a container without starting it
    #[command(disable_help_flag = true)]
    #[command(override_usage = "orca container create [OPTIONS] IMAGE [COMMAND] [ARG...]")]
    Create(Box<container::create::CreateArgs>),
    /// List containers
    #[command(alias = "ps", alias = "list")]
    Ls(container::ps::PsArgs),
    /// Show a container's output
    Logs(container::logs::LogsArgs),
    /// Run a program in a container
    Exec(container::exec::ExecArgs),
    /// Join this terminal to a container
    Attach(container::attach::AttachArgs),
    /// Remove containers that do not run
    Prune(container::prune::PruneArgs),
    /// Start containers
    Start(container::lifecycle::StartArgs),
    /// Stop containers
    Stop(container::lifecycle::StopArgs),
    /// Restart containers
    Restart(container::lifecycle::StopArgs),
    /// Send containers a signal
    Kill(container::lifecycle::KillArgs),
    /// Freeze all processes of containers
    Pause(container::lifecycle::Names),
    /// Thaw containers
    Unpause(container::lifecycle::Names),
    /// Change limits of containers
    Update(container::update::UpdateArgs),
    /// Give a container another name
    Rename(container::verbs::RenameArgs),
    /// Show where a container's ports are published
    Port(container::verbs::PortArgs),
    /// Show what containers use
    Stats(container::stats::StatsArgs),
    /// Show a container's processes
    Top(container::verbs::TopArgs),
    /// Remove containers
    #[command(alias = "remove")]
    Rm(container::lifecycle::RemoveArgs),
    /// Wait for containers to end and print their exit codes
    Wait(container::lifecycle::Names),
    /// Show all about containers
    Inspect(container::inspect::InspectArgs),
    /// Copy files between a container and this machine
    Cp(container::copy::CopyArgs),
    /// Show what a container has changed of its image's files
    Diff(container::diff::DiffArgs),
    /// Write a container's files as a tar
    Export(container::export::ExportArgs),
    /// Make an image of a container
    Commit(container::commit::CommitArgs),
}

#[derive(Debug, Subcommand)]
enum ImageVerb {
    /// Make an image from a Dockerfile
    Build(Box<build::BuildArgs>),
    /// Make an image from a root file system
    Import(image::ImportArgs),
    /// Load images from an archive
    Load(image::LoadArgs),
    /// List images
    #[command(alias = "list")]
    Ls(image::ListArgs),
    /// Show all about images
    Inspect(image::InspectArgs),
    /// Pull an image from a registry
    Pull(registry::PullArgs),
    /// Push an image to a registry
    Push(registry::PushArgs),
    /// Copy an image from registry to registry, with all of its platforms
    Copy(manifest::CopyArgs),
    /// Write images into an archive
    Save(image::SaveArgs),
    /// Give an image another name
    Tag(image::TagArgs),
    /// Show how an image was made
    History(image::HistoryArgs),
    /// Remove images
    #[command(alias = "remove")]
    Rm(image::RemoveArgs),
    /// Remove images that nothing needs
    Prune(image::PruneArgs),
}

#[derive(Debug, Subcommand)]
enum VolumeVerb {
    /// List volumes
    #[command(alias = "list")]
    Ls(volume::ListArgs),
    /// Make a volume
    Create(volume::CreateArgs),
    /// Show all about volumes
    Inspect(volume::InspectArgs),
    /// Remove volumes
    #[command(alias = "remove")]
    Rm(volume::RemoveArgs),
    /// Remove volumes that no container uses
    Prune(volume::PruneArgs),
}

#[derive(Debug, Subcommand)]
enum SystemVerb {
    /// Show how much disk images, containers and volumes use
    Df(info::UsageArgs),
    /// Connect standard input and output with the daemon, for ssh:// addresses
    DialStdio,
    /// Show the node as a whole
    Info(info::InfoArgs),
    /// Show what happens on the node
    Events(container::events::EventsArgs),
    /// Remove what nobody uses: containers, networks, images, and with --volumes volumes
    Prune(system::PruneArgs),
    /// Remove every container, network, volume and image of this node, and end its daemon
    Reset(system::ResetArgs),
}

/// The whole tree of commands.
pub fn command() -> clap::Command {
    surface::with_dockers_manners(plain())
}

/// The same as people read it.
pub fn plain() -> clap::Command {
    Cli::command()
}

/// Reads the command line, or says what is wrong with it and tells the exit code.
fn read() -> Result<Cli, u8> {
    let args: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    let matches = surface::read(command(), &args).map_err(|complaint| {
        complaint.print(plain());
        complaint.code
    })?;
    Cli::from_arg_matches(&matches).map_err(|error| {
        let _ = error.print();
        surface::BAD_FLAG
    })
}

/// Reads the command line, runs the command, tells what went wrong.
pub fn main() -> ExitCode {
    let cli = match read() {
        Ok(cli) => cli,
        Err(code) => return ExitCode::from(code),
    };
    let Cli { host, context, config, tls, command, version: _ } = cli;
    let choice = Choice { host, context, config, tls, ..Choice::default() }.with_environment();
    // These need no daemon.
    let command = match command {
        Command::Daemon(_) if choice.host.is_some() || choice.tls.by_flag() => {
            let instead = "write them behind `daemon`: before it they say which daemon to talk to".into();
            return end(
                Err(Error::Unsupported { what: "an address or certificates before `daemon`".into(), instead }),
                1,
            );
        }
        Command::Daemon(args) => return end(daemon::run(*args), 1),
        Command::Completion { shell } => return end(manual::completion(shell), 1),
        Command::Man { directory } => return end(manual::pages(&directory), 1),
        command => command,
    };
    let default_code = match command {
        Command::Run(_) | Command::Create(_) | Command::Container(ContainerVerb::Run(_) | ContainerVerb::Create(_)) => {
            surface::BAD_FLAG
        }
        // What they end with otherwise says what became of the services, a job's own code among it.
        Command::Service(ref verb) if verb.waits() => surface::BAD_FLAG,
        Command::Stack(stack::Verb::Deploy(_)) => surface::BAD_FLAG,
        _ => 1,
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            eprintln!("orca: cannot start: {source}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match command {
            Command::Context(verb) => context::run(&choice, verb).await,
            command => run(&context::resolve(&choice)?, command).await,
        }
    });
    // A read of standard input may still be under way in a thread; nobody waits for it.
    runtime.shutdown_background();
    end(result, default_code)
}

fn end(result: Result<()>, default_code: u8) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, Error::Exit(_)) {
                crate::output::manner::complain(&error);
            }
            ExitCode::from(error.exit_code(default_code))
        }
    }
}

async fn run(host: &Host, command: Command) -> Result<()> {
    match command {
        Command::Up(args) => compose::up(host, &args.project, args.up).await,
        Command::Down(args) => compose::down(host, &args.project, args.down).await,
        Command::Compose(args) => compose::run(host, *args).await,
        Command::Run(args) => container::run::run(host, *args).await,
        Command::Create(args) => container::run::create(host, *args).await,
        Command::Ps(args) => container::ps::ps(host, args).await,
        Command::Logs(args) => container::logs::logs(host, args).await,
        Command::Exec(args) => container::exec::exec(host, args).await,
        Command::Attach(args) => container::attach::attach(host, args).await,
        Command::Start(args) => container::lifecycle::start(host, args).await,
        Command::Stop(args) => container::lifecycle::stop(host, args).await,
        Command::Restart(args) => container::lifecycle::restart(host, args).await,
        Command::Kill(args) => container::lifecycle::kill(host, args).await,
        Command::Pause(args) => container::verbs::pause(host, args).await,
        Command::Unpause(args) => container::verbs::unpause(host, args).await,
        Command::Update(args) => container::update::update(host, args).await,
        Command::Rename(args) => container::verbs::rename(host, args).await,
        Command::Port(args) => container::verbs::port(host, args).await,
        Command::Stats(args) => container::stats::stats(host, args).await,
        Command::Top(args) => container::verbs::top(host, args).await,
        Command::Rm(args) => container::lifecycle::remove(host, args).await,
        Command::Wait(args) => container::lifecycle::wait(host, args).await,
        Command::Inspect(args) => inspect::inspect(host, args).await,
        Command::Cp(args) => container::copy::copy(host, args).await,
        Command::Diff(args) => container::diff::diff(host, args).await,
        Command::Export(args) => container::export::export(host, args).await,
        Command::Commit(args) => container::commit::commit(host, args).await,
        Command::Container(verb) => run_container(host, verb).await,
        Command::Build(args) => build::build(host, *args).await,
        Command::Builder(verb) => build::builder(host, verb).await,
        Command::Buildx(verb) => build::buildx(host, verb).await,
        Command::Images(args) => image::list(host, args).await,
        Command::Import(args) => image::import(host, args).await,
        Command::Load(args) => image::load(host, args).await,
        Command::Pull(args) => registry::pull(host, args).await,
        Command::Push(args) => registry::push(host, args).await,
        Command::Login(args) => registry::login(host, args).await,
        Command::Logout(args) => registry::logout(args).await,
        Command::Save(args) => image::save(host, args).await,
        Command::Tag(args) => image::tag(host, args).await,
        Command::History(args) => image::history(host, args).await,
        Command::Rmi(args) => image::remove(host, args).await,
        Command::Image(verb) => run_image(host, verb).await,
        Command::Network(verb) => network::run(host, verb).await,
        Command::Node(verb) => node::run(host, verb).await,
        Command::Secret(verb) => contents::run_secret(host, verb).await,
        Command::Config(verb) => contents::run_config(host, verb).await,
        Command::Why(args) => why::why(host, args).await,
        Command::Service(verb) => service::run(host, verb).await,
        Command::Stack(verb) => stack::run(host, verb).await,
        Command::Swarm(verb) => swarm::run(host, verb).await,
        Command::Manifest(verb) => manifest::run(verb).await,
        Command::Registry(verb) => registry::run_registry(verb).await,
        Command::Volume(verb) => run_volume(host, verb).await,
        Command::Events(args) | Command::System(SystemVerb::Events(args)) => {
            container::events::events(host, args).await
        }
        Command::System(SystemVerb::Df(args)) => info::usage(host, args).await,
        Command::System(SystemVerb::DialStdio) => client::dial_stdio(host).await,
        Command::System(SystemVerb::Info(args)) => info::info(host, args).await,
        Command::System(SystemVerb::Prune(args)) => system::prune(host, args).await,
        Command::System(SystemVerb::Reset(args)) => system::reset(host, args).await,
        Command::Daemon(args) => daemon::run(*args),
        Command::Context(_) | Command::Completion { .. } | Command::Man { .. } => Ok(()),
        Command::Info(args) => info::info(host, args).await,
        Command::Version(args) => info::version(host, args).await,
    }
}

async fn run_container(host: &Host, verb: ContainerVerb) -> Result<()> {
    match verb {
        ContainerVerb::Run(args) => container::run::run(host, *args).await,
        ContainerVerb::Create(args) => container::run::create(host, *args).await,
        ContainerVerb::Ls(args) => container::ps::ps(host, args).await,
        ContainerVerb::Logs(args) => container::logs::logs(host, args).await,
        ContainerVerb::Exec(args) => container::exec::exec(host, args).await,
        ContainerVerb::Attach(args) => container::attach::attach(host, args).await,
        ContainerVerb::Prune(args) => container::prune::prune(host, args).await,
        ContainerVerb::Start(args) => container::lifecycle::start(host, args).await,
        ContainerVerb::Stop(args) => container::lifecycle::stop(host, args).await,
        ContainerVerb::Restart(args) => container::lifecycle::restart(host, args).await,
        ContainerVerb::Kill(args) => container::lifecycle::kill(host, args).await,
        ContainerVerb::Pause(args) => container::verbs::pause(host, args).await,
        ContainerVerb::Unpause(args) => container::verbs::unpause(host, args).await,
        ContainerVerb::Update(args) => container::update::update(host, args).await,
        ContainerVerb::Rename(args) => container::verbs::rename(host, args).await,
        ContainerVerb::Port(args) => container::verbs::port(host, args).await,
        ContainerVerb::Stats(args) => container::stats::stats(host, args).await,
        ContainerVerb::Top(args) => container::verbs::top(host, args).await,
        ContainerVerb::Rm(args) => container::lifecycle::remove(host, args).await,
        ContainerVerb::Wait(args) => container::lifecycle::wait(host, args).await,
        ContainerVerb::Inspect(args) => container::inspect::inspect(host, args).await,
        ContainerVerb::Cp(args) => container::copy::copy(host, args).await,
        ContainerVerb::Diff(args) => container::diff::diff(host, args).await,
        ContainerVerb::Export(args) => container::export::export(host, args).await,
        ContainerVerb::Commit(args) => container::commit::commit(host, args).await,
    }
}

async fn run_image(host: &Host, verb: ImageVerb) -> Result<()> {
    match verb {
        ImageVerb::Build(args) => build::build(host, *args).await,
        ImageVerb::Import(args) => image::import(host, args).await,
        ImageVerb::Load(args) => image::load(host, args).await,
        ImageVerb::Ls(args) => image::list(host, args).await,
        ImageVerb::Inspect(args) => image::inspect(host, args).await,
        ImageVerb::Pull(args) => registry::pull(host, args).await,
        ImageVerb::Push(args) => registry::push(host, args).await,
        ImageVerb::Copy(args) => manifest::copy(args).await,
        ImageVerb::Save(args) => image::save(host, args).await,
        ImageVerb::Tag(args) => image::tag(host, args).await,
        ImageVerb::History(args) => image::history(host, args).await,
        ImageVerb::Rm(args) => image::remove(host, args).await,
        ImageVerb::Prune(args) => image::prune(host, args).await,
    }
}

async fn run_volume(host: &Host, verb: VolumeVerb) -> Result<()> {
    match verb {
        VolumeVerb::Ls(args) => volume::list(host, args).await,
        VolumeVerb::Create(args) => volume::create(host, args).await,
        VolumeVerb::Inspect(args) => volume::inspect(host, args).await,
        VolumeVerb::Rm(args) => volume::remove(host, args).await,
        VolumeVerb::Prune(args) => volume::prune(host, args).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn arguments_after_the_image_are_the_commands() {
        let cli = Cli::try_parse_from(["orca", "run", "--rm", "-it", "-p", "80:80", "busybox", "ls", "-l", "--color"]);
        let Command::Run(args) = cli.unwrap().command else { panic!("not run") };
        drop(args);
    }
}
