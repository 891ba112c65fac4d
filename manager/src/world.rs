//! A small world for the tests of the pure rooms: a state, a clock and ids that count on, and short ways to declare things.

use model::{
    Attachment, AttachmentSpec, ClusterId, ConfigFile, ConfigSpec, ContainerId, ContainerPhase, ContainerStatus,
    Dependency, DependencyCondition, FileTarget, Health, NetworkId, NetworkMode, NetworkSpec, NodeDescription, NodeId,
    PortSpec, Protocol, PublishMode, RestartCondition, SecretData, SecretFile, SecretSpec, Service, ServiceMode,
    ServiceSpec, Stack, StackMember, Task, TaskState, TaskStatus, Timestamp, UpdateConfig,
};

use crate::state::{ApplyStack, Command, Entry, Event, IdSource, Recreate, Refusal, State, apply, invariants};

/// The stack of the tests.
pub const STACK: &str = "shop";

/// A state and what changes it. Every change is checked against the invariants.
#[derive(Debug, Clone)]
pub struct World {
    pub state: State,
    pub now: Timestamp,
    pub ids: IdSource,
}

impl World {
    /// A cluster with so many nodes, `node(1)` and on.
    pub fn new(nodes: u128) -> Self {
        let mut world = Self { state: State::default(), now: Timestamp(1_000), ids: IdSource::new(7) };
        let (cluster, bridge) = (ClusterId::from_random(1), NetworkId::from_random(2));
        world.take([Command::Bootstrap { cluster, bridge }]);
        for id in 1..=nodes {
            world.take([Command::RegisterNode { node: node(id), description: description() }]);
        }
        world
    }

    /// Applies commands in one entry.
    pub fn entry(&mut self, commands: impl IntoIterator<Item = Command>) -> Result<Vec<Event>, Refusal> {
        self.now = Timestamp(self.now.0 + 1);
        let before = self.state.clone();
        let result = apply(&mut self.state, &Entry { now: self.now, commands: commands.into_iter().collect() });
        assert!(result.is_ok() || before == self.state, "a refused entry has changed the state");
        invariants::check(&self.state).unwrap();
        result
    }

    /// Applies commands that must be taken.
    pub fn take(&mut self, commands: impl IntoIterator<Item = Command>) -> Vec<Event> {
        self.entry(commands).unwrap()
    }

    /// Declares a stack.
    pub fn up(&mut self, stack: Stack) -> Result<Vec<Event>, Refusal> {
        self.up_with(stack, |_| ())
    }

    /// Declares a stack in another way than the usual one.
    pub fn up_with(&mut self, stack: Stack, change: impl FnOnce(&mut ApplyStack)) -> Result<Vec<Event>, Refusal> {
        let command = self.apply_command(stack, change);
        self.entry([command])
    }

    /// The command that declares a stack.
    pub fn apply_command(&mut self, stack: Stack, change: impl FnOnce(&mut ApplyStack)) -> Command {
        let mut apply = ApplyStack {
            stack,
            recreate: Recreate::Changed,
            remove_orphans: false,
            start_stopped: false,
            no_start: false,
            force: Vec::new(),
            renew_volumes: false,
            keep_replicas: Vec::new(),
            ids: IdSource::new(self.ids.draw()),
        };
        change(&mut apply);
        Command::ApplyStack(Box::new(apply))
    }

    /// Plans until the cores have nothing to add, and applies it.
    pub fn settle(&mut self) {
        for _ in 0..50 {
            let outcome = crate::leader::plan::plan(&self.state, self.now, &mut self.ids);
            assert_eq!(outcome.refused, None, "a core decides what the state refuses");
            if outcome.plan.commands.is_empty() {
                return;
            }
            self.take(outcome.plan.commands);
        }
        panic!("the cores do not come to rest");
    }

    /// Lets the time of the next deadline come, if there is one.
    pub fn wait(&mut self) -> bool {
        let plan = crate::orchestrator::reconcile(&self.state, self.now, &mut self.ids);
        let Some(at) = plan.wake_at else { return false };
        self.now = self.now.max(at);
        true
    }

    /// Converges, and waits for every deadline.
    pub fn finish(&mut self) {
        for _ in 0..200 {
            self.converge();
            if !self.wait() {
                return;
            }
        }
        panic!("deadlines have no end");
    }

    /// Another spec for a service.
    pub fn update(&mut self, key: &str, change: impl FnOnce(&mut ServiceSpec)) {
        let service = self.service(key).clone();
        let mut spec = Box::new(service.spec);
        change(&mut spec);
        self.take([Command::UpdateService { service: service.id, spec, seen: service.meta.version }]);
    }

    /// Tasks of a service that are to be there.
    pub fn live(&self, key: &str) -> Vec<Task> {
        self.tasks(key).into_iter().filter(Task::is_live).collect()
    }

    /// The service of this key.
    pub fn service(&self, key: &str) -> &Service {
        self.state.service_of_stack(STACK, key).unwrap()
    }

    /// The tasks of the service of this key.
    pub fn tasks(&self, key: &str) -> Vec<Task> {
        self.state.tasks_of(self.service(key).id).cloned().collect()
    }

    /// The only task of the service of this key.
    pub fn task(&self, key: &str) -> Task {
        let tasks = self.tasks(key);
        assert_eq!(tasks.len(), 1, "{key} has {} tasks", tasks.len());
        tasks[0].clone()
    }

    /// The agent of the task's node reports a state, changed in some way.
    pub fn report(&mut self, task: &Task, state: TaskState, change: impl FnOnce(&mut TaskStatus)) {
        let task = self.state.tasks[&task.id].clone();
        let mut status = TaskStatus { state, revision: task.status.revision + 1, at: self.now, ..task.status.clone() };
        change(&mut status);
        self.take([Command::ReportStatuses { node: task.node.unwrap(), reports: vec![(task.id, status)] }]);
    }

    /// Agents do what is wanted of every task: run it, or end it.
    pub fn run_agents(&mut self) {
        for task in self.state.tasks.values().cloned().collect::<Vec<_>>() {
            if task.node.is_none() || task.status.state.is_terminal() {
                continue;
            }
            match task.desired {
                TaskState::Running if task.status.state < TaskState::Running && !task.intent.stopped => {
                    self.run(&task, Health::None)
                }
                TaskState::Ready if task.status.state < TaskState::Ready => {
                    self.report(&task, TaskState::Ready, |_| ())
                }
                TaskState::Shutdown | TaskState::Remove => self.report(&task, TaskState::Shutdown, |_| ()),
                _ => {}
            }
        }
    }

    /// A task's container runs.
    pub fn run(&mut self, task: &Task, health: Health) {
        self.report(task, TaskState::Running, |status| {
            status.container = Some(container(ContainerPhase::Running, health))
        });
    }

    /// A task's container has ended by itself.
    pub fn end(&mut self, task: &Task, state: TaskState, code: i32) {
        let ended = ContainerStatus { exit_code: Some(code), ..container(ContainerPhase::Exited, Health::None) };
        self.report(task, state, |status| status.container = Some(ended));
    }

    /// Cores and agents in turn until nothing changes.
    pub fn converge(&mut self) {
        for _ in 0..50 {
            let before = self.state.version;
            self.settle();
            self.run_agents();
            if self.state.version == before {
                return;
            }
        }
        panic!("cores and agents do not come to rest");
    }
}

/// A service of the stack whose tasks give way one after the other.
pub fn rolling(key: &str, change: impl FnOnce(&mut UpdateConfig)) -> ServiceSpec {
    let mut update = UpdateConfig::default();
    change(&mut update);
    let mut spec = ServiceSpec { update: Some(update), rollback: Some(update), ..service(key) };
    spec.container.restart.condition = RestartCondition::Always;
    spec
}

/// A node's id.
pub fn node(id: u128) -> NodeId {
    NodeId::from_random(1000 + id)
}

/// Four CPUs, 8 GB.
pub fn description() -> NodeDescription {
    NodeDescription { nano_cpus: 4_000_000_000, memory: 8_000_000_000, ..NodeDescription::default() }
}

/// A container's observed state, with an address that no test looks at.
pub fn container(phase: ContainerPhase, health: Health) -> ContainerStatus {
    ContainerStatus {
        id: ContainerId::from_random([7; 32]),
        phase,
        pid: Some(42),
        exit_code: None,
        oom_killed: false,
        health,
        restart_count: 0,
        restarts_done: 0,
        started_at: Timestamp(5),
        finished_at: Timestamp::NEVER,
        attachments: vec![Attachment { network: NetworkId::from_random(2), addresses: Vec::new() }],
    }
}

/// A service of the stack, on the stack's network.
pub fn service(key: &str) -> ServiceSpec {
    let mut spec = ServiceSpec {
        name: format!("{STACK}-{key}"),
        stack: Some(StackMember { stack: STACK.into(), key: key.into() }),
        network: NetworkMode::Networks(vec![on(NET)]),
        ..ServiceSpec::default()
    };
    spec.container.image = "orca/demo".into();
    spec
}

/// The stack's network.
pub const NET: &str = "shop_default";

/// An attachment to a network.
pub fn on(network: &str) -> AttachmentSpec {
    AttachmentSpec { network: network.into(), ..AttachmentSpec::default() }
}

/// The stack with these services and its network.
pub fn stack(services: impl IntoIterator<Item = ServiceSpec>) -> Stack {
    let services = services.into_iter().collect();
    Stack { name: STACK.into(), services, networks: vec![network(NET, &[])], ..Stack::default() }
}

/// A network of the stack.
pub fn network(name: &str, subnets: &[&str]) -> NetworkSpec {
    let subnets = subnets.iter().map(|subnet| subnet.parse().unwrap()).collect();
    NetworkSpec { name: name.into(), stack: Some(STACK.into()), subnets, ..NetworkSpec::default() }
}

/// A secret of the stack.
pub fn secret(name: &str, data: &str) -> SecretSpec {
    let data = SecretData::new(data.into());
    SecretSpec { name: name.into(), labels: Default::default(), stack: Some(STACK.into()), data, template: false }
}

/// A config of the stack.
pub fn config(name: &str, data: &str) -> ConfigSpec {
    ConfigSpec {
        name: name.into(),
        labels: Default::default(),
        stack: Some(STACK.into()),
        data: data.into(),
        template: false,
    }
}

/// A use of a secret.
pub fn secret_file(name: &str) -> SecretFile {
    SecretFile { secret: name.into(), id: None, template: false, file: target() }
}

/// A use of a config.
pub fn config_file(name: &str) -> ConfigFile {
    ConfigFile { config: name.into(), id: None, template: false, file: target() }
}

fn target() -> FileTarget {
    FileTarget { path: "/run/file".into(), uid: "0".into(), gid: "0".into(), mode: 0o444 }
}

/// So many replicas.
pub fn replicas(replicas: u32) -> ServiceMode {
    ServiceMode::Replicated { replicas }
}

/// A published TCP port; `None`: any.
pub fn port(published: Option<u16>) -> PortSpec {
    PortSpec {
        host_ip: None,
        published,
        target: 80,
        protocol: Protocol::Tcp,
        mode: PublishMode::Ingress,
        choose_from: None,
    }
}

/// A dependency that is required and does not restart.
pub fn dependency(condition: DependencyCondition) -> Dependency {
    Dependency { condition, restart: false, required: true }
}
