//! Names, ports, subnets and addresses that cannot be had, each refused by name.

use std::net::IpAddr;

use model::{AttachmentSpec, NetworkMode, PortSpec, Protocol, ServiceSpec, Stack, StackMember};

use crate::world::{NET, World, network, on, port, replicas, secret_file, service, stack};

fn refusal(world: &mut World, stack: Stack) -> String {
    world.up(stack).unwrap_err().to_string()
}

/// A stack of another name with one service.
fn blog(change: impl FnOnce(&mut ServiceSpec)) -> Stack {
    let mut spec = service("web");
    spec.name = "blog-web".into();
    spec.stack = Some(StackMember { stack: "blog".into(), key: "web".into() });
    spec.network = NetworkMode::None;
    change(&mut spec);
    Stack { name: "blog".into(), services: vec![spec], ..Stack::default() }
}

fn with_ports(key: &str, ports: &[PortSpec]) -> ServiceSpec {
    ServiceSpec { ports: ports.to_vec(), ..service(key) }
}

fn fixed(key: &str, address: &str) -> ServiceSpec {
    let attachment = AttachmentSpec { ipv4_address: Some(address.parse().unwrap()), ..on(NET) };
    ServiceSpec { network: NetworkMode::Networks(vec![attachment]), ..service(key) }
}

fn in_subnet(subnet: &str, services: impl IntoIterator<Item = ServiceSpec>) -> Stack {
    Stack { networks: vec![network(NET, &[subnet])], ..stack(services) }
}

#[test]
fn names_that_are_not_allowed() {
    let mut world = World::new(1);
    let project = Stack { name: "Shop".into(), ..stack([]) };
    assert!(refusal(&mut world, project).contains("\"Shop\" is not a valid project name"));
    let bad = ServiceSpec { name: "a b".into(), ..service("web") };
    assert!(refusal(&mut world, stack([bad])).contains("\"a b\" is not a valid service name"));
    let container = ServiceSpec { container_name: Some("-x".into()), ..service("web") };
    assert!(refusal(&mut world, stack([container])).contains("\"-x\" is not a valid container name"));
}

#[test]
fn objects_of_another_stack() {
    let mut world = World::new(1);
    world.up(stack([service("web")])).unwrap();
    let name = "service shop-web belongs to stack shop; choose another name";
    assert_eq!(refusal(&mut world, blog(|spec| spec.name = "shop-web".into())), name);
    let mut theirs = blog(|_| ());
    theirs.networks = vec![model::NetworkSpec { stack: Some("blog".into()), ..network(NET, &[]) }];
    assert_eq!(refusal(&mut world, theirs), "network shop_default belongs to stack shop; choose another name");
    let mut bridge = blog(|_| ());
    bridge.networks = vec![model::NetworkSpec { stack: Some("blog".into()), ..network("bridge", &[]) }];
    assert_eq!(refusal(&mut world, bridge), "network bridge belongs to no stack; choose another name");
}

#[test]
fn what_a_service_refers_to_must_be_there() {
    let mut world = World::new(1);
    let external = Stack { external_networks: vec!["lan".into()], ..stack([]) };
    assert_eq!(refusal(&mut world, external), "no such external network: lan");
    let elsewhere = ServiceSpec { network: NetworkMode::Networks(vec![on("lan")]), ..service("web") };
    assert_eq!(refusal(&mut world, stack([elsewhere])), "no such network: lan");
    let mut secretive = service("web");
    secretive.container.secrets = vec![secret_file("key")];
    assert_eq!(refusal(&mut world, stack([secretive])), "no such secret: key");
    assert!(world.state.services.is_empty() && world.state.network_named(NET).is_none(), "all or nothing");
}

#[test]
fn one_name_or_address_is_not_for_two_containers() {
    let mut world = World::new(1);
    let named = ServiceSpec { container_name: Some("front".into()), mode: replicas(2), ..service("web") };
    assert_eq!(
        refusal(&mut world, stack([named])),
        "service shop-web cannot have 2 containers, as it has a container_name"
    );
    let addressed = ServiceSpec { mode: replicas(2), ..fixed("web", "10.1.0.9") };
    let expected = "service shop-web cannot have 2 containers, as it has a fixed address";
    assert_eq!(refusal(&mut world, in_subnet("10.1.0.0/24", [addressed])), expected);
    let twice = in_subnet("10.1.0.0/24", [fixed("web", "10.1.0.9"), fixed("api", "10.1.0.9")]);
    assert_eq!(refusal(&mut world, twice), "service shop-web: address 10.1.0.9 already belongs to service shop-api");
    let outside = in_subnet("10.1.0.0/24", [fixed("web", "10.2.0.9")]);
    assert_eq!(
        refusal(&mut world, outside),
        "service shop-web: address 10.2.0.9 is in no subnet of network shop_default; give the network a subnet that holds it"
    );
}

#[test]
fn subnets_are_apart_and_large_enough() {
    let mut world = World::new(1);
    world.up(in_subnet("10.1.0.0/24", [service("web")])).unwrap();
    let with = |subnets: &[&str]| {
        let spec = model::NetworkSpec { stack: Some("blog".into()), ..network("blog_net", subnets) };
        Stack { networks: vec![spec], ..blog(|_| ()) }
    };
    assert_eq!(
        refusal(&mut world, with(&["10.1.0.128/25"])),
        "network blog_net: subnet 10.1.0.128/25 overlaps with 10.1.0.0/24 of network shop_default"
    );
    assert_eq!(
        refusal(&mut world, with(&["10.3.0.0/16", "10.3.9.0/24"])),
        "network blog_net: subnet 10.3.9.0/24 overlaps with 10.3.0.0/16 of network blog_net"
    );
    assert_eq!(
        refusal(&mut world, with(&["10.4.0.0/30"])),
        "network blog_net: subnet 10.4.0.0/30 is too small; give it a prefix of /29 or shorter, or /120 in IPv6"
    );
}

#[test]
fn a_published_port_has_one_holder() {
    let mut world = World::new(1);
    world.up(stack([with_ports("web", &[port(Some(8080)), port(None)])])).unwrap();
    world.settle();
    let in_use = |port: u16| format!("service blog-web: port {port}/tcp is already published by service shop-web");
    let ask = |ports: Vec<PortSpec>| blog(|spec| spec.ports = ports);
    assert_eq!(refusal(&mut world, ask(vec![port(Some(8080))])), in_use(8080));
    assert_eq!(refusal(&mut world, ask(vec![port(Some(30_000))])), in_use(30_000), "a port that Orca has chosen");
    let ip = |last: u8| Some(IpAddr::from([127, 0, 0, last]));
    let one = PortSpec { host_ip: ip(1), ..port(Some(8080)) };
    assert_eq!(refusal(&mut world, ask(vec![one.clone()])), in_use(8080), "8080 is held on all addresses");
    let udp = PortSpec { protocol: Protocol::Udp, ..port(Some(8080)) };
    let two = PortSpec { host_ip: ip(2), ..port(Some(9090)) };
    world.up(ask(vec![udp, PortSpec { host_ip: ip(1), ..port(Some(9090)) }, two])).unwrap();
    let twice = ask(vec![port(Some(7070)), PortSpec { target: 81, ..port(Some(7070)) }]);
    assert_eq!(refusal(&mut world, twice), "service blog-web: port 7070/tcp is already published by service blog-web");
}

#[test]
fn ports_move_from_one_service_to_another_in_one_application() {
    let mut world = World::new(1);
    let app = |a: u16, b: u16| stack([with_ports("a", &[port(Some(a))]), with_ports("b", &[port(Some(b))])]);
    world.up(app(8080, 8081)).unwrap();
    world.settle();
    world.up(app(8081, 8080)).unwrap();
    world.up(app(8082, 8081)).unwrap();
    world.up_with(stack([with_ports("c", &[port(Some(8082))])]), |apply| apply.remove_orphans = true).unwrap();
}

#[test]
fn a_port_needs_a_way_by_the_host() {
    let mut world = World::new(1);
    let mut lan = crate::world::network("shop_lan", &["192.0.2.0/24"]);
    (lan.driver, lan.options) = ("macvlan".into(), [("parent".to_owned(), "eth0".to_owned())].into());
    let shop = |networks: &[&str]| {
        let mut web = service("web");
        web.ports = vec![port(Some(8080))];
        let on = |name: &&str| model::AttachmentSpec { network: (*name).into(), ..Default::default() };
        web.network = model::NetworkMode::Networks(networks.iter().map(on).collect());
        let mut stack = stack([web]);
        stack.networks.push(lan.clone());
        stack
    };
    assert!(refusal(&mut world, shop(&["shop_lan"])).contains("cannot be published: on network shop_lan"));
    world.up(shop(&["shop_lan", crate::world::NET])).unwrap();
}
