//! Tasks of nodes that are down: they are given up, so that others take their place.

use model::{Node, NodeState, Task, TaskState};

use super::Plan;
use crate::state::{Command, State};

/// Gives up what no longer can be told to end. With no other node there is nobody to take over: the containers may well run.
pub fn give_up(state: &State, plan: &mut Plan) {
    if !state.nodes.values().any(|node| node.state == NodeState::Ready) {
        return;
    }
    for node in state.nodes.values().filter(|node| node.state == NodeState::Down) {
        let tasks = state.tasks_on(node.id).filter(|task| may_be_given_up(state, node, task));
        plan.commands.extend(tasks.map(|task| Command::OrphanTask { task: task.id, seen: task.meta.version }));
    }
}

/// A task that is pinned to the node waits for it, unless it is to end anyway.
fn may_be_given_up(state: &State, node: &Node, task: &Task) -> bool {
    let pinned = state.services.get(&task.service).is_some_and(|service| service.spec.placement.node == Some(node.id));
    !task.status.state.is_terminal() && (!pinned || task.desired > TaskState::Running)
}

#[cfg(test)]
mod tests {
    use model::{NodeState, RestartCondition};

    use super::Command;
    use crate::world::{World, node, service, stack};

    /// `web` runs on the first of so many nodes, which is down.
    fn down(nodes: u128, pinned: bool) -> World {
        let mut world = World::new(nodes);
        let mut web = service("web");
        web.container.restart.condition = RestartCondition::Always;
        web.placement.node = pinned.then(|| node(1));
        world.up(stack([web])).unwrap();
        world.converge();
        assert_eq!(world.task("web").node, Some(node(1)));
        world.take([Command::SetNodeState { node: node(1), state: NodeState::Down }]);
        world
    }

    #[test]
    fn others_take_over() {
        let mut world = down(2, false);
        world.settle();
        let next = world.task("web");
        assert_eq!((next.node, next.tries), (Some(node(2)), 1));
    }

    #[test]
    fn a_lone_node_and_a_pinned_task_are_waited_for() {
        for (nodes, pinned) in [(1, false), (2, true)] {
            let mut world = down(nodes, pinned);
            let before = world.task("web");
            world.settle();
            assert_eq!(world.task("web"), before);
        }
    }

    #[test]
    fn what_is_to_end_does_not_wait_for_a_node_that_is_gone() {
        let mut world = down(2, true);
        world.take([Command::RemoveStack { stack: "shop".into(), services: Vec::new() }]);
        world.settle();
        assert!(world.state.services.is_empty() && world.state.tasks.is_empty());
    }
}
