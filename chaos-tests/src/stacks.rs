//! Random small stacks, and how their containers behave.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{
    AttachmentSpec, ContainerSpec, Dependency, DependencyCondition, FailureAction, FileTarget, HealthTest, Healthcheck,
    Hook, NetworkMode, NetworkSpec, RestartCondition, RestartPolicy, SecretData, SecretFile, SecretSpec, ServiceMode,
    ServiceSpec, Stack, StackMember, UpdateConfig, UpdateOrder,
};

use crate::random::Random;

/// What the process of a container does. It is the spec's command, so that the executor finds it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Runs until it is asked to end.
    Serves,
    /// Runs until it is killed.
    Stubborn,
    /// Runs, and never passes a probe.
    Sick,
    /// Ends with code 0 after a while.
    Finishes,
    /// Ends with code 1 after a while.
    Fails,
}

const BEHAVIOURS: [(Behaviour, &str); 5] = [
    (Behaviour::Serves, "serve"),
    (Behaviour::Stubborn, "stubborn"),
    (Behaviour::Sick, "sick"),
    (Behaviour::Finishes, "finish"),
    (Behaviour::Fails, "fail"),
];

impl Behaviour {
    /// Of a container's process.
    pub fn of(spec: &ContainerSpec) -> Self {
        let word = spec.command.as_ref().and_then(|words| words.first());
        let found = BEHAVIOURS.iter().find(|(_, name)| word.is_some_and(|word| word == name));
        found.map_or(Self::Serves, |(behaviour, _)| *behaviour)
    }
}

/// A stack of one to four services.
pub fn stack(name: &str, random: &mut Random) -> Stack {
    let count = 1 + random.below(4);
    let mut services: Vec<ServiceSpec> = Vec::new();
    let secret = SecretSpec {
        name: format!("{name}_key"),
        labels: BTreeMap::new(),
        stack: Some(name.into()),
        data: SecretData::new(vec![u8::try_from(random.below(3)).unwrap_or_default()]),
        template: false,
    };
    for index in 0..count {
        let service = service(name, index, &services, &secret, random);
        services.push(service);
    }
    let uses =
        |secret: &SecretSpec| services.iter().any(|s| s.container.secrets.iter().any(|f| f.secret == secret.name));
    let secrets = Some(secret).filter(uses).into_iter().collect();
    let network = NetworkSpec { name: network(name), stack: Some(name.into()), ..NetworkSpec::default() };
    Stack { name: name.into(), services, networks: vec![network], secrets, ..Stack::default() }
}

fn network(stack: &str) -> String {
    format!("{stack}_default")
}

fn service(stack: &str, index: u64, before: &[ServiceSpec], secret: &SecretSpec, random: &mut Random) -> ServiceSpec {
    let key = format!("s{index}");
    let mut depends_on = BTreeMap::new();
    if let Some(other) = random.pick(before).filter(|_| random.chance(60)) {
        depends_on.insert(other.key().to_owned(), dependency(&other, random));
    }
    let attachment = AttachmentSpec { network: network(stack), ..AttachmentSpec::default() };
    let (mut mode, mut container) = (ServiceMode::Replicated { replicas: replicas(random) }, container(secret, random));
    // One of them is the cluster's.
    let update = (stack == "jobs").then(|| update(random));
    if update.is_some() {
        mode = match random.below(10) {
            0 | 1 => ServiceMode::Global,
            2 | 3 => {
                (container.command, container.healthcheck) = (Some(vec!["finish".into()]), None);
                let policy = RestartCondition::OnFailure;
                container.restart = RestartPolicy { condition: policy, ..RestartPolicy::default() };
                ServiceMode::ReplicatedJob { max_concurrent: 1, total_completions: replicas(random) }
            }
            _ => mode,
        };
    }
    ServiceSpec {
        name: format!("{stack}-{key}"),
        stack: Some(StackMember { stack: stack.into(), key }),
        mode,
        container,
        update,
        network: NetworkMode::Networks(vec![attachment]),
        depends_on,
        ..ServiceSpec::default()
    }
}

/// Whatever fails, the tasks of the new spec are to be there in the end.
fn update(random: &mut Random) -> UpdateConfig {
    let order = random.pick(&[UpdateOrder::StopFirst, UpdateOrder::StartFirst]).unwrap_or_default();
    let parallelism = u32::try_from(random.below(3)).unwrap_or_default();
    let (delay, monitor) = (Duration::from_secs(random.below(3)), Duration::from_secs(random.below(5)));
    UpdateConfig { parallelism, delay, failure_action: FailureAction::Continue, monitor, max_failure_ratio: 0, order }
}

/// Seldom none.
pub fn replicas(random: &mut Random) -> u32 {
    random.pick(&[0, 1, 1, 1, 2, 2, 3]).unwrap_or(1)
}

/// A condition that the other service may come to fulfil.
fn dependency(other: &ServiceSpec, random: &mut Random) -> Dependency {
    let behaviour = Behaviour::of(&other.container);
    let condition = match behaviour {
        Behaviour::Finishes if random.chance(80) => DependencyCondition::ServiceCompletedSuccessfully,
        _ if other.container.healthcheck.is_some() && random.chance(70) => DependencyCondition::ServiceHealthy,
        _ => DependencyCondition::ServiceStarted,
    };
    Dependency { condition, restart: random.chance(30), required: true }
}

fn container(secret: &SecretSpec, random: &mut Random) -> ContainerSpec {
    let behaviour = random.below(20);
    let (_, command) = BEHAVIOURS[match behaviour {
        0..10 => 0,
        10..12 => 1,
        12..14 => 2,
        14..18 => 3,
        _ => 4,
    }];
    let checked = command == "sick" || random.chance(30);
    let healthcheck = Healthcheck {
        test: Some(HealthTest::Exec(vec!["probe".into()])),
        interval: Some(Duration::from_secs(4)),
        retries: Some(2),
        ..Healthcheck::default()
    };
    let file = FileTarget { path: "/run/secrets/key".into(), uid: "0".into(), gid: "0".into(), mode: 0o400 };
    let hook = Hook { command: vec!["hook".into()], ..Hook::default() };
    let mut hooks = || vec![hook.clone(); usize::try_from(random.below(8).saturating_sub(5)).unwrap_or_default()];
    let (post_start, pre_stop) = (hooks(), hooks());
    let secrets =
        random.chance(30).then(|| SecretFile { secret: secret.name.clone(), id: None, template: false, file });
    ContainerSpec {
        image: format!("image:{}", random.below(3)),
        command: Some(vec![command.into()]),
        stop_grace_period: Some(Duration::from_secs(2)),
        healthcheck: checked.then_some(healthcheck),
        secrets: secrets.into_iter().collect(),
        restart: restart(random),
        post_start,
        pre_stop,
        ..ContainerSpec::default()
    }
}

fn restart(random: &mut Random) -> RestartPolicy {
    let conditions =
        [RestartCondition::No, RestartCondition::OnFailure, RestartCondition::Always, RestartCondition::UnlessStopped];
    let condition = random.pick(&conditions).unwrap_or_default();
    let max_attempts = (condition == RestartCondition::OnFailure && random.chance(50)).then_some(3);
    RestartPolicy { condition, max_attempts, ..RestartPolicy::default() }
}

/// Changes one service of a stack: another image, or another number of replicas.
pub fn change(stack: &mut Stack, random: &mut Random) {
    let index = usize::try_from(random.below(stack.services.len() as u64)).unwrap_or_default();
    let Some(service) = stack.services.get_mut(index) else { return };
    if random.chance(50) && matches!(service.mode, ServiceMode::Replicated { .. }) {
        service.mode = ServiceMode::Replicated { replicas: replicas(random) };
    } else {
        service.container.image = format!("image:{}", random.below(5));
    }
}
