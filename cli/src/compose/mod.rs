//! `orca compose …`, and `orca up` and `orca down` for short.

mod build;
mod changed_volumes;
mod config;
mod converge;
mod digests;
mod down;
mod dry_run;
mod exec;
mod files;
mod foreground;
mod git;
mod images;
mod lifecycle;
mod logs;
mod ls;
mod making;
mod models;
mod oneoff;
mod programs;
mod project;
mod ps;
mod publish;
mod pull;
mod push;
mod remote;
mod remove;
mod sensitive;
mod up;
mod verbs;
mod view;
mod watch;

use clap::{Args, Subcommand};

use crate::client::Host;
use crate::error::Result;

pub use config::canonical;
pub use down::{DownArgs, wait as wait_until_gone};
pub use project::ProjectArgs;
pub use up::UpArgs;
pub use view::{View, Watch};

/// `orca compose [OPTIONS] VERB`.
#[derive(Debug, Args)]
pub struct ComposeArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create and start the application
    Up(Box<UpArgs>),
    /// Make the application's containers, and start none
    Create(Box<making::CreateArgs>),
    /// Stop and remove the application
    Down(DownArgs),
    /// List its containers
    Ps(ps::PsArgs),
    /// List the images of its containers
    Images(images::ImagesArgs),
    /// Build the images of its services
    Build(Box<build::BuildArgs>),
    /// Pull the images of its services
    Pull(pull::PullArgs),
    /// Push the images of its services that are built
    Push(push::PushArgs),
    /// Publish the application's files in a registry, for -f oci://REPOSITORY[:TAG]
    Publish(publish::PublishArgs),
    /// Show its output
    Logs(logs::LogsArgs),
    /// Run a program in a container of a service
    Exec(exec::ExecArgs),
    /// Copy files between a service's containers and this machine
    Cp(files::CopyArgs),
    /// Write the files of a service's container as a tar
    Export(files::ExportArgs),
    /// Make an image of a service's container
    Commit(files::CommitArgs),
    /// Stop services; their containers stay
    Stop(lifecycle::ServicesArgs),
    /// Start stopped services
    Start(lifecycle::StartArgs),
    /// Restart services
    Restart(lifecycle::RestartArgs),
    /// Freeze services
    Pause(verbs::Services),
    /// Thaw services
    Unpause(verbs::Services),
    /// Send services a signal
    Kill(verbs::KillArgs),
    /// Show the processes of services
    Top(verbs::Services),
    /// Show what services use
    Stats(verbs::StatsArgs),
    /// Show where a port of a service is published
    Port(verbs::PortArgs),
    /// Show what happens to the application
    Events(verbs::EventsArgs),
    /// Join this terminal to a container of a service
    Attach(verbs::AttachArgs),
    /// Wait for containers of services to end
    Wait(verbs::WaitArgs),
    /// Run one command in a new container of a service
    Run(Box<oneoff::RunArgs>),
    /// Remove services that do not run
    Rm(remove::RemoveArgs),
    /// Change the number of containers of services
    Scale(up::ScaleArgs),
    /// List volumes
    Volumes(verbs::VolumesArgs),
    /// List projects
    Ls(ls::LsArgs),
    /// Check the Compose file and print it in its canonical form
    Config(config::ConfigArgs),
    /// Bring the application up, and what changes here into its containers, until Ctrl-C
    Watch(watch::WatchArgs),
    /// The same as config
    Convert(config::ConfigArgs),
    /// Show the version
    Version(VersionArgs),
}

/// Arguments of `orca compose version`.
#[derive(Debug, Args)]
struct VersionArgs {
    /// Only the number
    #[arg(long)]
    short: bool,
    /// pretty or json
    #[arg(short, long, default_value = "pretty", value_parser = ["pretty", "json"])]
    format: String,
}

/// Runs a verb.
pub async fn run(host: &Host, args: ComposeArgs) -> Result<()> {
    let ComposeArgs { project, verb } = args;
    project.manner.choose()?;
    let host = &project.host(host);
    match verb {
        Verb::Up(args) => up::up(host, &project, *args).await,
        Verb::Create(args) => making::create(host, &project, *args).await,
        Verb::Down(args) => down::down(host, &project, args).await,
        Verb::Ps(args) => ps::ps(host, &project, args).await,
        Verb::Images(args) => images::images(host, &project, args).await,
        Verb::Build(args) => build::build(host, &project, *args).await,
        Verb::Pull(args) => pull::pull(host, &project, args).await,
        Verb::Push(args) => push::push(host, &project, args).await,
        Verb::Publish(args) => publish::publish(host, &project, args).await,
        Verb::Logs(args) => logs::logs(host, &project, args).await,
        Verb::Exec(args) => exec::exec(host, &project, args).await,
        Verb::Cp(args) => files::copy(host, &project, args).await,
        Verb::Export(args) => files::export(host, &project, args).await,
        Verb::Commit(args) => files::commit(host, &project, args).await,
        Verb::Stop(args) => lifecycle::stop(host, &project, args).await,
        Verb::Start(args) => lifecycle::start(host, &project, args).await,
        Verb::Restart(args) => lifecycle::restart(host, &project, args).await,
        Verb::Pause(args) => verbs::pause(host, &project, args).await,
        Verb::Unpause(args) => verbs::unpause(host, &project, args).await,
        Verb::Kill(args) => verbs::kill(host, &project, args).await,
        Verb::Top(args) => verbs::top(host, &project, args).await,
        Verb::Stats(args) => verbs::stats(host, &project, args).await,
        Verb::Port(args) => verbs::port(host, &project, args).await,
        Verb::Events(args) => verbs::events(host, &project, args).await,
        Verb::Attach(args) => verbs::attach(host, &project, args).await,
        Verb::Wait(args) => verbs::wait(host, &project, args).await,
        Verb::Run(args) => oneoff::run(host, &project, *args).await,
        Verb::Rm(args) => remove::remove(host, &project, args).await,
        Verb::Scale(args) => up::scale_services(host, &project, args).await,
        Verb::Volumes(args) => verbs::volumes(host, &project, args).await,
        Verb::Ls(args) => ls::ls(host, args).await,
        Verb::Config(args) | Verb::Convert(args) => config::config(host, &project, args).await,
        Verb::Watch(args) => watch::watch(host, &project, args).await,
        Verb::Version(args) => version(&args),
    }
}

/// `orca up`.
pub async fn up(host: &Host, project: &ProjectArgs, args: UpArgs) -> Result<()> {
    project.manner.choose()?;
    up::up(&project.host(host), project, args).await
}

/// `orca down`.
pub async fn down(host: &Host, project: &ProjectArgs, args: DownArgs) -> Result<()> {
    project.manner.choose()?;
    down::down(&project.host(host), project, args).await
}

fn version(args: &VersionArgs) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    crate::output::format::write(&match (args.short, args.format.as_str()) {
        (true, _) => format!("{version}\n"),
        (false, "json") => format!("{}\n", serde_json::json!({ "version": format!("v{version}") })),
        (false, _) => format!("Orca Compose version v{version}\n"),
    })
}
