//! `orca why`: the state of a service or a task in words.

use std::collections::BTreeMap;
use std::fmt::Write;

use api::control::{GetClusterRequest, ListTasksRequest};
use model::{Health, Node, NodeState, Service, Task, TaskState};

use crate::client::{Client, Host};
use crate::clock;
use crate::error::{Error, Result};
use crate::output::{format, human};
use crate::service;

/// Arguments of `orca why`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A service or a task: its name or id
    #[arg(value_name = "SERVICE|TASK")]
    name: String,
}

/// What there is to know.
struct Known {
    nodes: Vec<Node>,
    waiting: BTreeMap<String, String>,
}

/// Explains.
pub async fn why(host: &Host, args: Args) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let services = service::all(&mut client, None).await?;
    let nodes = client.control.get_cluster(GetClusterRequest {}).await?.into_inner().nodes;
    let nodes: Result<Vec<Node>, api::Error> = nodes.into_iter().map(Node::try_from).collect();
    let reply = client.control.list_tasks(ListTasksRequest::default()).await?.into_inner();
    let tasks: Result<Vec<Task>, api::Error> = reply.tasks.into_iter().map(Task::try_from).collect();
    let (tasks, known) = (tasks?, Known { nodes: nodes?, waiting: reply.waiting });
    let is_meant = |task: &&Task| task.name == args.name || task.id.to_string().starts_with(&args.name);
    if let Ok(found) = service::find(&services, &args.name) {
        return format::write(&known.service(found, &tasks));
    }
    match tasks.iter().filter(is_meant).collect::<Vec<_>>().as_slice() {
        [task] if !args.name.is_empty() => format::write(&format!("{}\n", known.task(task))),
        [] | [_] => Err(Error::NotFound { kind: "service or task", name: args.name }),
        several => Err(Error::NotConverged(format!("{} is ambiguous: {} tasks are meant", args.name, several.len()))),
    }
}

impl Known {
    fn service(&self, service: &Service, tasks: &[Task]) -> String {
        let spec = &service.spec;
        let mut own: Vec<&Task> = tasks.iter().filter(|task| task.service == service.id && task.is_live()).collect();
        own.sort_by_key(|task| (task.place(), task.meta.created_at));
        let serving = own.iter().filter(|task| task.status.serves()).count();
        let wanted =
            spec.mode.slots().map_or_else(|| "one on every node that fits".to_owned(), |slots| slots.to_string());
        let mut text = format!("Service {} ({}) wants {wanted} tasks; {serving} serve.\n", spec.name, spec.mode.word());
        if service.removing {
            text.push_str("It is being removed, and waits for its tasks to end.\n");
        }
        if let Some(update) = &service.update {
            let at = if update.completed_at.is_set() { update.completed_at } else { update.started_at };
            let _ = writeln!(text, "{}, {}: {}.", update.state, human::ago(at, clock::now()), update.message);
        }
        for task in own {
            let old = if task.spec_version == service.spec_version { "" } else { " (of an earlier spec)" };
            let _ = writeln!(text, "- {}{old}", self.task(task));
        }
        text
    }

    /// One task in a sentence.
    fn task(&self, task: &Task) -> String {
        let node = self.nodes.iter().find(|node| Some(node.id) == task.node);
        let place = match (node, task.node) {
            (Some(node), _) => format!(" on node {}", node.description.hostname),
            (None, Some(id)) => format!(" on node {id}, which is gone"),
            (None, None) => String::new(),
        };
        let status = &task.status;
        let mut text =
            format!("{} is {}{place} since {}", task.name, status.state, human::ago(status.at, clock::now()));
        let mut add = |words: &str| {
            let _ = write!(text, "; {words}");
        };
        if let Some(reason) = self.waiting.get(&task.id.to_string()) {
            add(reason);
        }
        if let Some(error) = &status.error {
            add(error);
        }
        if task.intent.stopped {
            add("a user has stopped it");
        }
        if node.is_some_and(|node| node.state == NodeState::Down) {
            add("its node is down");
        }
        if let Some(container) = &status.container {
            if container.restart_count > 0 {
                add(&format!(
                    "restarted {} times, last with code {}",
                    container.restart_count,
                    container.exit_code.unwrap_or_default()
                ));
            } else if let Some(code) = container.exit_code.filter(|_| status.state.is_terminal()) {
                add(&format!("it ended with code {code}"));
            }
            if container.oom_killed {
                add("the kernel killed it for want of memory");
            }
            match container.health {
                Health::Unhealthy => add("its health check fails"),
                Health::Starting => add("its health check has not passed yet"),
                Health::None | Health::Healthy => {}
            }
        }
        if status.state == TaskState::Orphaned {
            add("its node was not heard of for too long");
        }
        if task.tries > 0 {
            add(&format!("{} tries before it failed", task.tries));
        }
        text
    }
}
