//! The values behind the golden files of version 1. No field has its default, so that every field number is held.

use std::time::Duration;

use model::*;

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn map<V, const N: usize>(items: [(&str, V); N]) -> std::collections::BTreeMap<String, V> {
    items.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn text(value: &str) -> String {
    value.to_owned()
}

fn some(value: &str) -> Option<String> {
    Some(text(value))
}

fn seconds(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(count))
}

fn file(path: &str) -> FileTarget {
    FileTarget { path: text(path), uid: text("1000"), gid: text("www"), mode: 0o440 }
}

fn mounts() -> Vec<Mount> {
    let volume = MountSource::Volume {
        name: some("shop_data"),
        no_copy: true,
        subpath: some("pg"),
        spec: VolumeSpec {
            labels: map([("tier", text("db"))]),
            driver_opts: map([("type", text("tmpfs"))]),
            external: true,
        },
    };
    let (path, propagation) = (text("/srv/shop"), Propagation::Rslave);
    let bind = MountSource::Bind { path, create: true, propagation, recursive: Default::default(), relabel: None };
    let tmpfs = MountSource::Tmpfs { size: Some(65_536), mode: Some(0o1777), options: Vec::new() };
    let mount = |target: &str, source| Mount { target: text(target), read_only: true, source };
    vec![mount("/var/lib/data", volume), mount("/srv", bind), mount("/tmp", tmpfs)]
}

/// A container spec with this health test.
fn container(test: HealthTest) -> ContainerSpec {
    ContainerSpec {
        image: text("nginx:1.27"),
        entrypoint: Some(strings(&["/entry", "-x"])),
        command: Some(Vec::new()),
        env: map([("LANG", text("de_DE")), ("MODE", text("fast"))]),
        working_dir: some("/srv"),
        user: some("www:33"),
        group_add: strings(&["video"]),
        hostname: some("web"),
        domainname: some("nis"),
        labels: map([("a", text("1"))]),
        annotations: map([("b", text("2"))]),
        tty: true,
        open_stdin: true,
        stop_signal: some("SIGQUIT"),
        stop_grace_period: seconds(90),
        read_only: true,
        privileged: true,
        cap_add: strings(&["NET_ADMIN"]),
        cap_drop: strings(&["ALL"]),
        security: SecurityOptions {
            seccomp: SeccompProfile::Unconfined,
            no_new_privileges: true,
            ..SecurityOptions::default()
        },
        mounts: mounts(),
        secrets: vec![SecretFile {
            secret: text("shop_key"),
            id: Some(SecretId::from_random(11)),
            template: false,
            file: file("/k"),
        }],
        configs: vec![ConfigFile {
            config: text("shop_cfg"),
            id: Some(ConfigId::from_random(12)),
            template: false,
            file: file("/c"),
        }],
        healthcheck: Some(Healthcheck {
            test: Some(test),
            interval: seconds(30),
            timeout: seconds(5),
            retries: Some(3),
            start_period: seconds(10),
            start_interval: seconds(1),
        }),
        extra_hosts: vec![
            HostEntry { host: text("api"), address: HostAddress::Ip("192.0.2.7".parse().unwrap()) },
            HostEntry { host: text("node"), address: HostAddress::HostGateway },
        ],
        dns: vec!["9.9.9.9".parse().unwrap(), "2620:fe::fe".parse().unwrap()],
        dns_search: strings(&["example.org"]),
        dns_options: strings(&["ndots:2"]),
        sysctls: map([("net.core.somaxconn", text("1024"))]),
        ulimits: map([("nofile", Ulimit { soft: 1024, hard: -1 })]),
        shm_size: Some(1 << 26),
        devices: vec![Device { source: text("/dev/fuse"), target: text("/dev/f"), permissions: text("rw") }],
        resources: Resources {
            limits: Limits {
                nano_cpus: Some(1_500_000_000),
                cpu_shares: Some(512),
                cpuset: some("0-1"),
                memory: Some(1 << 30),
                memory_swap: Some(-1),
                pids: Some(100),
                ..Limits::default()
            },
            reservations: Reservations { nano_cpus: 250_000_000, memory: 1 << 20, ..Reservations::default() },
        },
        pid: PidMode::Host,
        ipc: IpcMode::Host,
        // What was added later is absent in the first version; the round trips of `strategies` have it.
        uts: NamespaceMode::Private,
        userns: NamespaceMode::Private,
        cgroupns: CgroupnsMode::Default,
        cgroup_parent: None,
        device_cgroup_rules: Vec::new(),
        runtime: None,
        device_requests: Vec::new(),
        oom_score_adj: Some(-500),
        restart: RestartPolicy {
            condition: RestartCondition::OnFailure,
            max_attempts: Some(4),
            delay: seconds(2),
            window: seconds(60),
        },
        exposed: Vec::new(),
        init: false,
        post_start: Vec::new(),
        pre_stop: Vec::new(),
        log: LogConfig { driver: LogDriver::Local, options: map([("max-size", text("1m"))]) },
    }
}

fn port() -> PortSpec {
    PortSpec {
        host_ip: Some("127.0.0.1".parse().unwrap()),
        published: Some(8080),
        target: 80,
        protocol: Protocol::Udp,
        mode: PublishMode::Host,
        choose_from: None,
    }
}

fn member() -> Option<StackMember> {
    Some(StackMember { stack: text("shop"), key: text("web") })
}

/// A service with every field set.
pub fn service_spec() -> ServiceSpec {
    let attachment = AttachmentSpec {
        network: text("shop_front"),
        aliases: strings(&["www"]),
        ipv4_address: Some("10.4.0.9".parse().unwrap()),
        ipv6_address: Some("fd00::9".parse().unwrap()),
        ..AttachmentSpec::default()
    };
    let dependency = Dependency { condition: DependencyCondition::ServiceHealthy, restart: true, required: true };
    ServiceSpec {
        name: text("shop-web"),
        labels: map([("c", text("3"))]),
        stack: member(),
        mode: ServiceMode::Replicated { replicas: 3 },
        container: container(HealthTest::Shell(text("curl -f localhost"))),
        container_name: some("web"),
        container_prefix: None,
        network: NetworkMode::Networks(vec![attachment]),
        ports: vec![port()],
        endpoint_mode: EndpointMode::Dnsrr,
        depends_on: map([("db", dependency)]),
        placement: Placement { node: Some(NodeId::from_random(13)), ..Placement::default() },
        // Came later: the golden messages of this version do not have them.
        step_of: None,
        update: None,
        rollback: None,
        force_update: 0,
    }
}

fn attachments() -> Vec<Attachment> {
    let addresses = vec!["10.4.0.10".parse().unwrap(), "fd00::a".parse().unwrap()];
    vec![Attachment { network: NetworkId::from_random(14), addresses }]
}

fn task_with(id: u128, spec: TaskSpec) -> Task {
    let container = ContainerStatus {
        id: ContainerId::from_random([0xab; 32]),
        phase: ContainerPhase::Exited,
        pid: Some(4242),
        exit_code: Some(137),
        oom_killed: true,
        health: Health::Unhealthy,
        restart_count: 5,
        restarts_done: 6,
        started_at: Timestamp(1_700_000_000_000_000_001),
        finished_at: Timestamp(1_700_000_000_000_000_002),
        attachments: attachments(),
    };
    Task {
        id: TaskId::from_random(id),
        meta: Meta { version: 7, created_at: Timestamp(8), updated_at: Timestamp(-9) },
        service: ServiceId::from_random(15),
        slot: 2,
        name: text("shop-web-2"),
        spec,
        spec_version: 16,
        node: Some(NodeId::from_random(u128::MAX)),
        desired: TaskState::Shutdown,
        intent: RunIntent { stopped: true, restarts: 17 },
        continues: Some(TaskId::from_random(18)),
        volumes_since: None,
        tries: 2,
        bound: None,
        status: TaskStatus {
            state: TaskState::Failed,
            revision: 19,
            at: Timestamp(20),
            message: text("ended"),
            error: some("exit code 137"),
            container: Some(container),
        },
    }
}

/// A task with every field set.
pub fn task() -> Task {
    let test = HealthTest::Exec(strings(&["/probe", "--fast"]));
    task_with(21, TaskSpec { container: container(test), network: NetworkMode::Host })
}

/// A difference with one of each.
pub fn assignments_diff() -> AssignmentsDiff {
    let task = task_with(22, TaskSpec { container: container(HealthTest::Disabled), network: NetworkMode::None });
    let network = NetworkAssignment {
        id: NetworkId::from_random(23),
        name: text("shop_front"),
        subnets: vec!["10.4.0.0/24".parse().unwrap()],
        blocks: vec!["10.4.0.64/26".parse().unwrap()],
        internal: true,
        attachable: true,
        fixed: Vec::new(),
        driver: String::new(),
        options: Default::default(),
        gateways: Vec::new(),
        reserved: Vec::new(),
        foreign: Default::default(),
    };
    let backend = Backend {
        task: TaskId::from_random(24),
        name: text("shop-web-1"),
        node: NodeId::from_random(25),
        attachments: attachments(),
        serves: true,
    };
    let endpoint = ServiceEndpoint {
        service: ServiceId::from_random(26),
        name: text("shop-web"),
        stack: member(),
        mode: EndpointMode::Dnsrr,
        networks: vec![EndpointNetwork {
            network: NetworkId::from_random(27),
            vips: vec!["10.4.0.2".parse().unwrap()],
            aliases: strings(&["www"]),
            internal: false,
            elsewhere: false,
        }],
        ports: vec![port()],
        backends: vec![backend],
    };
    AssignmentsDiff {
        upserts: Assignments {
            tasks: [(task.id, task)].into(),
            networks: [(network.id, network)].into(),
            endpoints: [(endpoint.service, endpoint)].into(),
            secrets: [(SecretId::from_random(28), SecretData::new(b"hunter2".to_vec()))].into(),
            configs: [(ConfigId::from_random(29), b"key = value\n".to_vec())].into(),
            ..Assignments::default()
        },
        removed_tasks: vec![TaskId::from_random(30)],
        removed_networks: vec![NetworkId::from_random(31)],
        removed_endpoints: vec![ServiceId::from_random(32)],
        removed_secrets: vec![SecretId::from_random(33)],
        removed_configs: vec![ConfigId::from_random(34)],
        ..AssignmentsDiff::default()
    }
}

/// What came with the mesh between nodes.
pub fn mesh_diff() -> AssignmentsDiff {
    let mut diff = assignments_diff();
    let node = NodeId::from_random(35);
    let foreign = vec!["10.4.0.128/26".parse().unwrap(), "10.4.0.7/32".parse().unwrap()];
    diff.upserts.networks.values_mut().for_each(|network| drop(network.foreign.insert(node, foreign.clone())));
    let address = "192.0.2.7".parse().unwrap();
    let end = MeshEnd { key: MeshKey::new([7; 32]), address, port: 2378, images: None };
    diff.upserts.peers.insert(node, end);
    AssignmentsDiff { removed_peers: vec![NodeId::from_random(36)], data_path_port: Some(Some(2378)), ..diff }
}

/// What came with images of other nodes.
pub fn images_diff() -> AssignmentsDiff {
    let mut diff = mesh_diff();
    diff.upserts.peers.values_mut().for_each(|end| end.images = Some("192.0.2.7:2377".parse().unwrap()));
    diff
}
