use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use model::*;

use super::{TranslateOptions, translate};
use crate::{Errors, FileError, Files, LoadOptions, load};

struct One(&'static str);

impl Files for One {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        Ok(match path.to_str() {
            Some("/p/compose.yaml") => Some(self.0.as_bytes().to_vec()),
            Some("/p/p.json") => Some(b"{}".to_vec()),
            Some("/p/key.txt") => Some(b"hunter2".to_vec()),
            _ => None,
        })
    }
}

fn stack_of(text: &'static str, options: &TranslateOptions) -> Result<Stack, Errors> {
    let load_options = LoadOptions { working_dir: PathBuf::from("/p"), ..LoadOptions::default() };
    translate(&load(&load_options, &One(text))?.project, options, &One(text))
}

fn stack(text: &'static str) -> Stack {
    stack_of(text, &TranslateOptions::default()).unwrap()
}

fn refusals(text: &'static str) -> Vec<String> {
    stack_of(text, &TranslateOptions::default()).unwrap_err().0.iter().map(ToString::to_string).collect()
}

const APP: &str = r#"
name: shop
services:
  web:
    image: nginx:1.27
    command: nginx -g 'daemon off;'
    environment: {A: 1, B: null}
    ports: ["127.0.0.1:8080:80", "53:53/udp"]
    networks: {front: {aliases: [www]}, back: {gw_priority: 5, ipv4_address: 10.9.0.7}}
    depends_on: {db: {condition: service_healthy, restart: true}}
    deploy: {replicas: 3, labels: {tier: web}, resources: {limits: {cpus: '0.5', memory: 64M}, reservations: {memory: 32M}}}
    volumes: ["data:/data:ro", "./conf:/conf", "/anonymous", {type: tmpfs, target: /t, tmpfs: {size: 1m}}]
    tmpfs: /run:size=64m,mode=1777
    secrets: [{source: key, target: k, mode: 0400}]
    configs: [motd]
    healthcheck: {test: curl -f localhost, interval: 5s, retries: 2}
    restart: on-failure:3
    stop_grace_period: 1m30s
  db:
    image: postgres
    network_mode: none
networks:
  front: {}
  back: {name: backbone, internal: true, ipam: {config: [{subnet: 10.9.0.0/24}]}}
volumes: {data: {labels: {keep: "yes"}}}
secrets: {key: {file: ./key.txt}}
configs: {motd: {content: "hello"}}
"#;

#[test]
fn a_whole_app() {
    let stack = stack(APP);
    assert_eq!(stack.services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>(), ["shop-db", "shop-web"]);
    let db = &stack.services[0];
    assert_eq!(db.network, NetworkMode::None);
    let web = &stack.services[1];
    assert_eq!(web.mode, ServiceMode::Replicated { replicas: 3 });
    assert_eq!(web.labels["tier"], "web");
    assert_eq!(web.container.command, Some(vec!["nginx".into(), "-g".into(), "daemon off;".into()]));
    assert_eq!(web.container.env, BTreeMap::from([("A".into(), "1".into())]));
    assert_eq!(
        web.ports[0],
        PortSpec {
            host_ip: Some(IpAddr::from([127, 0, 0, 1])),
            published: Some(8080),
            target: 80,
            protocol: Protocol::Tcp,
            mode: PublishMode::Ingress,
            choose_from: None,
        }
    );
    assert_eq!(web.ports[1].protocol, Protocol::Udp);
    let attachments = web.network.attachments();
    assert_eq!(attachments.iter().map(|a| a.network.as_str()).collect::<Vec<_>>(), ["backbone", "shop_front"]);
    assert_eq!(attachments[1].aliases, ["www"]);
    assert_eq!(
        web.depends_on["db"],
        Dependency { condition: DependencyCondition::ServiceHealthy, restart: true, required: true }
    );
    assert_eq!(web.container.resources.limits.nano_cpus, Some(500_000_000));
    assert_eq!(
        (web.container.resources.limits.memory, web.container.resources.reservations.memory),
        (Some(64 << 20), 32 << 20)
    );
    assert_eq!(web.container.restart.max_attempts, Some(3));
    assert_eq!(web.container.stop_grace_period, Some(std::time::Duration::from_secs(90)));
    assert_eq!(web.container.healthcheck.as_ref().unwrap().test, Some(HealthTest::Shell("curl -f localhost".into())));
    assert_eq!(web.container.labels["com.docker.compose.depends_on"], "db:service_healthy:true");
    assert_eq!(stack.networks.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["shop_front", "backbone"]);
    assert!(stack.networks[1].internal && stack.networks[1].subnets.len() == 1);
}

#[test]
fn mounts_secrets_and_configs() {
    let stack = stack(APP);
    let web = &stack.services[1].container;
    let [data, conf, anonymous, long_tmpfs, short_tmpfs] = &web.mounts[..] else { panic!("{:?}", web.mounts) };
    assert!(data.read_only);
    let MountSource::Volume { name, spec, .. } = &data.source else { panic!("{data:?}") };
    assert_eq!((name.as_deref(), spec.labels["com.docker.compose.volume"].as_str()), (Some("shop_data"), "data"));
    assert_eq!(
        conf.source,
        MountSource::Bind {
            path: "/p/conf".into(),
            create: true,
            propagation: Propagation::Rprivate,
            recursive: Default::default(),
            relabel: None,
        }
    );
    assert!(matches!(&anonymous.source, MountSource::Volume { name: None, .. }));
    assert_eq!(long_tmpfs.source, MountSource::Tmpfs { size: Some(1 << 20), mode: None, options: Vec::new() });
    assert_eq!(
        short_tmpfs.source,
        MountSource::Tmpfs { size: Some(64 << 20), mode: Some(0o1777), options: Vec::new() }
    );
    assert_eq!(
        web.secrets[0].file,
        FileTarget { path: "/run/secrets/k".into(), uid: "0".into(), gid: "0".into(), mode: 0o400 }
    );
    assert_eq!((web.configs[0].config.as_str(), web.configs[0].file.path.as_str()), ("shop_motd", "/motd"));
    assert_eq!(stack.secrets[0].data.reveal(), b"hunter2");
    assert!(!format!("{stack:?}").contains("hunter2"));
    assert_eq!(stack.configs[0].data, b"hello");
}

#[test]
fn what_cant_be_carried_is_refused_by_name_and_place() {
    let found = refusals(
        "services:\n  a:\n    image: x\n    storage_opt: {size: 1G}\n    volumes: [{type: npipe, source: /a, target: /b}]\n    deploy: {mode: sometimes, update_config: {order: start-first}}\n    network_mode: weave\n",
    );
    let expected = [
        "/p/compose.yaml:4:5: services.a.storage_opt: not supported by orca: containers are on overlayfs, which has no options to set",
        "/p/compose.yaml:7:5: services.a.network_mode: not supported by orca: only none, host, bridge, service:NAME and container:NAME; for others use networks",
        "/p/compose.yaml:5:16: services.a.volumes[0].type: not supported by orca: only volume, bind, tmpfs and image",
        "/p/compose.yaml:6:20: services.a.deploy.mode: \"sometimes\" is none of replicated, global, replicated-job, global-job",
        "/p/compose.yaml:6:31: services.a.deploy.update_config: not supported by orca: up makes changed containers anew at once; stack deploy does what this says",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_a_cluster_does_with_a_service() {
    let text = r#"
name: shop
services:
  a:
    image: x
    deploy:
      mode: global
      placement: {constraints: ["node.role == worker"], preferences: [{spread: node.labels.rack}], max_replicas_per_node: 2}
      update_config: {parallelism: 3, delay: 2s, failure_action: rollback, monitor: 1s, max_failure_ratio: 0.25, order: start-first}
      resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: gpu, value: 2}}]}}
  job: {image: x, deploy: {mode: replicated-job, replicas: 4}}
"#;
    let stack = stack_of(text, &TranslateOptions { rolls: true, ..TranslateOptions::default() }).unwrap();
    let a = &stack.services[0];
    assert_eq!((a.mode, a.placement.max_replicas), (ServiceMode::Global, 2));
    assert_eq!(a.placement.constraints[0].to_string(), "node.role==worker");
    assert_eq!(a.placement.preferences[0].to_string(), "node.labels.rack");
    let update = a.update.unwrap();
    assert_eq!((update.parallelism, update.max_failure_ratio, update.order.word()), (3, 250_000, "start-first"));
    assert_eq!((update.failure_action.word(), update.delay.as_secs()), ("rollback", 2));
    assert_eq!(a.rollback, Some(model::UpdateConfig::default()));
    assert_eq!(a.container.resources.reservations.generic["gpu"], 2);
    let job = ServiceMode::ReplicatedJob { max_concurrent: 4, total_completions: 4 };
    assert_eq!(stack.services[1].mode, job);
    let bad = "services: {a: {image: x, deploy: {mode: global-job, restart_policy: {condition: any}}}}";
    assert!(refusals(bad)[0].contains("a job restarts its containers on failure or not at all"));
    let bad = "services: {a: {image: x, deploy: {placement: {constraints: [node.colour==red]}}}}";
    assert!(refusals(bad)[0].contains("node.colour"));
}

#[test]
fn networks_say_how_addresses_are_given_out() {
    let stack = stack(
        r#"
name: shop
services: {a: {image: a, networks: {dual: {ipv6_address: "fd00:7::9"}, six: {}}}}
networks:
  dual:
    enable_ipv6: true
    driver_opts: {com.docker.network.driver.mtu: 1400, com.docker.network.bridge.enable_icc: "false"}
    ipam:
      config:
        - {subnet: 10.7.0.0/24, ip_range: 10.7.0.128/25, gateway: 10.7.0.254, aux_addresses: {router: 10.7.0.129}}
        - {subnet: "fd00:7::/64", gateway: "fd00:7::ff"}
  six: {enable_ipv4: false, enable_ipv6: true}
"#,
    );
    let dual = &stack.networks[0];
    assert_eq!(dual.subnets, ["10.7.0.0/24".parse().unwrap(), "fd00:7::/64".parse().unwrap()]);
    let expected = Ipam {
        no_ipv4: false,
        ipv6: true,
        ranges: vec!["10.7.0.128/25".parse().unwrap()],
        gateways: vec!["10.7.0.254".parse().unwrap(), "fd00:7::ff".parse().unwrap()],
        auxiliary: [("router".to_owned(), "10.7.0.129".parse().unwrap())].into(),
    };
    assert_eq!(dual.ipam, expected);
    let options = LinkOptions::parse(&dual.driver, &dual.options).unwrap();
    assert_eq!((options.mtu, options.apart), (Some(1400), true));
    assert!(stack.networks[1].ipam.no_ipv4 && stack.networks[1].ipam.ipv6);
}

#[test]
fn links_are_the_services_own_names() {
    let stack = stack(
        r#"
name: shop
services:
  db: {image: a}
  web: {image: a, networks: [front, default], links: [db, "db:database"], external_links: ["theirs:other"]}
networks: {front: {}}
"#,
    );
    let web = stack.services.iter().find(|service| service.key() == "web").unwrap();
    for attachment in web.network.attachments() {
        let links: Vec<_> = attachment.links.iter().map(|(alias, name)| format!("{alias}={name}")).collect();
        assert_eq!(links, ["database=db", "other=theirs"]);
    }
    let found = refusals("name: p\nservices: {a: {image: a}, b: {image: a, network_mode: host, links: ['a:x']}}\n");
    assert!(found[0].contains("services.b.links") || found[0].contains("links need"), "{found:?}");
}

#[test]
fn devices_are_told_what_the_service_says() {
    let text = |more: &str| {
        format!(
            r#"
name: shop
services:
  a:
    image: a
    mac_address: 02:42:00:00:00:09
    networks:
      front: {{gw_priority: 5}}
      back:
        priority: 7
        interface_name: lan
        link_local_ips: [169.254.7.8, "fe80::7"]
        driver_opts: {{com.docker.network.endpoint.sysctls: "net.ipv4.conf.IFNAME.log_martians=1"}}
{more}
networks: {{front: {{}}, back: {{}}}}
"#
        )
    };
    let stack = stack(text("").leak());
    let [front, back] = stack.services[0].network.attachments() else { panic!("{:?}", stack.services) };
    assert_eq!((front.mac_address, back.mac_address), (None, Some("02:42:00:00:00:09".parse().unwrap())));
    assert_eq!((back.interface_name.as_deref(), back.link_local.len()), (Some("lan"), 2));
    assert_eq!(back.sysctls, [("net.ipv4.conf.IFNAME.log_martians".to_owned(), "1".to_owned())].into());
    for (more, words) in [
        ("        mac_address: 02:42:00:00:00:08", "mac_address: network shop_back gives"),
        ("  b: {image: a, network_mode: host, mac_address: '02:42:00:00:00:08'}", "networks of one's own"),
        (
            "  b: {image: a, networks: {front: {driver_opts: {a.b: c}}}}",
            "driver_opts.a.b: not supported by orca: the options are",
        ),
        ("  b: {image: a, networks: {front: {link_local_ips: [10.0.0.1]}}}", "10.0.0.1 is not link-local"),
        (
            "  b: {image: a, networks: {front: {interface_name: x, driver_opts: {com.docker.network.endpoint.ifname: y}}}}",
            "driver_opts give the device another name",
        ),
    ] {
        let found = refusals(text(more).leak());
        assert!(found.iter().any(|line| line.contains(words)), "{words} is not in {found:#?}");
    }
}

#[test]
fn ports_need_a_network_by_way_of_the_host() {
    let text = "name: p\nservices:\n  a: {image: a, ports: ['80:80'], networks: [lan]}\n  b: {image: a, ports: ['81:80'], networks: [lan, default]}\nnetworks: {lan: {driver: ipvlan, driver_opts: {parent: eth0, ipvlan_mode: l3}}}\n";
    let found = refusals(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("services.a.ports: on macvlan and ipvlan networks alone"), "{found:#?}");
}

#[test]
fn addresses_that_make_no_sense_are_refused_where_they_stand() {
    let found = refusals(
        r#"
name: shop
services: {a: {image: a, networks: [a, b, c, d]}}
networks:
  a: {enable_ipv4: false}
  b: {ipam: {config: [{subnet: "fd00:7::/64"}]}}
  c:
    driver_opts: {com.docker.network.bridge.default_bridge: "true"}
    ipam:
      config:
        - {subnet: 10.7.0.0/24, ip_range: 10.8.0.0/25, gateway: 10.7.0.255, aux_addresses: {x: 10.9.0.1}}
        - {subnet: 10.9.0.0/24}
  d: {ipam: {config: [{gateway: 10.7.0.1}]}}
"#,
    );
    for words in [
        "networks.a.enable_ipv4: a network without IPv4",
        "networks.b.ipam.config[0].subnet: fd00:7::/64 is IPv6: set enable_ipv6",
        "networks.c.driver_opts: option com.docker.network.bridge.default_bridge=true",
        "networks.c.ipam.config[0].ip_range: 10.8.0.0/25 lies outside",
        "networks.c.ipam.config[0].gateway: 10.7.0.255 is not a usable",
        "networks.c.ipam.config[0].aux_addresses: x: \"10.9.0.1\"",
        "networks.c.ipam.config[1].subnet: 10.9.0.0/24 comes second",
        "networks.d.ipam.config[0].gateway: it needs a subnet",
    ] {
        assert!(found.iter().any(|line| line.contains(words)), "{words} is not in {found:#?}");
    }
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn isolation_is_carried_over() {
    let text = "name: p\nservices:\n  donor: {image: x, ipc: shareable}\n  named: {image: x, container_name: own}\n  a:\n    image: x\n    pid: service:named\n    ipc: service:donor\n    uts: host\n    userns_mode: host\n    cgroup: private\n    cgroup_parent: /batch\n    runtime: crun\n    device_cgroup_rules: ['c 189:* rwm']\n    security_opt: [seccomp:p.json, apparmor=x, systempaths=unconfined]\n    oom_kill_disable: true\n    mem_swappiness: 10\n    cpu_period: 50000\n    cpu_quota: 25000\n    cpu_rt_runtime: 400\n    blkio_config:\n      weight: 300\n      weight_device: [{path: /dev/sda, weight: 400}]\n      device_read_bps: [{path: /dev/sda, rate: 12mb}]\n      device_write_iops: [{path: /dev/sda, rate: 30}]\n";
    let a = stack(text).services.into_iter().find(|service| service.name == "p-a").unwrap().container;
    assert_eq!((a.pid.to_string(), a.ipc.to_string()), ("container:own".into(), "container:p-donor-1".into()));
    assert_eq!((a.uts, a.userns), (model::NamespaceMode::Host, model::NamespaceMode::Host));
    assert_eq!((a.cgroupns.to_string().as_str(), a.cgroup_parent.as_deref()), ("private", Some("/batch")));
    assert_eq!((a.runtime.as_deref(), a.device_cgroup_rules), (Some("crun"), vec!["c 189:* rwm".to_owned()]));
    assert_eq!(a.security.seccomp, model::SeccompProfile::Custom("{}".into()));
    assert_eq!((a.security.apparmor.as_deref(), a.security.systempaths_unconfined), (Some("x"), true));
    let limits = a.resources.limits;
    assert_eq!((limits.oom_kill_disable, limits.memory_swappiness), (true, Some(10)));
    assert_eq!((limits.cpu_period, limits.cpu_quota, limits.cpu_rt_runtime), (Some(50_000), Some(25_000), Some(400)));
    let sda = |rate| vec![model::DeviceRate { path: "/dev/sda".into(), rate }];
    assert_eq!((limits.block_io.weight, limits.block_io.weight_devices), (Some(300), sda(400)));
    assert_eq!((limits.block_io.read_bps, limits.block_io.write_iops), (sda(12 << 20), sda(30)));
}

#[test]
fn an_extension_that_orca_knows_is_not_passed_over() {
    let found = refusals(
        "services:\n  a:\n    image: x\n    ports: [{target: 80, published: '80', x-orca-source: snat, x-other: 1}]\n",
    );
    let expected = "services.a.ports[0].x-orca-source: not supported by orca: clients keep their own address: there is no way to hide it yet";
    assert!(found.len() == 1 && found[0].ends_with(expected), "{found:?}");
}

#[test]
fn modes_and_options_that_there_are_none_of_are_refused() {
    let found = refusals(
        "services:\n  a:\n    image: x\n    pid: sharable\n    ipc: sharable\n    uts: private-ish\n    security_opt: [seccomp=none.json, proc=unmask]\n    cpu_count: 2\n    isolation: hyperv\n",
    );
    for expected in [
        "services.a.pid: \"sharable\": expected host or container:NAME",
        "services.a.ipc: \"sharable\": expected none, private",
        "services.a.uts: \"private-ish\"",
        "/p/none.json does not exist",
        "services.a.security_opt: \"proc=unmask\": expected apparmor=PROFILE",
        "services.a.cpu_count: not supported by orca: it is for Windows",
        "services.a.isolation: not supported by orca",
    ] {
        assert!(found.iter().any(|line| line.contains(expected)), "{expected}: {found:#?}");
    }
}

#[test]
fn selection_and_scale() {
    let only = TranslateOptions {
        services: vec!["web".into()],
        no_deps: true,
        scale: BTreeMap::from([("web".into(), 5)]),
        ..TranslateOptions::default()
    };
    let stack = stack_of(APP, &only).unwrap();
    assert_eq!(stack.services.len(), 1);
    assert_eq!(stack.services[0].mode, ServiceMode::Replicated { replicas: 5 });
    assert!(stack.services[0].depends_on.is_empty());
    let unknown = TranslateOptions { scale: BTreeMap::from([("nope".into(), 1)]), ..TranslateOptions::default() };
    assert_eq!(stack_of(APP, &unknown).unwrap_err().to_string(), "no such service: nope");
}

#[test]
fn hashes_change_with_the_service_and_its_configs_only() {
    let hash = |text: &'static str| {
        stack(text).services.last().unwrap().container.labels["com.docker.compose.config-hash"].clone()
    };
    let base = "name: p\nservices: {a: {image: x, configs: [c]}}\nconfigs: {c: {content: one}}\n";
    assert_eq!(
        hash(base),
        hash("name: p\nservices: {a: {image: x, scale: 2, configs: [{source: c}]}}\nconfigs: {c: {content: one}}\n")
    );
    assert_ne!(hash(base), hash("name: p\nservices: {a: {image: x, configs: [c]}}\nconfigs: {c: {content: two}}\n"));
    assert_ne!(hash(base), hash("name: p\nservices: {a: {image: y, configs: [c]}}\nconfigs: {c: {content: one}}\n"));
}

#[test]
fn devices_by_request() {
    let text = "name: p\nservices:\n  a:\n    image: x\n    devices: [/dev/fuse, 'v.com/c=one']\n    gpus: all\n    deploy: {resources: {reservations: {devices: [{capabilities: [gpu, utility], device_ids: ['0', '2'], driver: nvidia}, {driver: cdi, capabilities: [any], device_ids: ['v.com/c=two']}]}}}\n  b: {image: x, gpus: [{count: 2}]}\n";
    let stack = stack(text);
    let of = |name: &str| {
        let service = stack.services.iter().find(|service| service.name == format!("p-{name}")).unwrap();
        (service.container.devices.clone(), service.container.device_requests.clone())
    };
    let (devices, requests) = of("a");
    assert_eq!(devices.len(), 1);
    let told = |requests: &[model::DeviceRequest]| -> Vec<(String, i64, String, String)> {
        let one = |request: &model::DeviceRequest| {
            (request.driver.clone(), request.count, request.device_ids.join(","), request.capabilities.join(","))
        };
        requests.iter().map(one).collect()
    };
    let text =
        |driver: &str, count, ids: &str, capabilities: &str| (driver.into(), count, ids.into(), capabilities.into());
    assert_eq!(
        told(&requests),
        [
            text("cdi", 0, "v.com/c=one", ""),
            text("", -1, "", "gpu"),
            text("nvidia", 0, "0,2", "gpu,utility"),
            text("cdi", 0, "v.com/c=two", "any")
        ]
    );
    assert_eq!(told(&of("b").1), [text("", 2, "", "gpu")]);
}

#[test]
fn steps_before_the_start_are_services_that_their_service_waits_for() {
    let stack = stack(
        "name: p\nservices:\n  app:\n    image: web\n    user: '7'\n    container_name: own\n    ports: ['80:80']\n    networks: {n: {aliases: [a], ipv4_address: 10.1.0.9}}\n    depends_on: {db: {condition: service_healthy}}\n    volumes: [data:/d, /anonymous, ./b:/b]\n    tmpfs: /t\n    environment: {A: 1, B: 2}\n    pre_start:\n      - {command: one, environment: {B: 3}}\n      - {image: other, privileged: true}\n  db: {image: x, network_mode: none}\nnetworks: {n: {ipam: {config: [{subnet: 10.1.0.0/24}]}}}\nvolumes: {data: {}}\n",
    );
    let keys: Vec<&str> = stack.services.iter().map(ServiceSpec::key).collect();
    assert_eq!(keys, ["db", "app-pre_start-0", "app-pre_start-1", "app"]);
    let [first, second, app] = &stack.services[1..] else { panic!() };
    let waits = |spec: &ServiceSpec| spec.depends_on.keys().cloned().collect::<Vec<_>>();
    assert_eq!(waits(first), ["db"]);
    assert_eq!(
        (waits(second), waits(app)),
        (vec!["app-pre_start-0".into(), "db".into()], vec!["app-pre_start-1".into(), "db".into()])
    );
    for (step, image, user) in [(first, "web", Some("7")), (second, "other", None)] {
        assert_eq!((step.container.image.as_str(), step.container.user.as_deref(), step.owner()), (image, user, "app"));
        assert!(
            step.ports.is_empty()
                && step.container_name.is_none()
                && step.container.labels["com.docker.compose.service"] == "app"
        );
        let targets: Vec<&str> = step.container.mounts.iter().map(|mount| mount.target.as_str()).collect();
        assert_eq!(targets, ["/d", "/b"], "only what all replicas share");
        let attachment = &step.network.attachments()[0];
        assert!(attachment.aliases.is_empty() && attachment.ipv4_address.is_none());
    }
    assert_eq!((first.container.env["A"].as_str(), first.container.env["B"].as_str()), ("1", "3"));
    assert_eq!((second.container.command.as_ref(), second.container.privileged), (None, true));
    let told = refusals(
        "services:\n  a: {image: x, pre_start: [{command: c, per_replica: true}]}\n  a-pre_start-0: {image: x}\n",
    );
    assert!(
        told.iter().any(|line| line.contains("would have the name of service"))
            && told.iter().any(|line| line.contains("per_replica")),
        "{told:?}"
    );
}
