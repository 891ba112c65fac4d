//! Broken cores. The simulator must notice each of them: that is what shows that it can notice anything.

use agent::task;
use agent::worker;
use manager::state::Command;
use model::{AssignmentsDiff, TaskState};

/// What is broken, around the cores and never inside of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// The orchestrator never removes a task.
    KeepsTasks,
    /// The reaper never deletes one.
    KeepsHistory,
    /// The reaper forgets networks.
    LeaksNetworks,
    /// Tasks may start whatever they depend on.
    SkipsDependencies,
    /// The orchestrator makes a task more than there are slots.
    SurplusTask,
    /// The scheduler never assigns.
    NeverSchedules,
    /// Statuses are taken in the order of their arrival.
    TakesStaleStatus,
    /// Sessions do not say what is gone.
    SendsNoRemovals,
    /// The agent leaves containers of removed tasks.
    KeepsContainers,
    /// The agent runs what its user has stopped.
    IgnoresStop,
    /// The agent takes every probe for a pass.
    IgnoresHealth,
    /// The agent never learns that a process has ended.
    MissesExits,
    /// A starting daemon does not look for running shims.
    ForgetsShims,
    /// A new session is not told what the last one was.
    ReportsOnce,
    /// The agent never kills.
    NeverKills,
    /// The agent starts tasks that are only to be ready.
    StartsEarly,
    /// Tasks never give way to newer ones.
    KeepsOld,
    /// Tasks that are ready are never let go.
    NeverLetsGo,
    /// Rolling updates have no end.
    NeverFinishes,
    /// Global services forget a node.
    ForgetsNode,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::KeepsTasks,
        Self::KeepsHistory,
        Self::LeaksNetworks,
        Self::SkipsDependencies,
        Self::SurplusTask,
        Self::NeverSchedules,
        Self::TakesStaleStatus,
        Self::SendsNoRemovals,
        Self::KeepsContainers,
        Self::IgnoresStop,
        Self::IgnoresHealth,
        Self::MissesExits,
        Self::ForgetsShims,
        Self::ReportsOnce,
        Self::NeverKills,
        Self::StartsEarly,
        Self::KeepsOld,
        Self::NeverLetsGo,
        Self::NeverFinishes,
        Self::ForgetsNode,
    ];

    /// Breaks a leader's plan.
    pub fn plan(self, commands: &mut Vec<Command>) {
        match self {
            Self::KeepsTasks => {
                commands.retain(|c| !matches!(c, Command::SetDesired { desired: TaskState::Remove, .. }))
            }
            Self::KeepsHistory => {
                // Without the deletion of tasks, nothing after it would be taken either.
                let gone = |c: &Command| matches!(c, Command::DeleteTask { .. } | Command::RemoveService { .. });
                commands.retain(|c| !gone(c));
            }
            Self::KeepsOld => {
                commands.retain(|c| !matches!(c, Command::SetDesired { desired: TaskState::Shutdown, .. }))
            }
            Self::NeverLetsGo => {
                commands.retain(|c| !matches!(c, Command::SetDesired { desired: TaskState::Running, .. }))
            }
            Self::NeverFinishes => commands.retain(|c| !matches!(c, Command::SetUpdate { .. })),
            Self::ForgetsNode => forget_node(commands),
            Self::LeaksNetworks => commands.retain(|c| !matches!(c, Command::RemoveNetwork { .. })),
            Self::NeverSchedules => commands.retain(|c| !matches!(c, Command::AssignTask { .. })),
            Self::SkipsDependencies => {
                for command in commands {
                    if let Command::CreateTask { task, .. } = command {
                        task.desired = TaskState::Running;
                    }
                }
            }
            Self::SurplusTask => surplus(commands),
            _ => {}
        }
    }

    /// Breaks what a session sends.
    pub fn diff(self, diff: &mut AssignmentsDiff) {
        if self == Self::SendsNoRemovals {
            diff.removed_tasks.clear();
        }
    }

    /// Breaks what an agent decides.
    pub fn reconcile(self, actions: &mut Vec<worker::Action>) {
        let removes =
            |action: &worker::Action| matches!(action, worker::Action::SetGoal { goal: task::Goal::Remove { .. }, .. });
        match self {
            Self::KeepsContainers => actions.retain(|action| !removes(action)),
            Self::IgnoresStop => {
                actions.retain(|action| !matches!(action, worker::Action::SetIntent { intent, .. } if intent.stopped));
            }
            _ => {}
        }
    }

    /// Breaks what a container learns; `None`: it never does.
    pub fn event(self, event: task::Event) -> Option<task::Event> {
        match event {
            task::Event::Exited { .. } if self == Self::MissesExits => None,
            task::Event::Probed(probe) if self == Self::IgnoresHealth => {
                Some(task::Event::Probed(agent::health::Probe { exit_code: 0, ..probe }))
            }
            task::Event::Goal(goal) => Some(task::Event::Goal(self.goal(goal))),
            event => Some(event),
        }
    }

    /// Breaks what is to become of a container.
    pub fn goal(self, goal: task::Goal) -> task::Goal {
        if self == Self::StartsEarly && goal == task::Goal::Ready { task::Goal::Run } else { goal }
    }

    /// Breaks what is done; `false`: nothing is.
    pub fn performs(self, action: &task::Action) -> bool {
        !(self == Self::NeverKills && *action == task::Action::Kill)
    }
}

/// Without the task, nothing of it would be taken either.
fn forget_node(commands: &mut Vec<Command>) {
    let first = commands.iter().find_map(|command| match command {
        Command::CreateTask { task, .. } if task.bound.is_some() => Some(task.id),
        _ => None,
    });
    let concerns = |command: &Command| match command {
        Command::CreateTask { task, .. } => Some(task.id) == first,
        Command::AssignTask { task, .. } => Some(*task) == first,
        _ => false,
    };
    commands.retain(|command| first.is_none() || !concerns(command));
}

fn surplus(commands: &mut Vec<Command>) {
    let made = commands.iter().find_map(|command| match command {
        Command::CreateTask { task, seen } => Some((task.clone(), *seen)),
        _ => None,
    });
    if let Some((mut task, seen)) = made {
        task.id = model::TaskId::from_random(u128::from(task.slot) << 64 | u128::from(task.spec_version));
        task.slot += 1000;
        task.node = None;
        commands.push(Command::CreateTask { task, seen });
    }
}
