use std::path::Path;

use image::manifest::RunConfig;
use image::user::ExecUser;
use model::{Limits, Resources, Ulimit};
use serde_json::Value;

use super::*;

fn host(unified_cgroups: bool) -> Host {
    Host {
        unified_cgroups,
        swap_accounting: true,
        architecture: "x86_64".into(),
        kernel: (6, 1),
        capabilities: capabilities::from_bits(u64::MAX),
        oom_score_adj: 0,
        hostname: "node".into(),
        controllers: ["blkio", "cpu", "cpuset", "devices", "io", "memory", "pids"].map(Into::into).into(),
        cgroup_hierarchies: match unified_cgroups {
            true => BTreeMap::new(),
            false => [("memory".to_owned(), "/sys/fs/cgroup/memory".into())].into(),
        },
        realtime_cpu: false,
        io_weight: None,
        cpus: [0, 1].into(),
        memory_nodes: [0].into(),
        apparmor: false,
        default_profile: false,
        selinux: false,
        runtimes: ["crun".to_owned()].into(),
        users: None,
        idmapped_binds: false,
        cdi: Vec::new(),
    }
}

fn image() -> RunConfig {
    RunConfig {
        env: vec!["PATH=/opt/bin:/bin".into(), "MODE=image".into()],
        entrypoint: Some(vec!["/entry".into()]),
        cmd: Some(vec!["serve".into()]),
        working_dir: "srv".into(),
        ..RunConfig::default()
    }
}

fn peer(process: u32) -> Option<super::Peer> {
    Some(super::Peer { process, container: ContainerId::from_random([0xef; 32]) })
}

/// The configuration as JSON, with what has no order sorted.
fn config(spec: &ContainerSpec, user: &ExecUser, host: &Host) -> Value {
    let image = image();
    let args = args(spec, &image).unwrap();
    let mounts = [MountPoint {
        target: "/data".into(),
        kind: "bind",
        source: "/volumes/data/_data".into(),
        options: vec!["rbind".into(), "rw".into(), "rprivate".into()],
    }];
    let facts = Facts {
        id: ContainerId::from_random([0xcd; 32]),
        spec,
        image: &image,
        args: &args,
        user,
        groups: &[44],
        rootfs: Path::new("/c/rootfs"),
        mounts: &mounts,
        devices: &[],
        hostname: &super::hostname(ContainerId::from_random([0xcd; 32]), spec, false, host),
        block_devices: &[("/dev/vda".to_owned(), (254, 0))].into(),
        peers: Peers { pid: peer(71), ipc: peer(72) },
        shm: Path::new("/c/shm"),
        netns: Some(Path::new("/run/netns/c")),
        cgroup: Path::new("/orca-abcdef/c"),
        edits: &super::cdi::Edits::default(),
        users: None,
        host,
    };
    let mut config = serde_json::to_value(runtime_spec(&facts).unwrap()).unwrap();
    for set in config["process"]["capabilities"].as_object_mut().unwrap().values_mut() {
        set.as_array_mut().unwrap().sort_by_key(|name| name.as_str().unwrap().to_owned());
    }
    config
}

fn root() -> ExecUser {
    ExecUser { uid: 0, gid: 0, additional_gids: vec![0, 10], home: "/root".into() }
}

fn golden(name: &str, config: &Value) {
    let path = format!("{}/src/bundle/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut config = config.clone();
    // Its own tests look at the filter.
    if let Some(seccomp) = config["linux"].get_mut("seccomp") {
        seccomp["syscalls"] = Value::from(seccomp["syscalls"].as_array().unwrap().len());
    }
    let text = serde_json::to_string_pretty(&config).unwrap() + "\n";
    if std::env::var_os("ORCA_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{path}; ORCA_WRITE_GOLDEN=1 writes it anew");
}

#[test]
fn a_container_with_defaults_on_v1() {
    golden("default-v1", &config(&ContainerSpec::default(), &root(), &host(false)));
}

#[test]
fn a_container_with_everything_on_v2() {
    let spec = ContainerSpec {
        command: Some(vec!["other".into()]),
        env: [("MODE".into(), "spec".into())].into(),
        hostname: Some("web".into()),
        domainname: Some("example".into()),
        tty: true,
        read_only: true,
        cap_add: vec!["NET_ADMIN".into()],
        cap_drop: vec!["CAP_MKNOD".into()],
        security: model::SecurityOptions { no_new_privileges: true, ..Default::default() },
        sysctls: [("net.core.somaxconn".into(), "64".into())].into(),
        ulimits: [("nofile".into(), Ulimit { soft: 64, hard: -1 })].into(),
        shm_size: Some(1 << 20),
        oom_score_adj: Some(100),
        resources: Resources {
            limits: Limits {
                nano_cpus: Some(1_500_000_000),
                cpu_shares: Some(512),
                cpuset: Some("0".into()),
                memory: Some(64 << 20),
                memory_swap: None,
                pids: Some(10),
                ..Limits::default()
            },
            ..Resources::default()
        },
        ..ContainerSpec::default()
    };
    let user = ExecUser { uid: 1000, gid: 1000, additional_gids: vec![], home: "/home/app".into() };
    golden("full-v2", &config(&spec, &user, &host(true)));
}

#[test]
fn a_container_that_shares_and_is_limited_in_every_way() {
    let rate = |rate| vec![model::DeviceRate { path: "/dev/vda".into(), rate }];
    let spec = ContainerSpec {
        pid: PidMode::Container("a".into()),
        ipc: IpcMode::Container("b".into()),
        uts: NamespaceMode::Host,
        cgroupns: CgroupnsMode::Private,
        device_cgroup_rules: vec!["c 189:* rw".into()],
        security: model::SecurityOptions {
            seccomp: SeccompProfile::Custom(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#.into()),
            apparmor: Some("docker-default".into()),
            systempaths_unconfined: true,
            ..Default::default()
        },
        resources: Resources {
            limits: Limits {
                cpu_period: Some(50_000),
                cpu_quota: Some(25_000),
                cpu_rt_period: Some(1_000_000),
                cpu_rt_runtime: Some(1000),
                cpuset: Some("0-1".into()),
                cpuset_mems: Some("0".into()),
                memory: Some(64 << 20),
                memory_swappiness: Some(10),
                oom_kill_disable: true,
                block_io: model::BlockIo {
                    weight: Some(300),
                    weight_devices: rate(400),
                    read_bps: rate(1 << 20),
                    write_bps: rate(2 << 20),
                    read_iops: rate(30),
                    write_iops: rate(40),
                },
                ..Limits::default()
            },
            ..Resources::default()
        },
        ..ContainerSpec::default()
    };
    let host = Host { realtime_cpu: true, io_weight: Some("blkio.bfq.weight".into()), apparmor: true, ..host(false) };
    check(&spec, &model::NetworkMode::None, &host).unwrap();
    golden("shared-v1", &config(&spec, &root(), &host));
    let block_io = model::BlockIo { weight: Some(300), read_bps: rate(1), ..Default::default() };
    let limits = Limits { block_io, ..Limits::default() };
    let spec = ContainerSpec { resources: Resources { limits, ..Resources::default() }, ..ContainerSpec::default() };
    let weight = |file: &str| {
        let host = Host { io_weight: Some(file.into()), ..self::host(true) };
        config(&spec, &root(), &host)["linux"]["resources"]["unified"][file].clone()
    };
    assert_eq!((weight("io.weight"), weight("io.bfq.weight")), (Value::from("2930"), Value::from("300")));
}

#[test]
fn a_privileged_container_sees_everything() {
    let spec = ContainerSpec { privileged: true, ..ContainerSpec::default() };
    let config = config(&spec, &root(), &host(true));
    assert_eq!(config["process"]["capabilities"]["bounding"].as_array().unwrap().len(), 41);
    assert_eq!(config["linux"]["seccomp"], Value::Null);
    assert_eq!(config["linux"]["maskedPaths"], serde_json::json!([]));
    assert_eq!(config["linux"]["resources"]["devices"][0]["allow"], true);
}

#[test]
fn entrypoint_and_command() {
    let check = |entrypoint: Option<&[&str]>, command: Option<&[&str]>| {
        let owned = |words: Option<&[&str]>| words.map(|words| words.iter().map(ToString::to_string).collect());
        let spec = ContainerSpec { entrypoint: owned(entrypoint), command: owned(command), ..ContainerSpec::default() };
        args(&spec, &image()).map(|args| args.join(" "))
    };
    assert_eq!(check(None, None).unwrap(), "/entry serve");
    assert_eq!(check(None, Some(&["x", "y"])).unwrap(), "/entry x y");
    assert_eq!(check(Some(&["sh"]), None).unwrap(), "sh");
    assert_eq!(check(Some(&["sh"]), Some(&["-c"])).unwrap(), "sh -c");
    assert_eq!(check(Some(&[]), Some(&["x"])).unwrap(), "x");
    assert!(matches!(check(Some(&[]), None), Err(Error::NoCommand)));
}

#[test]
fn what_cannot_be_had_is_refused_by_key() {
    let refused = |change: fn(&mut ContainerSpec)| {
        let mut spec = ContainerSpec::default();
        change(&mut spec);
        check(
            &spec,
            &model::NetworkMode::Host,
            &Host { capabilities: capabilities::from_bits(0xff_ffff), ..host(false) },
        )
        .unwrap_err()
        .to_string()
    };
    assert!(refused(|spec| spec.oom_score_adj = Some(-5)).contains("oom_score_adj -5"), "no CAP_SYS_RESOURCE");
    assert!(refused(|spec| spec.resources.limits.memory = Some(1)).contains("memory"));
    assert!(refused(|spec| spec.resources.limits.memory_swap = Some(1 << 30)).contains("memory_swap"));
    let files = |spec: &mut ContainerSpec| spec.ulimits = [("files".into(), Ulimit { soft: 1, hard: 1 })].into();
    let nofile = |spec: &mut ContainerSpec| spec.ulimits = [("nofile".into(), Ulimit { soft: 2, hard: 1 })].into();
    assert!(refused(files).contains("files") && refused(nofile).contains("nofile"));
    assert!(refused(|spec| spec.cap_add.push("CAP_FLY".into())).contains("CAP_FLY"));
    assert!(refused(|spec| spec.stop_signal = Some("SIGNOPE".into())).contains("SIGNOPE"));
}

#[test]
fn what_this_node_or_no_container_can_have_is_refused_with_the_reason() {
    let refused = |unified: bool, expected: &[&str], change: fn(&mut ContainerSpec)| {
        let mut spec = ContainerSpec::default();
        change(&mut spec);
        let text = check(&spec, &model::NetworkMode::Host, &host(unified)).unwrap_err().to_string();
        assert!(expected.iter().all(|part| text.contains(part)), "{text} lacks {expected:?}");
    };
    refused(true, &["oom_kill_disable", "v2"], |spec| spec.resources.limits.oom_kill_disable = true);
    refused(true, &["memory_swappiness", "v2"], |spec| spec.resources.limits.memory_swappiness = Some(1));
    refused(false, &["memory_swappiness", "100"], |spec| spec.resources.limits.memory_swappiness = Some(101));
    refused(false, &["cpu_rt"], |spec| spec.resources.limits.cpu_rt_runtime = Some(1));
    refused(false, &["cpuset", "0-7", "0,1"], |spec| spec.resources.limits.cpuset = Some("0-7".into()));
    refused(false, &["cpuset", "list"], |spec| spec.resources.limits.cpuset = Some("a".into()));
    refused(false, &["cpuset_mems"], |spec| spec.resources.limits.cpuset_mems = Some("5".into()));
    refused(false, &["cpu_period"], |spec| spec.resources.limits.cpu_period = Some(1));
    refused(false, &["cpu_quota"], |spec| spec.resources.limits.cpu_quota = Some(5));
    refused(false, &["cpus", "2.5", "the node has 2"], |spec| spec.resources.limits.nano_cpus = Some(2_500_000_000));
    refused(false, &["cpus", "cpu_quota"], |spec| {
        (spec.resources.limits.nano_cpus, spec.resources.limits.cpu_quota) = (Some(1 << 30), Some(5000));
    });
    refused(false, &["blkio weight", "BFQ"], |spec| spec.resources.limits.block_io.weight = Some(300));
    refused(false, &["blkio weight", "10 to 1000"], |spec| spec.resources.limits.block_io.weight = Some(5));
    refused(false, &["apparmor", "mine", "not active"], |spec| spec.security.apparmor = Some("mine".into()));
    refused(false, &["label", "type:x", "not active"], |spec| spec.security.labels = vec!["type:x".into()]);
    refused(false, &["tmpfs option", "dirsync"], |spec| {
        let source = model::MountSource::Tmpfs { size: None, mode: None, options: vec!["dirsync".into()] };
        spec.mounts = vec![model::Mount { target: "/t".into(), read_only: false, source }];
    });
    refused(false, &["seccomp profile"], |spec| spec.security.seccomp = SeccompProfile::Custom("[]".into()));
    refused(false, &["sysctl", "vm.swappiness", "whole host"], |spec| {
        spec.sysctls = [("vm.swappiness".to_owned(), "1".to_owned())].into();
    });
    refused(false, &["sysctl", "net.core.somaxconn", "the host's"], |spec| {
        spec.sysctls = [("net.core.somaxconn".to_owned(), "1".to_owned())].into();
    });
    refused(false, &["sysctl", "kernel.sem", "host"], |spec| {
        (spec.ipc, spec.sysctls) = (IpcMode::Host, [("kernel.sem".to_owned(), "1".to_owned())].into());
    });
    refused(false, &["shm_size", "ipc none"], |spec| (spec.ipc, spec.shm_size) = (IpcMode::None, Some(1)));
    refused(false, &["hostname", "x"], |spec| (spec.uts, spec.hostname) = (NamespaceMode::Host, Some("x".into())));
    refused(false, &["device cgroup rule", "c 1 rwm"], |spec| spec.device_cgroup_rules = vec!["c 1 rwm".into()]);
    refused(false, &["cgroup_parent", "/a/../b"], |spec| spec.cgroup_parent = Some("/a/../b".into()));
    refused(false, &["runtime", "kata", "crun, orca"], |spec| spec.runtime = Some("kata".into()));
    refused(false, &["oom_score_adj", "1000"], |spec| spec.oom_score_adj = Some(1001));
    let bare = Host { controllers: ["cpu".to_owned()].into(), ..host(true) };
    for (change, controller) in [
        ((|limits| limits.cpuset = Some("0".into())) as fn(&mut Limits), "cpuset"),
        (|limits| limits.pids = Some(1), "pids"),
        (|limits| limits.memory = Some(64 << 20), "memory"),
    ] {
        let mut spec = ContainerSpec::default();
        change(&mut spec.resources.limits);
        let text = check(&spec, &model::NetworkMode::None, &bare).unwrap_err().to_string();
        assert!(text.contains(controller) && text.contains("no such cgroup controller"), "{text}");
    }
}

#[test]
fn selinux_labels_where_the_kernel_has_them() {
    let active = Host { selinux: true, ..host(true) };
    let user = ExecUser { uid: 0, gid: 0, additional_gids: Vec::new(), home: "/".into() };
    let mut spec = ContainerSpec::default();
    assert_eq!(config(&spec, &user, &active)["process"].get("selinuxLabel"), None);
    spec.security.labels = vec!["type:svirt_t".into(), "level:s0:c5".into()];
    check(&spec, &model::NetworkMode::None, &active).unwrap();
    let labelled = config(&spec, &user, &active);
    assert_eq!(labelled["process"]["selinuxLabel"], "system_u:system_r:svirt_t:s0:c5");
    assert_eq!(labelled["linux"]["mountLabel"], "system_u:object_r:container_file_t:s0:c5");
    let privileged = ContainerSpec { privileged: true, ..spec.clone() };
    assert!(check(&privileged, &model::NetworkMode::None, &active).is_err());
    spec.security.labels = vec!["level:s0\",x".into()];
    assert!(check(&spec, &model::NetworkMode::None, &active).is_err());
}

#[test]
fn memory_and_swap() {
    let resources = |memory: u64, swap: Option<i64>, accounting: bool| {
        let limits = Limits { memory: Some(memory), memory_swap: swap, ..Limits::default() };
        let spec =
            ContainerSpec { resources: Resources { limits, ..Resources::default() }, ..ContainerSpec::default() };
        let host = Host { swap_accounting: accounting, ..host(true) };
        limits::resources(&spec, &[], &host, &Default::default())
            .map(|resources| resources.memory().as_ref().and_then(|memory| memory.swap()))
    };
    let mib = 1 << 20;
    assert_eq!(resources(64 << 20, None, true).unwrap(), Some(128 * mib));
    assert_eq!(resources(64 << 20, Some(-1), true).unwrap(), Some(-1));
    assert_eq!(resources(64 << 20, None, false).unwrap(), None);
    assert!(resources(64 << 20, Some(32 * mib), true).is_err());
    assert!(resources(64 << 20, Some(96 * mib), false).is_err());
}
