//! What the kernels of most hosts have and the one that runs the tests may not: the binary runs in virtual machines with Debian's
//! kernel (`scripts/kernel`), emulated where there is no KVM.

use crate::kernel;

const START: (&str, &str) = ("start.sh", include_str!("vm/start.sh"));

#[test]
fn a_node_with_apparmor_and_every_kind_of_device() {
    let dir = kernel::files("vm", &[START, ("init.sh", include_str!("vm/apparmor.sh"))]);
    let seen = kernel::debian(dir.path(), "security=apparmor apparmor=1");
    let all = |name: &str, lines: &[&str]| assert_eq!(seen.lines(name), lines, "{name}: {seen}");
    let profile = "docker-default (enforce)";

    seen.holds("default-profile", &["name=apparmor", "profile docker-default", "no-mount", "no-ptrace", "no-write"]);
    seen.holds("default-profile", &["/bin/busybox", "own-are-free"]);
    assert_eq!(seen.section("default-profile").matches(profile).count(), 3, "{seen}");
    all("unloaded", &[profile]);
    all("unconfined", &["unconfined", "mounted", "unconfined"]);
    seen.holds(
        "named",
        &["orca-test (enforce)", "can't open '/etc/passwd'", "profile cannot be \"absent\"", "code 125"],
    );
    all("cpuset", &["1"]);

    let passwd = "root:x:0:0";
    seen.holds("macvlan", &[passwd]);
    seen.holds("ipvlan", &["ipvlan  mode l2", "ipvlan  mode l3"]);
    assert_eq!(seen.section("ipvlan").matches(passwd).count(), 2, "{seen}");
    // Containers have the link address of the parent, and say so.
    let after = |prefix: &str| {
        seen.lines("ipvlan").into_iter().filter_map(|line| line.strip_prefix(prefix)).collect::<Vec<_>>()
    };
    assert_eq!(after("parent "), after("link/ether "), "{seen}");
    assert_eq!(after("mac "), [".", "."], "{seen}");
    all("vlan", &["vlan protocol 802.1Q id 50", "tagged", "Device \"lan0.50\" does not exist.", "gone"]);
    seen.holds("ports", &[passwd]);
    all("wireguard", &["kernel-has-it"]);

    let nfs = ["four", "three", "from the server", "written", "written", "read-only", "nowhere.invalid", "code 125"];
    seen.holds("nfs", &nfs);
    assert_eq!(seen.lines("nfs").last(), Some(&"0"), "nothing stays mounted: {seen}");
}

#[test]
fn a_node_with_selinux_and_cgroups_of_both_versions() {
    let scripts = [START, ("init.sh", include_str!("vm/selinux.sh")), ("policy.cil", include_str!("vm/policy.cil"))];
    let dir = kernel::files("vm", &scripts);
    let seen = kernel::debian(dir.path(), "security=selinux selinux=1");
    let all = |name: &str, lines: &[&str]| assert_eq!(seen.lines(name), lines, "{name}: {seen}");
    let label = |role: &str, level: &str| format!("system_u:{role}:{level}");
    let (process, own) = (label("system_r:container_t", "s0:c1,c2"), label("object_r:container_file_t", "s0:c1,c2"));
    let (shared, host) = (label("object_r:container_file_t", "s0"), label("object_r:host_t", "s0"));

    seen.holds("enforcing", &["enforcing 1", "name=selinux"]);
    all("process", &[&format!("{process} {own}"), &process]);
    let inside = [&process, "shared", "private", "closed-to-it", "volume-is-open", "root-is-open", "hosts-are-open"];
    let inside: Vec<&str> = inside.into_iter().chain([&*shared, &*own, &*host, &*shared]).collect();
    let quiet =
        |name: &str| seen.lines(name).into_iter().filter(|line| !line.contains("can't open")).collect::<Vec<_>>();
    assert_eq!(quiet("files"), inside, "{seen}");
    assert_eq!(quiet("others"), ["shared", "x", "closed-to-it", "hosts-are-open"], "{seen}");
    all("plain", &["system_u:system_r:kernel_t:s0", "system_u:system_r:kernel_t:s0"]);
    seen.holds("refused", &["absent_t", "label=odd:x", "/etc", "AppArmor is not active"]);
    assert_eq!(seen.section("refused").matches("code 125").count(), 4, "{seen}");

    let memory = (64 << 20).to_string();
    let limits = [&*memory, "512", "33", "1", "kmsg-denied", "nothing-more"];
    assert_eq!(quiet("limits"), limits, "{seen}");
}
