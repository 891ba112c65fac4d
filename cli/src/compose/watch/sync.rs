//! What a batch of changes does to containers: files go in or away, commands run.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use api::node::stream_output::Output;
use api::node::{Container, ExecInput, ExecStart, exec_input};
use compose_spec::watch::Hook;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::rules::{Copies, topmost};
use crate::client::Client;
use crate::compose::ps;
use crate::container::copy;
use crate::error::{Error, Result};

/// A service's own containers, without those of `run`.
async fn containers(client: &mut Client, project: &str, service: &str, all: bool) -> Result<Vec<Container>> {
    match ps::containers(client, project, &[service.to_owned()], all).await {
        Ok(found) => {
            Ok(found.into_iter().filter(|container| container.task.is_some() && !ps::is_step(container)).collect())
        }
        Err(Error::NotFound { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Makes these files in a service's containers what they are here: what is gone here goes there too.
pub async fn copy_files(client: &mut Client, project: &str, service: &str, copies: &Copies) -> Result<()> {
    let is_gone = |path: &Path| {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        std::fs::symlink_metadata(path).is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
    };
    let (gone, present): (Vec<_>, Vec<_>) = copies.iter().partition(|(_, path)| is_gone(path));
    let gone: Vec<Vec<u8>> = topmost(gone.into_iter().map(|(target, _)| target.as_slice()))
        .into_iter()
        // What is there is a directory again where something else in it is copied.
        .filter(|target| !present.iter().any(|(other, _)| is_in(other, target)))
        .map(<[u8]>::to_vec)
        .collect();
    let present: Vec<_> = present.into_iter().map(|(target, path)| (path.clone(), target.clone())).collect();
    for container in containers(client, project, service, true).await? {
        copy::sync(client, &container.id, &gone, &present).await?;
    }
    Ok(())
}

fn is_in(path: &[u8], dir: &[u8]) -> bool {
    Path::new(OsStr::from_bytes(path)).starts_with(OsStr::from_bytes(dir))
}

/// Runs a command in each of a service's containers that run, and shows its output.
pub async fn run_hook(client: &mut Client, project: &str, service: &str, hook: &Hook) -> Result<()> {
    for container in containers(client, project, service, false).await? {
        let code = exec(client, &container, hook).await?;
        if code != 0 {
            let command = hook.command.join(" ");
            return Err(Error::NotConverged(format!("{}: `{command}` ended with code {code}", container.name)));
        }
    }
    Ok(())
}

async fn exec(client: &mut Client, container: &Container, hook: &Hook) -> Result<i32> {
    let variables = hook.environment.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
    let start = ExecStart {
        container: container.id.clone(),
        args: hook.command.clone(),
        env: variables.collect::<BTreeMap<_, _>>().into_iter().collect(),
        user: hook.user.clone(),
        working_dir: hook.working_dir.clone(),
        privileged: hook.privileged,
        ..ExecStart::default()
    };
    // The process's input ends with this.
    let (inputs, requests) = mpsc::channel(1);
    let _ = inputs.try_send(ExecInput { input: Some(exec_input::Input::Start(start)) });
    let mut outputs = client.node.exec(ReceiverStream::new(requests)).await?.into_inner();
    while let Some(message) = outputs.message().await? {
        // Nobody may be reading; the command runs to its end all the same.
        match message.output {
            Some(Output::Stdout(bytes)) => drop(std::io::stdout().write_all(&bytes)),
            Some(Output::Stderr(bytes)) => drop(std::io::stderr().write_all(&bytes)),
            Some(Output::ExitCode(code)) => return Ok(code),
            _ => {}
        }
    }
    Err(Error::NotConverged(format!("{}: the process went away without an exit code", container.name)))
}
