//! Namespaces, security options and limits.

use model::*;
use proptest::prelude::*;

use super::*;

/// What a container may be called: never empty, as `container:` with nothing behind it means nothing.
fn name() -> impl Strategy<Value = String> {
    text().prop_map(|text| format!("c{text}"))
}

pub fn namespace() -> impl Strategy<Value = NamespaceMode> {
    one_of(&[NamespaceMode::Private, NamespaceMode::Host])
}

pub fn pid() -> impl Strategy<Value = PidMode> {
    prop_oneof![Just(PidMode::Private), Just(PidMode::Host), name().prop_map(PidMode::Container)]
}

pub fn ipc() -> impl Strategy<Value = IpcMode> {
    let plain = one_of(&[0, 1, 2, 3]).prop_map(|index| match index {
        0 => IpcMode::Private,
        1 => IpcMode::None,
        2 => IpcMode::Shareable,
        _ => IpcMode::Host,
    });
    prop_oneof![plain, name().prop_map(IpcMode::Container)]
}

fn seccomp() -> impl Strategy<Value = SeccompProfile> {
    prop_oneof![
        Just(SeccompProfile::Default),
        Just(SeccompProfile::Unconfined),
        text().prop_map(SeccompProfile::Custom)
    ]
}

prop_compose! {
    pub fn security_options()(
        seccomp in seccomp(),
        no_new_privileges in any::<bool>(),
        apparmor in maybe(text()),
        labels in texts(),
        systempaths_unconfined in any::<bool>(),
    ) -> SecurityOptions {
        SecurityOptions { seccomp, no_new_privileges, apparmor, labels, systempaths_unconfined }
    }
}

prop_compose! {
    fn rate()(path in text(), rate in any::<u64>()) -> DeviceRate {
        DeviceRate { path, rate }
    }
}

prop_compose! {
    fn block_io()(
        weight in any::<Option<u16>>(),
        weight_devices in few(rate()),
        read_bps in few(rate()),
        write_bps in few(rate()),
        read_iops in few(rate()),
        write_iops in few(rate()),
    ) -> BlockIo {
        BlockIo { weight, weight_devices, read_bps, write_bps, read_iops, write_iops }
    }
}

prop_compose! {
    pub fn limits()(
        nano_cpus in any::<Option<u64>>(),
        cpu_shares in any::<Option<u64>>(),
        cpuset in maybe(text()),
        memory in any::<Option<u64>>(),
        memory_swap in any::<Option<i64>>(),
        pids in any::<Option<i64>>(),
        cpu_period in any::<Option<u64>>(),
        cpu_quota in any::<Option<i64>>(),
        cpu_rt_period in any::<Option<u64>>(),
        cpu_rt_runtime in any::<Option<i64>>(),
        cpuset_mems in maybe(text()),
        memory_swappiness in any::<Option<u64>>(),
        oom_kill_disable in any::<bool>(),
        block_io in block_io(),
    ) -> Limits {
        Limits {
            nano_cpus, cpu_shares, cpuset, memory, memory_swap, pids, cpu_period, cpu_quota, cpu_rt_period,
            cpu_rt_runtime, cpuset_mems, memory_swappiness, oom_kill_disable, block_io,
        }
    }
}
