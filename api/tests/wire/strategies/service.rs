//! What users declare: services, networks, secrets, configs, stacks.

use std::net::IpAddr;

use model::*;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

prop_compose! {
    pub fn network_spec()(
        name in text(),
        labels in labels(),
        stack in maybe(text()),
        internal in any::<bool>(),
        attachable in any::<bool>(),
        subnets in few(subnet()),
        (driver, options) in (text(), self::labels()),
        ipam in ipam(),
    ) -> NetworkSpec {
        NetworkSpec { name, labels, stack, internal, attachable, subnets, driver, options, ipam }
    }
}

prop_compose! {
    fn ipam()(
        no_ipv4 in any::<bool>(),
        ipv6 in any::<bool>(),
        ranges in few(subnet()),
        gateways in few(any::<IpAddr>()),
        auxiliary in btree_map(text(), any::<IpAddr>(), 0..3),
    ) -> Ipam {
        Ipam { no_ipv4, ipv6, ranges, gateways, auxiliary }
    }
}

prop_compose! {
    fn attachment_spec()(
        network in text(),
        aliases in texts(),
        links in labels(),
        ipv4_address in any::<Option<IpAddr>>(),
        ipv6_address in any::<Option<IpAddr>>(),
        mac in any::<Option<IpAddr>>(),
        interface_name in maybe(text()),
        martians in maybe(proptest::prelude::any::<u8>().boxed()),
        linked in maybe(proptest::prelude::any::<u8>().boxed()),
        local in any::<bool>(),
    ) -> AttachmentSpec {
        let mac_address = mac.map(model::MacAddress::of);
        let sysctls = martians.map(|value| ("net.ipv4.conf.IFNAME.log_martians".to_owned(), value.to_string()));
        let link_local = linked.map(|last| std::net::IpAddr::from([169, 254, 2, last])).into_iter().collect();
        AttachmentSpec {
            network,
            aliases,
            links,
            ipv4_address,
            ipv6_address,
            mac_address,
            interface_name,
            sysctls: sysctls.into_iter().collect(),
            link_local,
            local,
        }
    }
}

pub fn network_mode() -> impl Strategy<Value = NetworkMode> {
    prop_oneof![
        Just(NetworkMode::None),
        Just(NetworkMode::Host),
        few(attachment_spec()).prop_map(NetworkMode::Networks),
        text().prop_map(NetworkMode::Container),
        text().prop_map(NetworkMode::Service),
    ]
}

prop_compose! {
    pub fn port_spec()(
        host_ip in any::<Option<IpAddr>>(),
        published in any::<Option<u16>>(),
        target in any::<u16>(),
        protocol in one_of(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp]),
        mode in one_of(&[PublishMode::Ingress, PublishMode::Host]),
        range in any::<Option<(u16, u16)>>(),
    ) -> PortSpec {
        let choose_from = range.map(|(first, last)| model::PortRange { first, last });
        PortSpec { host_ip, published, target, protocol, mode, choose_from }
    }
}

prop_compose! {
    pub fn stack_member()(stack in text(), key in text()) -> StackMember {
        StackMember { stack, key }
    }
}

pub fn service_mode() -> impl Strategy<Value = ServiceMode> {
    prop_oneof![
        any::<u32>().prop_map(|replicas| ServiceMode::Replicated { replicas }),
        Just(ServiceMode::Global),
        any::<(u32, u32)>().prop_map(|(max_concurrent, total_completions)| ServiceMode::ReplicatedJob {
            max_concurrent,
            total_completions
        }),
        Just(ServiceMode::GlobalJob),
    ]
}

prop_compose! {
    fn placement()(
        node in maybe(id(NodeId::from_random)),
        label in "[a-z]{1,8}",
        equal in any::<bool>(),
        value in "[a-z0-9]{1,8}",
        max_replicas in any::<u32>(),
    ) -> Placement {
        let constraint = Constraint { attribute: Attribute::NodeLabel(label.clone()), equal, value };
        Placement { node, constraints: vec![constraint], preferences: vec![Attribute::EngineLabel(label)], max_replicas }
    }
}

prop_compose! {
    fn update_config()(
        parallelism in any::<u32>(),
        delay in any::<u32>(),
        failure_action in one_of(&[FailureAction::Pause, FailureAction::Continue, FailureAction::Rollback]),
        monitor in any::<u32>(),
        max_failure_ratio in any::<u32>(),
        order in one_of(&[UpdateOrder::StopFirst, UpdateOrder::StartFirst]),
    ) -> UpdateConfig {
        let seconds = |count: u32| std::time::Duration::from_secs(count.into());
        let (delay, monitor) = (seconds(delay), seconds(monitor));
        UpdateConfig { parallelism, delay, failure_action, monitor, max_failure_ratio, order }
    }
}

pub fn endpoint_mode() -> impl Strategy<Value = EndpointMode> {
    one_of(&[EndpointMode::Vip, EndpointMode::Dnsrr])
}

fn condition() -> impl Strategy<Value = DependencyCondition> {
    use DependencyCondition::*;
    one_of(&[ServiceStarted, ServiceHealthy, ServiceCompletedSuccessfully])
}

prop_compose! {
    fn dependency()(condition in condition(), restart in any::<bool>(), required in any::<bool>()) -> Dependency {
        Dependency { condition, restart, required }
    }
}

prop_compose! {
    fn any_service_spec()(
        name in text(),
        labels in labels(),
        stack in maybe(stack_member()),
        mode in service_mode(),
        container in container_spec(),
        container_name in maybe(text()),
        container_prefix in maybe(text()),
        network in network_mode(),
        ports in few(port_spec()),
        endpoint_mode in endpoint_mode(),
        depends_on in btree_map(text(), dependency(), 0..3),
        (placement, step_of) in (placement(), maybe(text())),
        (update, rollback, force_update) in (maybe(update_config()), maybe(update_config()), any::<u64>()),
    ) -> ServiceSpec {
        ServiceSpec {
            name, labels, stack, mode, container, container_name, container_prefix, network, ports, endpoint_mode,
            depends_on, placement, step_of, update, rollback, force_update,
        }
    }
}

pub fn service_spec() -> BoxedStrategy<ServiceSpec> {
    any_service_spec().boxed()
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..9)
}

pub fn secret_data() -> impl Strategy<Value = SecretData> {
    content().prop_map(SecretData::new)
}

pub fn config_data() -> impl Strategy<Value = Vec<u8>> {
    content()
}

prop_compose! {
    pub fn secret_spec()(
        name in text(), labels in labels(), stack in maybe(text()), data in secret_data(), template: bool,
    ) -> SecretSpec {
        SecretSpec { name, labels, stack, data, template }
    }
}

prop_compose! {
    pub fn config_spec()(
        name in text(), labels in labels(), stack in maybe(text()), data in config_data(), template: bool,
    ) -> ConfigSpec {
        ConfigSpec { name, labels, stack, data, template }
    }
}

prop_compose! {
    pub fn stack()(
        name in text(),
        services in few(service_spec()),
        networks in few(network_spec()),
        external_networks in texts(),
        secrets in few(secret_spec()),
        configs in few(config_spec()),
    ) -> Stack {
        Stack { name, services, networks, external_networks, secrets, configs }
    }
}
