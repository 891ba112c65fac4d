"""`shim_cpu`: the shim alone against crun, both given a ready bundle whose root is a mounted overlay."""

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from bench_figures import Failed, ratios, spread, timed
from bench_sandbox import CGROUPS, busybox

PAIRS = 30
TARGET = 1.5
PROFILE = Path(__file__).parent.parent / "agent/data/seccomp.json"

CAPABILITIES = [
    f"CAP_{name}"
    for name in (
        "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
        "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
    )
]


def measure(sandbox, orca):
    """CPU time to create, start, see the end of, and delete a container that runs `true`, in alternating pairs."""
    lower = busybox(sandbox.dir / "shim-lower")
    with without_hybrid():
        plain = compare(sandbox, lower, orca, None)
        filtered = compare(sandbox, lower, orca, seccomp())
    # Creating a container reads the host's whole mount table, crun more seldom than we do.
    mounts = len(Path("/proc/self/mountinfo").read_text().splitlines())
    return {"pairs": PAIRS, "host_mounts": mounts, **plain, "target": TARGET, "with_seccomp_profile": filtered}


def compare(sandbox, lower, orca, profile):
    """The figures with one seccomp profile, or none."""
    competitors = ((orca, run_shim), ("crun", run_crun))
    pairs = [[run(sandbox, lower, pair, profile, *way) for way in competitors] for pair in range(PAIRS + 1)]
    # The first of each warms the page cache.
    ours, theirs = zip(*pairs[1:])
    cpu = [[cost.cpu_ms for cost in costs] for costs in (ours, theirs)]
    wall = [[cost.wall_ms for cost in costs] for costs in (ours, theirs)]
    return {
        "shim_cpu_ms": spread(cpu[0]),
        "crun_cpu_ms": spread(cpu[1]),
        **ratios(*cpu),
        "wall_ratio_median": ratios(*wall)["ratio_median"],
    }


@contextlib.contextmanager
def without_hybrid():
    """Takes a cgroup v2 hierarchy beside v1 ones away from both (in this mount namespace): crun refuses such a host."""
    unified = CGROUPS / "unified"
    if not unified.is_mount():
        yield
        return
    subprocess.run(["umount", unified], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", unified], check=True)


def run(sandbox, lower, number, profile, program, way):
    """Makes a bundle, has it run to its end, and takes it away again; only the run itself is measured."""
    bundle = sandbox.dir / "bundle"
    for name in ("rootfs", "upper", "work"):
        (bundle / name).mkdir(parents=True)
    root = bundle / "rootfs"
    layers = f"lowerdir={lower},upperdir={bundle}/upper,workdir={bundle}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, root], check=True)
    try:
        cgroup = f"/{sandbox.prefix}/shim-{number}"
        (bundle / "config.json").write_text(json.dumps(configuration(root, cgroup, profile)))
        return way(program, bundle, cgroup, sandbox.run_dir / "state")
    finally:
        subprocess.run(["umount", root], check=True)
        shutil.rmtree(bundle)


def run_shim(orca, bundle, cgroup, state):
    """Has `orca shim` run the bundle; its log is kept, as a daemon would have it."""
    spec = {
        "version": 1,
        "container_id": "0" * 64,
        "run_generation": 1,
        "snapshot": None,
        "log": {"driver": "json-file", "path": str(bundle / "container.log"), "max_size": 0, "max_files": 1},
        "cgroup": cgroup,
        "state_dir": str(state),
        "start_immediately": True,
    }
    (bundle / "shim.json").write_text(json.dumps(spec))
    cost = timed([orca, "shim", "--bundle", bundle])
    record = json.loads((bundle / "exit.json").read_text())
    if record["exit_code"] != 0:
        raise Failed(f"`true` ended with {record} in a shim")
    return cost


def run_crun(crun, bundle, cgroup, state):
    """Has `crun run` run the bundle: it creates, starts, waits and deletes."""
    name = f"{Path(cgroup).parent.name}-{Path(cgroup).name}"
    return timed([crun, "--root", state, "run", "--bundle", bundle, name])


def configuration(root, cgroup, profile):
    """An OCI runtime configuration (config.md of the specification) as Docker's defaults make one."""
    kinds = ["pid", "ipc", "uts", "mount", "network", "cgroup"]
    quiet = ["nosuid", "noexec", "nodev"]
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    linux = {
        "cgroupsPath": cgroup,
        "namespaces": [{"type": kind} for kind in kinds],
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "maskedPaths": ["/proc/kcore", "/sys/firmware"],
        "readonlyPaths": ["/proc/sys"],
    }
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": False},
        "hostname": "box",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "cwd": "/",
            "env": ["PATH=/usr/local/bin:/bin", "HOME=/root"],
            "capabilities": {name: CAPABILITIES for name in ("bounding", "effective", "permitted")},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": quiet},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": pts},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, "ro"]},
        ],
        "linux": linux | ({"seccomp": profile} if profile else {}),
    }


def seccomp():
    """Docker's default system call filter, of its published form, for a container with the default capabilities."""
    machine = os.uname().machine
    arch = {"x86_64": "amd64", "aarch64": "arm64"}[machine]
    profile = json.loads(PROFILE.read_text())

    def counts(rule):
        includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
        return (
            set(includes.get("caps", [])) <= set(CAPABILITIES)
            and arch in includes.get("arches", [arch])
            and not set(excludes.get("caps", [])) & set(CAPABILITIES)
            and arch not in excludes.get("arches", [])
        )

    own = f"SCMP_ARCH_{machine.upper()}"
    maps = [entry for entry in profile["archMap"] if entry["architecture"] == own]
    kept = ("names", "action", "errnoRet", "args")
    rules = [rule for rule in profile["syscalls"] if counts(rule)]
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": [own, *(sub for entry in maps for sub in entry["subArchitectures"])],
        "syscalls": [{key: rule[key] for key in kept if rule.get(key) is not None} for rule in rules],
    }
