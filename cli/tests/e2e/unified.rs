//! cgroup v2 and AppArmor, which most machines have today and which the machine that runs the tests may not: the binary runs
//! in a User-Mode Linux (Debian's `user-mode-linux`), a kernel that is a process, on the host's file system read-only.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::busybox;

/// Everything, but for one file.
const PROFILE: &str = "profile orca-test flags=(attach_disconnected,mediate_deleted) {
  file, capability, network, signal,
  deny /etc/passwd r,
}
";

/// Runs the script in a fresh kernel and returns what it printed, by section.
fn boot(dir: &Path) -> BTreeMap<String, String> {
    busybox(dir);
    std::fs::create_dir(dir.join("vm")).unwrap();
    // Sections of debugging would not fit into the kernel's memory beside containers.
    let strip = Command::new("strip").arg("-o").arg(dir.join("orca")).arg(env!("CARGO_BIN_EXE_orca")).status();
    assert!(strip.unwrap().success());
    let init = dir.join("init.sh");
    std::fs::write(&init, include_str!("unified/init.sh")).unwrap();
    std::fs::set_permissions(&init, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(dir.join("profile"), PROFILE).unwrap();
    std::fs::write(dir.join("disk"), b"DISK".repeat(1 << 18)).unwrap();
    let output = Command::new("timeout")
        .args(["-k", "5", "120", "linux.uml", "mem=1G", "root=/dev/root", "rootfstype=hostfs", "ro", "quiet"])
        .args(["con=null", "con0=null,fd:1", "security=apparmor", "apparmor=1"])
        .arg(format!("ubd0={}", dir.join("disk").display()))
        .arg(format!("uml_dir={}", dir.display()))
        .arg(format!("init={}", init.display()))
        .env("TMPDIR", dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert!(
        text.contains("== done"),
        "it did not come to its end:\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let sections = text.split("== ").skip(1).filter_map(|section| section.split_once('\n'));
    sections.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

#[test]
fn containers_on_cgroup_v2() {
    let dir = tempfile::Builder::new().prefix(&format!("orca-t{}-uml-", std::process::id())).tempdir().unwrap();
    let seen = boot(dir.path());
    let whole = format!("{seen:#?}");
    let section = |name: &str| seen.get(name).unwrap_or_else(|| panic!("no section {name}: {whole}")).as_str();
    let holds = |name: &str, text: &str| assert!(section(name).contains(text), "{name} lacks {text:?}: {whole}");
    let lines = |name: &str| section(name).lines().collect::<Vec<_>>();

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
