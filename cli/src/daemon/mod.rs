//! `orca daemon`: a node. It composes the agent with a manager, which meet only over the API.

pub mod background;
mod cluster;
mod demo_image;
mod install;
mod metrics;
mod notify;
mod programs;
pub mod registries;
mod remote;
mod serve;
mod socket;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::container::flags;
use crate::error::{Error, Result};

/// Where systemd's journal listens (systemd-journald.socket).
const JOURNAL: &str = "/run/systemd/journal/socket";

/// What is logged if nobody says.
const LOG: &str = "info";

/// Arguments of `orca daemon`.
#[derive(Debug, Args)]
pub struct DaemonArgs {
    /// Where state, images and volumes are kept
    #[arg(long, global = true, default_value = "/var/lib/orca", value_name = "DIR")]
    data_dir: PathBuf,
    /// Where sockets are
    #[arg(long, global = true, default_value = "/run/orca", value_name = "DIR")]
    run_dir: PathBuf,
    /// What to log: error, warn, info, debug
    #[arg(long, default_value = LOG, env = "ORCA_LOG", value_name = "LEVEL")]
    log: String,
    /// Where output of containers goes that don't say: json-file, local, journald, syslog, none
    #[arg(long, global = true, value_name = "DRIVER")]
    log_driver: Option<String>,
    /// Option of that logging driver
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    log_opt: Vec<String>,
    /// The journal's socket
    #[arg(long, hide = true, default_value = JOURNAL, value_name = "PATH")]
    journal_socket: PathBuf,
    #[command(flatten)]
    registries: registries::RegistryArgs,
    #[command(flatten)]
    remote: remote::RemoteArgs,
    /// An OCI runtime that containers may ask for with `--runtime`, such as crun=/usr/bin/crun
    #[arg(long, value_name = "NAME=PATH", value_parser = runtime)]
    add_runtime: Vec<(String, PathBuf)>,
    /// Whose subordinate ids (/etc/subuid, /etc/subgid) containers have instead of the host's: default, USER[:GROUP], UID[:GID]
    #[arg(long, global = true, value_name = "USER")]
    userns_remap: Option<String>,
    /// With --userns-remap: show binds as if the container's ids were the host's
    #[arg(long, global = true, requires = "userns_remap")]
    idmap_binds: bool,
    /// Directory with CDI device specifications; the last one stands above the others [default: /etc/cdi, /var/run/cdi]
    #[arg(long, global = true, value_name = "DIR")]
    cdi_spec_dir: Vec<PathBuf>,
    /// Label of the node, for constraints on engine.labels
    #[arg(long, global = true, value_name = "KEY[=VALUE]", value_parser = flags::label)]
    label: Vec<String>,
    /// What the node has that services may ask for with --generic-resource: KIND=COUNT
    #[arg(long, global = true, value_name = "KIND=COUNT", value_parser = generic)]
    node_generic_resource: Vec<(String, u64)>,
    /// Where passwd, group, subuid and subgid are
    #[arg(long, hide = true, default_value = "/etc", value_name = "DIR")]
    user_databases: PathBuf,
    /// Serve what the node counts to Prometheus, at /metrics of this address: plain HTTP, so a private one
    #[arg(long, global = true, value_name = "ADDRESS[:PORT]", value_parser = metrics::address)]
    metrics_addr: Option<std::net::SocketAddr>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install the daemon as a systemd service, enable and start it
    Install(install::InstallArgs),
}

/// `KIND=COUNT`.
fn generic(text: &str) -> Result<(String, u64), String> {
    let (kind, count) = text.split_once('=').ok_or("expected KIND=COUNT")?;
    match count.parse() {
        Ok(count) if !kind.is_empty() => Ok((kind.to_owned(), count)),
        _ => Err(format!("{count:?} is not a number: nodes say how many of a kind they have, not which")),
    }
}

/// `NAME=PATH`.
fn runtime(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("expected NAME=PATH")?;
    let path = PathBuf::from(path);
    if name.is_empty() || name == agent::bundle::BUILT_IN_RUNTIME {
        return Err(format!("{name:?} is the name of the runtime that is built in: choose another"));
    }
    if !path.is_absolute() || !path.is_file() {
        return Err(format!("{} is not the absolute path of a program", path.display()));
    }
    Ok((name.to_owned(), path))
}

/// A path as a unit must have it, whose working directory is `/`.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.into()).display().to_string()
}

/// Runs the daemon until it is told to end, or installs it.
pub fn run(args: DaemonArgs) -> Result<()> {
    let default = crate::logging::config(args.log_driver.as_deref(), &args.log_opt)?;
    if let Some(Verb::Install(install)) = args.verb {
        // What is wrong with them is told now, and not by a unit that doesn't start.
        args.registries.settings()?;
        args.remote.remote()?;
        let mut words = args.registries.words();
        words.extend(args.remote.words());
        words.extend(args.cdi_spec_dir.iter().map(|dir| format!("--cdi-spec-dir={}", absolute(dir))));
        words.extend(args.add_runtime.iter().map(|(name, path)| format!("--add-runtime={name}={}", path.display())));
        words.extend(args.label.iter().map(|label| format!("--label={label}")));
        words.extend(args.node_generic_resource.iter().map(|(kind, n)| format!("--node-generic-resource={kind}={n}")));
        words.extend((args.log != LOG).then(|| format!("--log={}", args.log)));
        words.extend(args.metrics_addr.map(|address| format!("--metrics-addr={address}")));
        if let Some(user) = &args.userns_remap {
            words.extend(["--userns-remap".into(), user.clone()]);
            words.extend(args.idmap_binds.then(|| "--idmap-binds".into()));
        }
        return install::install(&args.data_dir, &args.run_dir, &default, &words, install);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Start { action: "run", reason: "it needs root; try sudo".into() });
    }
    let filter = tracing_subscriber::EnvFilter::try_new(filter(&args.log)).map_err(|error| Error::Flag {
        flag: "--log",
        value: args.log.clone(),
        reason: error.to_string(),
    })?;
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Error::Start { action: "run", reason: error.to_string() })?;
    let logging = agent::Logging { default, journal: args.journal_socket };
    let runtimes = args.add_runtime.into_iter().collect();
    let registries = args.registries.settings()?;
    let idmapped_binds = args.idmap_binds;
    let users =
        args.userns_remap.map(|remap| agent::UsersConfig { remap, idmapped_binds, databases: args.user_databases });
    let remote = args.remote.remote()?;
    let cdi = Some(args.cdi_spec_dir).filter(|directories| !directories.is_empty());
    let (labels, generic) = (flags::labels(&args.label), args.node_generic_resource.into_iter().collect());
    let options = serve::Options {
        logging,
        registries,
        runtimes,
        users,
        cdi,
        labels,
        generic,
        remote,
        metrics: args.metrics_addr,
    };
    runtime.block_on(serve::serve(args.data_dir, args.run_dir, options))
}

/// A bare level is for Orca's own crates, and warnings of the others; anything else is a filter as tracing-subscriber has it.
fn filter(text: &str) -> String {
    let own = ["agent", "image", "manager", "net", "orca", "shim"];
    if !text.bytes().all(|b| b.is_ascii_alphabetic()) {
        return text.to_owned();
    }
    own.iter().fold("warn".to_owned(), |filter, name| format!("{filter},{name}={text}"))
}
