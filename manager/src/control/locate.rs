//! Where the container of a task is.

use api::control::LocateReply;
use model::{Task, TaskState};
use tonic::Status;

use crate::state::State;

/// Longest part of a name that an error repeats.
const SHOWN: usize = 300;
/// Shortest beginning of an id that is looked for.
const BEGIN: usize = 3;

/// The container that a name means, in this order: an id, a name of a task or its container, the beginning of an id.
pub fn locate(state: &State, name: &str) -> Result<LocateReply, Status> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let tasks = state.tasks.values().filter_map(|task| Some((task, task.status.container.as_ref()?.id.to_string())));
    let tasks: Vec<(&Task, String)> = tasks.collect();
    let found = tasks.iter().find(|(task, container)| task.id.to_string() == bare || container == bare);
    let named = || tasks.iter().filter(|(task, _)| is_named(state, task, bare)).max_by_key(|(task, _)| rank(task));
    let (task, container) = match found.or_else(named) {
        Some(found) => found,
        None => begun(&tasks, bare)?,
    };
    let node = task.node.and_then(|node| state.nodes.get(&node));
    let node = node.ok_or_else(|| Status::not_found(format!("the node of task {} is gone", task.id)))?;
    Ok(LocateReply {
        node: node.id.to_string(),
        hostname: node.description.hostname.clone(),
        container: container.clone(),
        task: task.id.to_string(),
    })
}

/// Of several tasks of one name: what runs, before what is to run, before the newest of those that have ended.
fn rank(task: &Task) -> (bool, bool, model::Timestamp) {
    let state = task.status.state;
    (state == TaskState::Running, !state.is_terminal(), task.meta.created_at)
}

/// `shop-web-1`, `shop_web.1`, `shop_web.1.TASK`.
fn is_named(state: &State, task: &Task, name: &str) -> bool {
    if task.name == name {
        return true;
    }
    let Some(service) = state.services.get(&task.service) else { return false };
    let dotted = match &service.spec.stack {
        Some(member) => format!("{}_{}", member.stack, member.key),
        None => service.spec.name.clone(),
    };
    let Some(rest) = name.strip_prefix(&dotted).and_then(|rest| rest.strip_prefix('.')) else { return false };
    let (slot, id) = rest.split_once('.').map_or((rest, None), |(slot, id)| (slot, Some(id)));
    slot == task.slot.to_string() && id.is_none_or(|id| id == task.id.to_string())
}

fn begun<'a>(tasks: &'a [(&'a Task, String)], begin: &str) -> Result<&'a (&'a Task, String), Status> {
    let fits = |text: &str| begin.len() >= BEGIN && text.starts_with(begin);
    let mut found = tasks.iter().filter(|(task, container)| fits(&task.id.to_string()) || fits(container));
    match (found.next(), found.count()) {
        (Some(found), 0) => Ok(found),
        (Some(_), more) => {
            Err(Status::invalid_argument(format!("{begin} is ambiguous: {} containers are meant", more + 1)))
        }
        (None, _) => {
            let shown: String = begin.chars().take(SHOWN).collect();
            Err(Status::not_found(format!("No such container: {shown}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{World, replicas, service, stack};

    #[test]
    fn a_container_has_many_names() {
        let mut world = World::new(2);
        let mut web = service("web");
        web.mode = replicas(2);
        world.up(stack([web])).unwrap();
        world.converge();
        let task = world.tasks("web").into_iter().find(|task| task.slot == 2).unwrap();
        let container = task.status.container.as_ref().unwrap().id.to_string();
        let member = world.service("web").spec.stack.as_ref().unwrap().stack.clone();
        let found = |name: &str| locate(&world.state, name);
        let dotted = format!("{member}_web.2");
        for name in [task.name.clone(), format!("/{}", task.name), dotted.clone(), format!("{dotted}.{}", task.id)] {
            assert_eq!(found(&name).unwrap().task, task.id.to_string(), "{name}");
        }
        for name in [task.id.to_string(), container.clone()] {
            let reply = found(&name).unwrap();
            assert_eq!((reply.node, reply.container), (task.node.unwrap().to_string(), container.clone()), "{name}");
        }
        for name in ["", "x", &format!("{member}_web.3"), &format!("{dotted}.x"), &"y".repeat(1 << 20)] {
            let error = found(name).unwrap_err();
            assert_eq!(error.code(), tonic::Code::NotFound, "{name:.9}");
            assert!(error.message().len() < 400);
        }
    }
}
