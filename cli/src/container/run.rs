//! `orca run` and `orca create`.

use api::node::{AttachStart, CreateContainerRequest, RemoveContainerRequest, StartContainerRequest};
use clap::Args;

use super::attach::{self, KeyArgs, ProxyArgs};
use super::cidfile::Cidfile;
use super::create::CreateArgs;
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;
use crate::stream;
use crate::{registry, terminal};

/// Arguments of `orca run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Run in the background and print the container's id
    #[arg(short, long, conflicts_with = "attach")]
    detach: bool,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    proxy: ProxyArgs,
    #[command(flatten)]
    create: CreateArgs,
}

/// Which streams of a new container are joined to this terminal, and where its id is written.
#[derive(Debug, Args)]
pub struct StreamArgs {
    /// Join only these streams: stdin, stdout, stderr
    #[arg(short, long, value_name = "STREAM", value_parser = ["stdin", "stdout", "stderr"], ignore_case = true)]
    pub attach: Vec<String>,
    /// Write the container's id to this file, which must not exist
    #[arg(long, value_name = "FILE")]
    pub cidfile: Option<std::path::PathBuf>,
}

impl StreamArgs {
    fn joins(&self, stream: &str, unless_said: bool) -> bool {
        if self.attach.is_empty() {
            unless_said
        } else {
            self.attach.iter().any(|name| name.eq_ignore_ascii_case(stream))
        }
    }
}

/// Makes a container and prints its id.
pub async fn create(host: &Host, args: CreateArgs) -> Result<()> {
    let (cidfile, pull) = (args.streams.cidfile.clone(), args.pull.clone());
    let request = args.request()?;
    let mut cidfile = cidfile.map(Cidfile::create).transpose()?;
    let mut client = Client::connect_or_start(host).await?;
    let id = make(&mut client, request, &pull, cidfile.as_mut()).await?;
    format::write(&format!("{id}\n"))
}

/// Makes a container; its warnings are told, its id is written down.
async fn make(
    client: &mut Client,
    request: CreateContainerRequest,
    pull: &registry::PullFlags,
    cidfile: Option<&mut Cidfile>,
) -> Result<String> {
    let reply = registry::create(client, request, pull).await?;
    for warning in &reply.warnings {
        eprintln!("WARNING: {warning}");
    }
    if let Some(file) = cidfile {
        file.write(&reply.id)?;
    }
    Ok(reply.id)
}

/// Makes a container, starts it and, unless detached, stays with it to its end; its exit code is this command's.
pub async fn run(host: &Host, args: RunArgs) -> Result<()> {
    let streams = &args.create.streams;
    let options = stream::Options {
        stdin: streams.joins("stdin", args.create.interactive) && args.create.interactive,
        stdout: streams.joins("stdout", true),
        stderr: streams.joins("stderr", true),
        tty: args.create.tty,
        signals: args.proxy.sig_proxy,
        detach: Some(terminal::detach_keys(args.keys.detach_keys.as_deref())?),
    };
    if options.tty && options.stdin && !args.detach {
        terminal::check_input()?;
    }
    let cidfile = streams.cidfile.clone();
    let pull = args.create.pull.clone();
    let request = args.create.request()?;
    let mut cidfile = cidfile.map(Cidfile::create).transpose()?;
    let mut client = Client::connect_or_start(host).await?;
    let id = make(&mut client, request.clone(), &pull, cidfile.as_mut()).await?;
    let ended = if args.detach {
        let started = client.node.start_container(StartContainerRequest { container: id.clone() }).await;
        started.map(|_| None).map_err(Error::from)
    } else {
        join(&mut client, &id, options.clone()).await
    };
    match ended {
        Ok(_) if args.detach => format::write(&format!("{id}\n")),
        Ok(code) => attach::exit(code),
        Err(error) => {
            discard(&mut client, &request, &id).await;
            Err(error)
        }
    }
}

async fn join(client: &mut Client, id: &str, options: stream::Options) -> Result<Option<i32>> {
    if !options.stdout && !options.stderr {
        // Nothing else will be seen of it.
        format::write(&format!("{id}\n"))?;
    }
    let start = AttachStart {
        container: id.into(),
        stdin: options.stdin,
        start_container: true,
        logs: false,
        size: if options.tty { terminal::size() } else { None },
    };
    attach::join(client, start, options).await
}

/// A container that could not be started and is to be removed at its end is of no use to anyone.
async fn discard(client: &mut Client, request: &CreateContainerRequest, id: &str) {
    if request.auto_remove {
        let remove = RemoveContainerRequest { container: id.into(), force: true, volumes: true };
        let _ = client.node.remove_container(remove).await;
    }
}
