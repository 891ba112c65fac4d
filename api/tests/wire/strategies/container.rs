//! Containers: specs, mounts, resources.

use std::net::IpAddr;

use model::*;
use proptest::collection::btree_map;
use proptest::prelude::*;

use super::isolation::{ipc, limits, namespace, pid, security_options};
use super::*;

prop_compose! {
    fn file_target()(path in text(), uid in text(), gid in text(), mode in any::<u32>()) -> FileTarget {
        FileTarget { path, uid, gid, mode }
    }
}

prop_compose! {
    pub fn secret_file()(
        secret in text(), id in maybe(id(SecretId::from_random)), file in file_target(), template: bool,
    ) -> SecretFile {
        SecretFile { secret, id, file, template }
    }
}

prop_compose! {
    pub fn config_file()(
        config in text(), id in maybe(id(ConfigId::from_random)), file in file_target(), template: bool,
    ) -> ConfigFile {
        ConfigFile { config, id, file, template }
    }
}

prop_compose! {
    pub fn volume_spec()(labels in labels(), driver_opts in labels(), external in any::<bool>()) -> VolumeSpec {
        VolumeSpec { labels, driver_opts, external }
    }
}

fn mount_source() -> impl Strategy<Value = MountSource> {
    use Propagation::*;
    use model::{Recursive, Relabel};
    let propagation = one_of(&[Rprivate, Private, Rshared, Shared, Rslave, Slave]);
    let recursive = one_of(&[Recursive::Enabled, Recursive::Disabled, Recursive::Writable, Recursive::Readonly]);
    let relabel = one_of(&[None, Some(Relabel::Shared), Some(Relabel::Private)]);
    prop_oneof![
        (maybe(text()), any::<bool>(), maybe(text()), volume_spec())
            .prop_map(|(name, no_copy, subpath, spec)| MountSource::Volume { name, no_copy, subpath, spec }),
        (text(), any::<bool>(), propagation, recursive, relabel).prop_map(
            |(path, create, propagation, recursive, relabel)| MountSource::Bind {
                path,
                create,
                propagation,
                recursive,
                relabel
            }
        ),
        (any::<Option<u64>>(), any::<Option<u32>>(), texts()).prop_map(|(size, mode, options)| MountSource::Tmpfs {
            size,
            mode,
            options
        }),
        (text(), maybe(text()), maybe(text())).prop_map(|(image, id, subpath)| MountSource::Image {
            image,
            id,
            subpath
        }),
        text().prop_map(|container| MountSource::VolumesOf { container }),
    ]
}

prop_compose! {
    pub fn mount()(target in text(), read_only in any::<bool>(), source in mount_source()) -> Mount {
        Mount { target, read_only, source }
    }
}

fn health_test() -> impl Strategy<Value = HealthTest> {
    prop_oneof![Just(HealthTest::Disabled), texts().prop_map(HealthTest::Exec), text().prop_map(HealthTest::Shell),]
}

prop_compose! {
    pub fn healthcheck()(
        test in maybe(health_test()),
        interval in maybe(duration()),
        timeout in maybe(duration()),
        retries in any::<Option<u32>>(),
        start_period in maybe(duration()),
        start_interval in maybe(duration()),
    ) -> Healthcheck {
        Healthcheck { test, interval, timeout, retries, start_period, start_interval }
    }
}

prop_compose! {
    pub fn resources()(
        limits in limits().boxed(),
        nano_cpus in any::<u64>(),
        memory in any::<u64>(),
        generic in proptest::collection::btree_map(text(), any::<u64>(), 0..3),
    ) -> Resources {
        Resources { limits, reservations: Reservations { nano_cpus, memory, generic } }
    }
}

fn restart_condition() -> impl Strategy<Value = RestartCondition> {
    use RestartCondition::*;
    one_of(&[No, OnFailure, Always, UnlessStopped])
}

prop_compose! {
    pub fn restart_policy()(
        condition in restart_condition(),
        max_attempts in any::<Option<u64>>(),
        delay in maybe(duration()),
        window in maybe(duration()),
    ) -> RestartPolicy {
        RestartPolicy { condition, max_attempts, delay, window }
    }
}

prop_compose! {
    pub fn log_config()(
        driver in one_of(&[
            LogDriver::Default,
            LogDriver::JsonFile,
            LogDriver::Local,
            LogDriver::Journald,
            LogDriver::Syslog,
            LogDriver::None,
        ]),
        options in labels(),
    ) -> LogConfig {
        LogConfig { driver, options }
    }
}

fn host_address() -> impl Strategy<Value = HostAddress> {
    prop_oneof![Just(HostAddress::HostGateway), any::<IpAddr>().prop_map(HostAddress::Ip)]
}

prop_compose! {
    pub fn host_entry()(host in text(), address in host_address()) -> HostEntry {
        HostEntry { host, address }
    }
}

prop_compose! {
    fn device()(source in text(), target in text(), permissions in text()) -> Device {
        Device { source, target, permissions }
    }
}

prop_compose! {
    fn device_request()(
        driver in text(),
        count in any::<i64>(),
        device_ids in texts(),
        capabilities in texts(),
        options in labels(),
    ) -> DeviceRequest {
        DeviceRequest { driver, count, device_ids, capabilities, options }
    }
}

prop_compose! {
    fn ulimit()(soft in any::<i64>(), hard in any::<i64>()) -> Ulimit {
        Ulimit { soft, hard }
    }
}

prop_compose! {
    fn hook()(
        first in text(),
        rest in texts(),
        user in maybe(text()),
        privileged in any::<bool>(),
        working_dir in maybe(text()),
        env in labels(),
    ) -> Hook {
        Hook { command: [vec![first], rest].concat(), user, privileged, working_dir, env }
    }
}

prop_compose! {
    fn any_container_spec()(
        image in text(),
        entrypoint in maybe(texts()),
        command in maybe(texts()),
        env in labels(),
        working_dir in maybe(text()),
        user in maybe(text()),
        group_add in texts(),
        hostname in maybe(text()),
        domainname in maybe(text()),
        labels in labels(),
        annotations in labels(),
        tty in any::<bool>(),
        open_stdin in any::<bool>(),
        stop_signal in maybe(text()),
        stop_grace_period in maybe(duration()),
        read_only in any::<bool>(),
        privileged in any::<bool>(),
        cap_add in texts(),
        cap_drop in texts(),
        security in security_options().boxed(),
        mounts in few(mount()),
        secrets in few(secret_file()),
        configs in few(config_file()),
        healthcheck in maybe(healthcheck()),
        extra_hosts in few(host_entry()),
        dns in few(any::<IpAddr>()),
        dns_search in texts(),
        dns_options in texts(),
        sysctls in labels(),
        ulimits in btree_map(text(), ulimit(), 0..3).boxed(),
        shm_size in any::<Option<u64>>(),
        devices in few(device()),
        device_requests in few(device_request()),
        resources in resources().boxed(),
        pid in pid(),
        ipc in ipc(),
        uts in namespace(),
        userns in namespace(),
        cgroupns in one_of(&[CgroupnsMode::Default, CgroupnsMode::Private, CgroupnsMode::Host]),
        cgroup_parent in maybe(text()),
        device_cgroup_rules in texts(),
        runtime in maybe(text()),
        oom_score_adj in any::<Option<i32>>(),
        restart in restart_policy().boxed(),
        log in log_config().boxed(),
        (exposed, init, (post_start, pre_stop)) in (texts(), any::<bool>(), (few(hook()), few(hook()))),
    ) -> ContainerSpec {
        ContainerSpec {
            image, entrypoint, command, env, working_dir, user, group_add, hostname, domainname, labels, annotations,
            tty, open_stdin, stop_signal, stop_grace_period, read_only, privileged, cap_add, cap_drop, security, mounts,
            secrets, configs, healthcheck, extra_hosts, dns, dns_search, dns_options, sysctls, ulimits, shm_size,
            devices, resources, pid, ipc, oom_score_adj, restart, log, exposed, init, uts, userns, cgroupns, cgroup_parent,
            device_cgroup_rules, runtime, device_requests, post_start, pre_stop,
        }
    }
}

pub fn container_spec() -> BoxedStrategy<ContainerSpec> {
    any_container_spec().boxed()
}
