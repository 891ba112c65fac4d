//! cgroup v2 and AppArmor, which most machines have today and which the machine that runs the tests may not: the binary runs
//! in a User-Mode Linux (Debian's `user-mode-linux`), a kernel that is a process, on the host's file system read-only.

use crate::kernel;

#[test]
fn containers_on_cgroup_v2() {
    let dir = kernel::files("uml", &[("init.sh", include_str!("unified/init.sh"))]);
    let seen = kernel::user_mode(dir.path());
    let whole = seen.to_string();
    let section = |name: &str| seen.section(name);
    let lines = |name: &str| seen.lines(name);
    let holds = |name: &str, text: &str| seen.holds(name, &[text]);

    assert_eq!(lines("controllers"), ["cpu io memory pids"], "{whole}");
    // Its own cgroup is the root that it sees; swap on v2 is counted without memory; 512 shares of 1024 are a weight of 59.
    let (memory, low, swap) = ((64 << 20).to_string(), (32 << 20).to_string(), (64 << 20).to_string());
    assert_eq!(lines("limits"), ["0::/", &memory, &low, &swap, "50000 100000", "59", "33"], "{whole}");
    holds("cgroup-is-read-only", "refused");
    holds("cgroup-is-read-only", "alone");

    for expected in ["null-writable", "1\n", "node-made", "kmsg-denied", "disk-denied"] {
        holds("devices", expected);
    }
    holds("devices", "Operation not permitted");
    holds("devices-granted", "DISK\n");
    holds("devices-granted", "read-only-disk");
    assert_eq!(lines("devices-privileged"), ["DISK"], "{whole}");
    holds("devices-exec", "kmsg-denied");

    assert_eq!(lines("frozen"), ["frozen 1", "frozen 0"], "{whole}");
    let stats: serde_json::Value =
        serde_json::from_str(section("stats").trim()).unwrap_or_else(|error| panic!("{error}: {whole}"));
    assert_eq!(stats["PIDs"], "1", "{whole}");
    assert!(
        stats["MemUsage"].as_str().is_some_and(|usage| !usage.starts_with("0B") && usage.contains(" / ")),
        "{whole}"
    );
    assert_eq!(lines("removed"), ["nothing-more"], "{whole}");
    holds("out-of-memory", "code 137");
    assert!(section("pids").trim().parse::<u32>().unwrap() > 0, "{whole}");
    for reason in ["limit cannot be \"cpuset\"", "oom_kill_disable", "memory_swappiness", "cpu_rt", "blkio weight"] {
        holds("refused", reason);
    }
    assert_eq!(section("refused").matches("code 125").count(), 5, "{whole}");
    assert_eq!(lines("io"), ["98:0 rbps=1048576 wbps=max riops=max wiops=40"], "{whole}");

    assert!(lines("apparmor-default").contains(&"docker-default (enforce)"), "{whole}");
    assert_eq!(lines("apparmor-default").last(), Some(&"no-mount"), "{whole}");
    assert_eq!(section("apparmor").matches("orca-test (enforce)").count(), 2, "{whole}");
    for expected in
        ["can't open '/etc/passwd'", "unconfined", "apparmor profile", "absent", "apparmor_parser", "code 125"]
    {
        holds("apparmor", expected);
    }
    for expected in [&memory, "33", "kmsg-denied", "code 7", "code 127", "sleep"] {
        holds("crun", expected);
    }
    assert_eq!(section("crun").matches("code 127").count(), 2, "{whole}");
    assert_eq!(lines("crun").last(), Some(&"nothing-more"), "{whole}");
}
