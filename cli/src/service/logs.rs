//! `orca service logs`: what several containers have written, each line after its task.

use std::collections::BTreeMap;

use api::control::{GetClusterRequest, ListTasksRequest};
use api::swarm::GetSwarmRequest;
use model::{Node, Service, Task};
use tokio::sync::mpsc;

use super::{all, find, tasks};
use crate::client::{Client, Host};
use crate::container::logs::LogsFlags;
use crate::error::{Error, Result};
use crate::output::format;

/// Arguments of `orca service logs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    flags: LogsFlags,
    /// Show the labels, variables and tag that belong to each line
    #[arg(long)]
    details: bool,
    /// Do not show ids as names
    #[arg(long)]
    no_resolve: bool,
    /// Do not show ids of tasks
    #[arg(long)]
    no_task_ids: bool,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Lines as they are, without their tasks
    #[arg(long)]
    raw: bool,
    /// A service, or a task: its name or id
    service: String,
}

/// A piece of one task's output.
struct Piece {
    stderr: bool,
    text: Vec<u8>,
}

/// Prints the output of a service's tasks, on whichever node they are.
pub async fn logs(host: &Host, args: Args) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let (service, tasks) = chosen(&mut client, &args.service).await?;
    let nodes = client.control.get_cluster(GetClusterRequest {}).await?.into_inner().nodes;
    let nodes: Result<Vec<Node>, api::Error> = nodes.into_iter().map(Node::try_from).collect();
    let nodes = nodes?;
    let here = client.swarm.get_swarm(GetSwarmRequest {}).await?.into_inner().node;
    let (send, mut pieces) = mpsc::channel(64);
    let (lost, mut losses) = mpsc::channel(16);
    for task in tasks.iter().filter(|task| task.node.is_some()) {
        let Some(container) = task.status.container.as_ref() else { continue };
        let request = args.flags.request(container.id.to_string())?;
        let request = api::node::LogsRequest { details: args.details, ..request };
        let prefix = if args.raw { String::new() } else { prefix(&args, &service, task, &nodes) };
        let (send, lost) = (send.clone(), lost.clone());
        let client = match task.node.map(|node| node.to_string()) {
            Some(node) if node != here => client.at(&node)?,
            _ => client.clone(),
        };
        let name = tasks::short_name(&service, task);
        let node = nodes.iter().find(|node| Some(node.id) == task.node);
        let node = node.map(|node| node.description.hostname.clone()).unwrap_or_default();
        tokio::spawn(async move {
            if let Err(error) = follow(client, request, &prefix, send).await {
                let _ = lost.send(format!("{name} on node {node}: {error}")).await;
            }
        });
    }
    drop((send, lost));
    while let Some(piece) = pieces.recv().await {
        write(&piece)?;
    }
    let mut failed = Vec::new();
    while let Some(loss) = losses.recv().await {
        failed.push(format!("warning: incomplete log stream: {loss}"));
    }
    failed.sort();
    super::several(failed)
}

/// The service of this name and its tasks, or the one task of this id.
async fn chosen(client: &mut Client, name: &str) -> Result<(Service, Vec<Task>)> {
    let services = all(client, None).await?;
    let tasks = client.control.list_tasks(ListTasksRequest::default()).await?.into_inner().tasks;
    let tasks: Result<Vec<Task>, api::Error> = tasks.into_iter().map(Task::try_from).collect();
    let mut tasks = tasks?;
    tasks.sort_by_key(|task| (task.place(), task.meta.created_at));
    if let Ok(service) = find(&services, name) {
        tasks.retain(|task| task.service == service.id);
        return Ok((service.clone(), tasks));
    }
    let of = |task: &Task| services.iter().find(|service| service.id == task.service).cloned();
    tasks.retain(|task| task.name == name || name.len() > 3 && task.id.to_string().starts_with(name));
    let missing = || Error::NotFound { kind: "service or task", name: name.to_owned() };
    match tasks.as_slice() {
        [task] => Ok((of(task).ok_or_else(missing)?, tasks)),
        _ => Err(missing()),
    }
}

fn prefix(args: &Args, service: &Service, task: &Task, nodes: &[Node]) -> String {
    let id = task.id.to_string();
    let id = if args.no_trunc { id } else { id.chars().take(12).collect() };
    let name = if args.no_resolve { id.clone() } else { tasks::short_name(service, task) };
    let node = nodes.iter().find(|node| Some(node.id) == task.node);
    let node = match (node, task.node) {
        (Some(node), _) if !args.no_resolve => node.description.hostname.clone(),
        (_, node) => node.map(|node| node.to_string()).unwrap_or_default(),
    };
    let id = if args.no_task_ids || args.no_resolve { String::new() } else { format!(".{id}") };
    format!("{name}{id}@{node}    | ")
}

/// Hands on whole lines, each with its prefix.
async fn follow(
    mut client: Client,
    request: api::node::LogsRequest,
    prefix: &str,
    send: mpsc::Sender<Piece>,
) -> Result<()> {
    let mut batches = client.node.read_logs(request).await?.into_inner();
    let mut rest: BTreeMap<bool, Vec<u8>> = BTreeMap::new();
    while let Some(batch) = batches.message().await? {
        for run in batch.runs {
            let rest = rest.entry(run.stderr).or_default();
            rest.extend_from_slice(&run.text);
            let end = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let whole: Vec<u8> = rest.drain(..end).collect();
            let piece = Piece { stderr: run.stderr, text: prefixed(&whole, prefix) };
            if !piece.text.is_empty() && send.send(piece).await.is_err() {
                return Ok(());
            }
        }
    }
    for (stderr, left) in rest.into_iter().filter(|(_, left)| !left.is_empty()) {
        let mut text = prefixed(&left, prefix);
        text.push(b'\n');
        let _ = send.send(Piece { stderr, text }).await;
    }
    Ok(())
}

fn prefixed(text: &[u8], prefix: &str) -> Vec<u8> {
    text.split_inclusive(|byte| *byte == b'\n').flat_map(|line| [prefix.as_bytes(), line].concat()).collect()
}

fn write(piece: &Piece) -> Result<()> {
    use std::io::Write;
    if !piece.stderr {
        return format::write_bytes(&piece.text);
    }
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(&piece.text).map_err(|source| Error::Terminal { action: "write to standard error", source })
}

#[cfg(test)]
mod tests {
    use super::prefixed;

    #[test]
    fn each_line_has_its_task() {
        assert_eq!(prefixed(b"a\nb", "x| "), b"x| a\nx| b");
        assert!(prefixed(b"", "x| ").is_empty());
    }
}
