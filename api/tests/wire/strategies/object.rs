//! What the store holds and what agents are sent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use model::*;
use proptest::collection::btree_map;
use proptest::prelude::*;

use super::*;

prop_compose! {
    fn meta()(version in any::<u64>(), created_at in timestamp(), updated_at in timestamp()) -> Meta {
        Meta { version, created_at, updated_at }
    }
}

prop_compose! {
    fn address_pool()(base in subnet(), prefix in any::<u8>()) -> AddressPool {
        AddressPool { base, prefix }
    }
}

prop_compose! {
    pub fn cluster()(
        id in id(ClusterId::from_random),
        meta in meta(),
        address_pools in few(address_pool()),
        (task_history, heartbeat, expiry) in any::<(u32, u32, u32)>(),
        ca in proptest::option::of(text()),
        removed in btree_map(super::id(NodeId::from_random), timestamp(), 0..3),
        data_path_port in 1u16..,
    ) -> Cluster {
        let (heartbeat, certificate_expiry) = (Duration::from_millis(heartbeat.into()), Duration::from_secs(expiry.into()));
        let data = |text: &str| SecretData::new(text.as_bytes().to_vec());
        let identity = ca.map(|ca| ClusterIdentity {
            ca_key: data(&ca), worker_secret: data("w"), manager_secret: data(&ca), unlock_key: data("u"),
            next: (ca.len() % 2 == 0).then(|| NextAuthority { ca: ca.clone(), ca_key: data("n"), cross: "x".into() }), ca,
        });
        Cluster {
            id, meta, address_pools, spec: ClusterSpec { task_history, heartbeat, certificate_expiry }, identity, removed,
            data_path_port,
        }
    }
}

prop_compose! {
    fn vip()(network in id(NetworkId::from_random), address in any::<IpAddr>()) -> Vip {
        Vip { network, address }
    }
}

prop_compose! {
    pub fn service()(
        id in id(ServiceId::from_random),
        meta in meta(),
        spec in service_spec(),
        spec_version in any::<u64>(),
        volumes_since in any::<u64>(),
        removing in any::<bool>(),
        held in any::<bool>(),
        vips in few(vip()),
        ports in few(port_spec()),
        update in maybe(update_status()),
    ) -> Service {
        let endpoint = Endpoint { vips, ports };
        let previous = update.is_some().then(|| Box::new(PreviousSpec { spec: spec.clone(), spec_version }));
        Service { id, meta, spec, spec_version, volumes_since, removing, held, endpoint, previous, update }
    }
}

prop_compose! {
    fn update_status()(
        state in one_of(&[UpdateState::Updating, UpdateState::Paused, UpdateState::RollbackCompleted]),
        started_at in timestamp(),
        completed_at in timestamp(),
        message in text(),
    ) -> UpdateStatus {
        UpdateStatus { state, started_at, completed_at, message }
    }
}

prop_compose! {
    pub fn network()(
        id in id(NetworkId::from_random),
        meta in meta(),
        spec in network_spec(),
        subnets in few(subnet()),
        leases in btree_map(super::id(NodeId::from_random), few(subnet()), 0..3),
    ) -> Network {
        Network { id, meta, spec, subnets, leases }
    }
}

prop_compose! {
    fn mesh_end()(
        key in any::<[u8; 32]>(), address in any::<IpAddr>(), port in 1u16.., images in any::<Option<(IpAddr, u16)>>()
    ) -> MeshEnd {
        MeshEnd { key: MeshKey::new(key), address, port, images: images.map(Into::into) }
    }
}

prop_compose! {
    fn description()(
        hostname in text(),
        architecture in text(),
        os in text(),
        engine_version in text(),
        nano_cpus in any::<u64>(),
        memory in any::<u64>(),
        mesh in maybe(mesh_end()),
        (labels, generic) in (labels(), btree_map(text(), any::<u64>(), 0..3)),
        authority in proptest::collection::vec(any::<u8>(), 0..3),
    ) -> NodeDescription {
        NodeDescription { hostname, architecture, os, engine_version, nano_cpus, memory, mesh, labels, generic, authority }
    }
}

prop_compose! {
    pub fn node()(
        id in id(NodeId::from_random),
        meta in meta(),
        description in description(),
        state in one_of(&[NodeState::Unknown, NodeState::Ready, NodeState::Down]),
        role in one_of(&[NodeRole::Worker, NodeRole::Manager]),
        availability in one_of(&[Availability::Active, Availability::Pause, Availability::Drain]),
        labels in btree_map(text(), text(), 0..3),
        key in proptest::collection::vec(any::<u8>(), 0..8),
        manager in proptest::option::of((any::<u64>(), text())),
        address in text(),
    ) -> Node {
        let manager = manager.map(|(raft, address)| ManagerMember { raft, address });
        Node { id, meta, description, state, spec: NodeSpec { role, availability, labels }, key, manager, address }
    }
}

prop_compose! {
    pub fn secret()(
        id in id(SecretId::from_random), meta in meta(), spec in secret_spec(), superseded: bool,
    ) -> Secret {
        Secret { id, meta, spec, superseded }
    }
}

prop_compose! {
    pub fn config()(
        id in id(ConfigId::from_random), meta in meta(), spec in config_spec(), superseded: bool,
    ) -> Config {
        Config { id, meta, spec, superseded }
    }
}

prop_compose! {
    fn attachment()(network in id(NetworkId::from_random), addresses in few(any::<IpAddr>())) -> Attachment {
        Attachment { network, addresses }
    }
}

fn phase() -> impl Strategy<Value = ContainerPhase> {
    use ContainerPhase::*;
    one_of(&[Created, Running, Paused, Restarting, Exited, Removing, Dead])
}

prop_compose! {
    pub fn container_status()(
        id in any::<[u8; 32]>().prop_map(ContainerId::from_random),
        phase in phase(),
        pid in any::<Option<u32>>(),
        exit_code in any::<Option<i32>>(),
        oom_killed in any::<bool>(),
        health in one_of(&[Health::None, Health::Starting, Health::Healthy, Health::Unhealthy]),
        restart_count in any::<u32>(),
        restarts_done in any::<u64>(),
        started_at in timestamp(),
        finished_at in timestamp(),
        attachments in few(attachment()),
    ) -> ContainerStatus {
        ContainerStatus {
            id, phase, pid, exit_code, oom_killed, health, restart_count, restarts_done, started_at, finished_at,
            attachments,
        }
    }
}

prop_compose! {
    pub fn task_status()(
        state in one_of(&TaskState::ALL),
        revision in any::<u64>(),
        at in timestamp(),
        message in text(),
        error in maybe(text()),
        container in maybe(container_status()),
    ) -> TaskStatus {
        TaskStatus { state, revision, at, message, error, container }
    }
}

prop_compose! {
    fn any_task()(
        id in id(TaskId::from_random),
        meta in meta(),
        service in super::id(ServiceId::from_random),
        slot in any::<u32>(),
        name in text(),
        container in container_spec(),
        network in network_mode().boxed(),
        spec_version in any::<u64>(),
        node in maybe(super::id(NodeId::from_random)),
        desired in one_of(&TaskState::ALL),
        stopped in any::<bool>(),
        restarts in any::<u64>(),
        tries in any::<u32>(),
        continues in maybe(super::id(TaskId::from_random)),
        volumes_since in maybe(any::<u64>().boxed()),
        bound in maybe(super::id(NodeId::from_random)),
        status in task_status().boxed(),
    ) -> Task {
        Task {
            id, meta, service, slot, name, spec: TaskSpec { container, network }, spec_version, node, desired,
            intent: RunIntent { stopped, restarts }, tries, continues, volumes_since, bound, status,
        }
    }
}

pub fn task() -> BoxedStrategy<Task> {
    any_task().boxed()
}

prop_compose! {
    pub fn network_assignment()(
        id in id(NetworkId::from_random),
        name in text(),
        subnets in few(subnet()),
        blocks in few(subnet()),
        internal in any::<bool>(),
        attachable in any::<bool>(),
        fixed in few(any::<std::net::IpAddr>()),
        (driver, options) in (text(), labels()),
        gateways in few(any::<std::net::IpAddr>()),
        reserved in few(any::<std::net::IpAddr>()),
        foreign in btree_map(id(NodeId::from_random), few(subnet()), 0..3),
    ) -> NetworkAssignment {
        NetworkAssignment {
            id, name, subnets, blocks, internal, attachable, fixed, driver, options, gateways, reserved, foreign,
        }
    }
}

prop_compose! {
    fn endpoint_network()(
        network in id(NetworkId::from_random), vips in few(any::<IpAddr>()), aliases in texts(),
        internal: bool, elsewhere: bool,
    ) -> EndpointNetwork {
        EndpointNetwork { network, vips, aliases, internal, elsewhere }
    }
}

prop_compose! {
    fn backend()(
        task in id(TaskId::from_random),
        name in text(),
        node in id(NodeId::from_random),
        attachments in few(attachment()),
        serves in any::<bool>(),
    ) -> Backend {
        Backend { task, name, node, attachments, serves }
    }
}

prop_compose! {
    pub fn service_endpoint()(
        service in id(ServiceId::from_random),
        name in text(),
        stack in maybe(stack_member()),
        mode in endpoint_mode(),
        networks in few(endpoint_network()),
        ports in few(port_spec()),
        backends in few(backend()),
    ) -> ServiceEndpoint {
        ServiceEndpoint { service, name, stack, mode, networks, ports, backends }
    }
}

fn by_id<K: Ord, V>(values: Vec<V>, key: impl Fn(&V) -> K) -> BTreeMap<K, V> {
    values.into_iter().map(|value| (key(&value), value)).collect()
}

prop_compose! {
    fn assignments()(
        tasks in few(task()),
        networks in few(network_assignment()),
        endpoints in few(service_endpoint()),
        secrets in btree_map(id(SecretId::from_random), secret_data(), 0..3),
        configs in btree_map(id(ConfigId::from_random), config_data(), 0..3),
        peers in btree_map(id(NodeId::from_random), mesh_end(), 0..3),
    ) -> Assignments {
        Assignments {
            tasks: by_id(tasks, |task| task.id),
            networks: by_id(networks, |network| network.id),
            endpoints: by_id(endpoints, |endpoint| endpoint.service),
            secrets,
            configs,
            peers,
            data_path_port: None,
        }
    }
}

prop_compose! {
    pub fn assignments_diff()(
        upserts in assignments().boxed(),
        removed_tasks in few(id(TaskId::from_random)),
        removed_networks in few(id(NetworkId::from_random)),
        removed_endpoints in few(id(ServiceId::from_random)),
        removed_secrets in few(id(SecretId::from_random)),
        removed_configs in few(id(ConfigId::from_random)),
        removed_peers in few(id(NodeId::from_random)),
        port in maybe(maybe(1u16..)),
    ) -> AssignmentsDiff {
        AssignmentsDiff {
            upserts, removed_tasks, removed_networks, removed_endpoints, removed_secrets, removed_configs,
            removed_peers, data_path_port: port,
        }
    }
}
