//! Random walks through a small world: users, agents and leaders with old news. Whatever is taken or refused, the invariants hold
//! (`World::entry` checks them), nothing panics, and once the walk is over everything comes to rest.

use model::{AttachmentSpec, NetworkMode, NodeState, ServiceSpec, Stack, TaskState};
use proptest::prelude::*;

use crate::state::{Command, IdSource, IntentAction, Recreate};
use crate::world::{
    NET, STACK, World, description, network, node, on, port, replicas, secret, secret_file, service, stack,
};

/// One step of a walk. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Up {
        services: Vec<Shape>,
        subnet: usize,
        word: u8,
        recreate: usize,
        orphans: bool,
        start: bool,
    },
    Remove(Vec<usize>),
    Intent {
        task: usize,
        action: usize,
    },
    Report {
        task: usize,
        state: usize,
        stale: bool,
    },
    Agents,
    Plan,
    /// A plan for a state that was so before the last steps.
    OldPlan,
    Orphan(usize),
    Node {
        node: u128,
        down: bool,
    },
}

/// One service of a stack.
#[derive(Debug, Clone)]
struct Shape {
    key: usize,
    replicas: u32,
    image: u8,
    fixed: bool,
    secret: bool,
    port: Option<Option<u16>>,
}

const KEYS: [&str; 3] = ["web", "db", "job"];
const SUBNETS: [&[&str]; 5] =
    [&[], &["10.1.0.0/24"], &["10.1.0.0/25"], &["10.1.0.0/29"], &["10.1.0.0/16", "10.9.0.0/28"]];

fn shape() -> impl Strategy<Value = Shape> {
    let port = proptest::option::of(proptest::option::of(30_000u16..30_003));
    (0usize..3, 0u32..4, 0u8..2, any::<bool>(), any::<bool>(), port)
        .prop_map(|(key, replicas, image, fixed, secret, port)| Shape { key, replicas, image, fixed, secret, port })
}

fn step() -> impl Strategy<Value = Step> {
    let up = (proptest::collection::vec(shape(), 0..4), 0usize..5, 0u8..2, 0usize..3, any::<bool>(), any::<bool>());
    prop_oneof![
        4 => up.prop_map(|(services, subnet, word, recreate, orphans, start)| {
            Step::Up { services, subnet, word, recreate, orphans, start }
        }),
        1 => proptest::collection::vec(0usize..3, 0..2).prop_map(Step::Remove),
        2 => (0usize..9, 0usize..3).prop_map(|(task, action)| Step::Intent { task, action }),
        3 => (0usize..9, 0usize..14, any::<bool>()).prop_map(|(task, state, stale)| Step::Report { task, state, stale }),
        3 => Just(Step::Agents),
        4 => Just(Step::Plan),
        2 => Just(Step::OldPlan),
        1 => (0usize..9).prop_map(Step::Orphan),
        1 => (1u128..4, any::<bool>()).prop_map(|(node, down)| Step::Node { node, down }),
    ]
}

impl Shape {
    fn spec(&self) -> ServiceSpec {
        let mut spec = ServiceSpec { mode: replicas(self.replicas), ..service(KEYS[self.key]) };
        spec.container.image = format!("image-{}", self.image);
        if self.fixed {
            let address = Some([10, 1, 0, 2 + self.key as u8].into());
            spec.network = NetworkMode::Networks(vec![AttachmentSpec { ipv4_address: address, ..on(NET) }]);
        }
        spec.container.secrets.extend(self.secret.then(|| secret_file("shop_key")));
        spec.ports.extend(self.port.map(port));
        spec
    }
}

fn app(services: &[Shape], subnet: usize, word: u8) -> Stack {
    let mut specs: Vec<ServiceSpec> = Vec::new();
    for spec in services.iter().map(Shape::spec) {
        if !specs.iter().any(|other| other.name == spec.name) {
            specs.push(spec);
        }
    }
    let secrets = vec![secret("shop_key", &word.to_string())];
    Stack { networks: vec![network(NET, SUBNETS[subnet])], secrets, ..stack(specs) }
}

fn walk(world: &mut World, old: &mut World, step: Step) {
    let tasks: Vec<_> = world.state.tasks.values().cloned().collect();
    let chosen = |index: usize| (!tasks.is_empty()).then(|| tasks[index % tasks.len()].clone());
    match step {
        Step::Up { services, subnet, word, recreate, orphans, start } => {
            let recreate = [Recreate::Changed, Recreate::Force, Recreate::Never][recreate];
            let _ = world.up_with(app(&services, subnet, word), |apply| {
                (apply.recreate, apply.remove_orphans, apply.start_stopped) = (recreate, orphans, start);
                apply.no_start = !start && !orphans;
            });
        }
        Step::Remove(keys) => {
            let services = keys.into_iter().map(|key| KEYS[key].to_owned()).collect();
            let _ = world.entry([Command::RemoveStack { stack: STACK.into(), services }]);
        }
        Step::Intent { task, action } => {
            let action = [IntentAction::Stop, IntentAction::Start, IntentAction::Restart][action];
            let ids = IdSource::new(world.ids.draw());
            let tasks = chosen(task).map(|task| task.id).into_iter().collect();
            let _ = world.entry([Command::SetIntent { tasks, action, ids }]);
        }
        Step::Report { task, state, stale } => {
            let Some(task) = chosen(task).filter(|task| task.node.is_some()) else { return };
            let state = TaskState::ALL[state];
            world.report(&task, state, |status| status.revision -= u64::from(stale && status.revision > 1));
        }
        Step::Agents => world.run_agents(),
        Step::Plan => world.settle(),
        Step::OldPlan => {
            let plan = crate::leader::plan::plan(&old.state, world.now, &mut world.ids).plan;
            let _ = world.entry(plan.commands);
            *old = world.clone();
        }
        Step::Orphan(task) => {
            let Some(task) = chosen(task) else { return };
            let _ = world.entry([Command::OrphanTask { task: task.id, seen: task.meta.version }]);
        }
        Step::Node { node: id, down } => {
            let state = if down { NodeState::Down } else { NodeState::Ready };
            let _ = world.entry([Command::SetNodeState { node: node(id), state }]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold_and_the_world_comes_to_rest(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World::new(2);
        let mut old = world.clone();
        for step in steps {
            walk(&mut world, &mut old, step);
        }
        for id in 1..=2 {
            world.take([Command::RegisterNode { node: node(id), description: description() }]);
        }
        world.converge();
        let bytes = crate::state::codec::encode_state(&world.state);
        prop_assert_eq!(&crate::state::codec::decode_state(&bytes).unwrap(), &world.state);
        world.take([Command::RemoveStack { stack: STACK.into(), services: Vec::new() }]);
        world.converge();
        prop_assert!(world.state.services.is_empty() && world.state.tasks.is_empty() && world.state.secrets.is_empty());
        prop_assert_eq!(world.state.networks.len(), 1);
    }
}
