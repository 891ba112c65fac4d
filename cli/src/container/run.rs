//! `orca run` and `orca create`.

use api::node::{
    AttachInput, AttachStart, CreateContainerRequest, RemoveContainerRequest, StartContainerRequest, WaitCondition,
    WaitContainerRequest, attach_input,
};
use clap::Args;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::create::CreateArgs;
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;
use crate::stream::{self, End};
use crate::terminal;

/// Arguments of `orca run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Run in the background and print the container's id
    #[arg(short, long)]
    detach: bool,
    /// Pass signals on to the process
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sig_proxy: bool,
    /// Write the container's id to this file, which must not exist
    #[arg(long, value_name = "FILE")]
    cidfile: Option<std::path::PathBuf>,
    #[command(flatten)]
    create: CreateArgs,
}

/// Makes a container and prints its id.
pub async fn create(host: &Host, args: CreateArgs) -> Result<()> {
    let mut client = Client::connect_or_start(host).await?;
    let reply = client.node.create_container(args.request()?).await?.into_inner();
    warn(&reply.warnings);
    format::write(&format!("{}\n", reply.id))
}

/// Makes a container, starts it and, unless detached, stays with it to its end; its exit code is this command's.
pub async fn run(host: &Host, args: RunArgs) -> Result<()> {
    let (tty, interactive) = (args.create.tty, args.create.interactive);
    if tty && interactive && !args.detach && !terminal::stdin_is_terminal() {
        return Err(Error::Unsupported {
            what: "-t with an input that is not a terminal".into(),
            instead: "leave out -t, or run the command in a terminal".into(),
        });
    }
    let request = args.create.request()?;
    let mut cidfile = args.cidfile.map(Cidfile::create).transpose()?;
    let mut client = Client::connect_or_start(host).await?;
    let reply = client.node.create_container(request.clone()).await?.into_inner();
    warn(&reply.warnings);
    if let Some(file) = &mut cidfile {
        file.write(&reply.id)?;
    }
    if args.detach {
        start_detached(&mut client, &request, &reply.id).await?;
        return format::write(&format!("{}\n", reply.id));
    }
    let options = stream::Options { stdin: interactive, tty, signals: args.sig_proxy };
    attach(&mut client, &request, &reply.id, options).await
}

async fn start_detached(client: &mut Client, request: &CreateContainerRequest, id: &str) -> Result<()> {
    let started = client.node.start_container(StartContainerRequest { container: id.into() }).await;
    if let Err(status) = started {
        discard(client, request, id).await;
        return Err(status.into());
    }
    Ok(())
}

/// A container that could not be started and is to be removed at its end is of no use to anyone.
async fn discard(client: &mut Client, request: &CreateContainerRequest, id: &str) {
    if request.auto_remove {
        let remove = RemoveContainerRequest { container: id.into(), force: true, volumes: true };
        let _ = client.node.remove_container(remove).await;
    }
}

async fn attach(
    client: &mut Client,
    request: &CreateContainerRequest,
    id: &str,
    options: stream::Options,
) -> Result<()> {
    let (inputs, requests) = mpsc::channel::<AttachInput>(8);
    let start = AttachStart {
        container: id.into(),
        stdin: options.stdin,
        start_container: true,
        logs: false,
        size: if options.tty { terminal::size() } else { None },
    };
    let start = AttachInput { input: Some(attach_input::Input::Start(start)) };
    // The channel is new and empty.
    let _ = inputs.try_send(start);
    // Asked for before the start, so that the code of a container that removes itself is not missed.
    let mut waiter = client.node.clone();
    let wait = WaitContainerRequest { container: id.into(), condition: WaitCondition::NextExit.into() };
    let exit = tokio::spawn(async move { waiter.wait_container(wait).await });
    let outputs = match client.node.attach(ReceiverStream::new(requests)).await {
        Ok(outputs) => outputs.into_inner(),
        Err(status) => {
            discard(client, request, id).await;
            return Err(status.into());
        }
    };
    let end = match stream::join(outputs, inputs, options).await {
        Ok(end) => end,
        Err(error) => {
            discard(client, request, id).await;
            return Err(error);
        }
    };
    let code = match end {
        End::Exited(code) => code,
        End::Detached => return Ok(()),
        End::OutputEnded => match exit.await {
            Ok(reply) => reply?.into_inner().exit_code,
            Err(error) => return Err(Error::NotConverged(format!("the wait for the container broke off: {error}"))),
        },
    };
    if code == 0 { Ok(()) } else { Err(Error::Exit(u8::try_from(code).unwrap_or(255))) }
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("WARNING: {warning}");
    }
}

/// A `--cidfile`: made before the container, and removed again when there is none.
#[derive(Debug)]
struct Cidfile {
    path: std::path::PathBuf,
    written: bool,
}

impl Cidfile {
    fn create(path: std::path::PathBuf) -> Result<Self> {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
        file.map_err(|source| Error::File { action: "create", path: path.clone(), source })?;
        Ok(Self { path, written: false })
    }

    fn write(&mut self, id: &str) -> Result<()> {
        std::fs::write(&self.path, id).map_err(|source| Error::File {
            action: "write",
            path: self.path.clone(),
            source,
        })?;
        self.written = true;
        Ok(())
    }
}

impl Drop for Cidfile {
    fn drop(&mut self) {
        if !self.written {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
