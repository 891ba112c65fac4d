//! Users: they apply, change, scale, stop, start, restart and remove, and do not try again when it fails.

use std::collections::BTreeSet;

use manager::state::{ApplyStack, Command, IdSource, IntentAction, Recreate};
use model::TaskId;

use super::World;
use crate::event::{Author, Event};
use crate::stacks;

const NAMES: [&str; 3] = ["shop", "blog", "jobs"];

impl World {
    pub(super) fn user(&mut self) {
        if !self.chaos {
            return;
        }
        let delay = self.random.millis(500, 6000);
        self.queue.after(delay, Event::User);
        let Some(name) = self.random.pick(&NAMES) else { return };
        let command = match self.random.below(10) {
            _ if !self.stacks.contains_key(name) => {
                let stack = stacks::stack(name, &mut self.random);
                self.stacks.insert(name.into(), stack);
                self.apply_stack(name, Recreate::Changed)
            }
            0..3 => {
                if let Some(stack) = self.stacks.get_mut(name) {
                    stacks::change(stack, &mut self.random);
                }
                self.apply_stack(name, Recreate::Changed)
            }
            3 => self.apply_stack(name, Recreate::Force),
            4 => {
                self.stacks.remove(name);
                Some(Command::RemoveStack { stack: name.into(), services: Vec::new() })
            }
            5 => {
                let stack = stacks::stack(name, &mut self.random);
                self.stacks.insert(name.into(), stack);
                self.apply_stack(name, Recreate::Changed)
            }
            6..8 => self.intent(IntentAction::Stop),
            8 => self.intent(IntentAction::Start),
            _ => self.intent(IntentAction::Restart),
        };
        if let Some(command) = command {
            self.propose(Author::User, vec![command]);
        }
    }

    fn apply_stack(&mut self, name: &str, recreate: Recreate) -> Option<Command> {
        let stack = self.stacks.get(name)?.clone();
        let (start_stopped, ids) = (self.random.chance(70), IdSource::new(self.random.bits()));
        Some(Command::ApplyStack(Box::new(ApplyStack {
            stack,
            recreate,
            remove_orphans: true,
            start_stopped,
            no_start: false,
            force: Vec::new(),
            renew_volumes: false,
            keep_replicas: Vec::new(),
            ids,
        })))
    }

    /// For one task, or for all of its service.
    fn intent(&mut self, action: IntentAction) -> Option<Command> {
        let all: Vec<TaskId> = self.manager.state.tasks.keys().copied().collect();
        let task = self.random.pick(&all)?;
        let service = self.manager.state.tasks.get(&task)?.service;
        let tasks = match self.random.chance(50) {
            true => vec![task],
            false => self.manager.state.tasks_of(service).map(|task| task.id).collect(),
        };
        Some(Command::SetIntent { tasks, action, ids: IdSource::new(self.random.bits()) })
    }

    /// Everything is to go.
    pub fn remove_everything(&mut self) {
        let stacks: BTreeSet<String> = self
            .manager
            .state
            .services
            .values()
            .filter_map(|service| service.spec.stack.as_ref().map(|member| member.stack.clone()))
            .collect();
        for stack in stacks {
            self.commit(Author::User, vec![Command::RemoveStack { stack, services: Vec::new() }]);
        }
    }
}
