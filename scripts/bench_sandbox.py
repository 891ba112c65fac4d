"""What a benchmark makes on this machine, all below one prefix, and how it disappears again even after a failure."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_figures import Failed

CGROUPS = Path("/sys/fs/cgroup")
# A mount namespace of the benchmark's own, inherited by everything it starts: no mount can outlive it.
ENTERED = "ORCA_BENCH_MOUNT_NAMESPACE"


def enter_mount_namespace():
    """Executes this program again in a mount namespace of its own, unless it is in one."""
    if os.environ.get(ENTERED) != str(os.getpid()):
        os.environ[ENTERED] = str(os.getpid())
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])


class Sandbox:
    """A directory and cgroups of one run. As a context manager, removes them and ends the processes that use them."""

    def __init__(self):
        self.prefix = f"orca-bench-{os.getpid()}"
        self.dir = Path(tempfile.mkdtemp(prefix=f"{self.prefix}-"))
        self.stops = []
        self.cgroups = {self.prefix}
        # Stands for /run: engines keep there what need not survive a restart of the machine.
        self.run_dir = self.dir / "run"
        self.run_dir.mkdir()

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit("bench: ended by a signal"))
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.run_dir], check=True)
        return self

    def __exit__(self, *_):
        for step in [*reversed(self.stops), self._end_processes, self._unmount, self._remove_cgroups, self._remove_dir]:
            try:
                step()
            except (OSError, Failed, subprocess.SubprocessError) as error:
                print(f"bench: cleaning up: {error}", file=sys.stderr)

    def at_exit(self, stop):
        """Has something stopped before everything else goes; the latest first."""
        self.stops.append(stop)

    def processes(self):
        """Processes that name this sandbox in their arguments: pairs of pid and arguments."""
        needle = os.fsencode(self.dir)
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:  # It has ended meanwhile.
                    continue
                if needle in line:
                    found.append((int(entry.name), [os.fsdecode(word) for word in line.split(b"\0")]))
        return found

    def own_cgroup(self, name):
        """Has the cgroup of this name, at the root of every hierarchy, removed at the end."""
        self.cgroups.add(name)

    def _cgroup_dirs(self):
        roots = [CGROUPS, *(path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink())]
        return [root / name for root in roots for name in self.cgroups if (root / name).is_dir()]

    def _end_processes(self):
        def left():
            pids = {pid for pid, _ in self.processes()}
            for cgroup in self._cgroup_dirs():
                for procs in cgroup.rglob("cgroup.procs"):
                    pids.update(map(int, procs.read_text().split()))
            return pids - {os.getpid()}

        deadline = time.monotonic() + 10
        while pids := left():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    pass
            if time.monotonic() > deadline:
                raise Failed(f"processes {sorted(pids)} do not end")
            time.sleep(0.02)

    def _unmount(self):
        # Fields of /proc/PID/mountinfo (proc_pid_mountinfo(5)): the fifth is the mount point, spaces in it as \040.
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for point in reversed([point for point in points if point.startswith(f"{self.dir}/")]):
            subprocess.run(["umount", "--lazy", point], check=True)

    def _remove_cgroups(self):
        deadline = time.monotonic() + 5
        for cgroup in self._cgroup_dirs():
            for path in [*sorted(filter(Path.is_dir, cgroup.rglob("*")), reverse=True), cgroup]:
                while path.is_dir():
                    try:
                        path.rmdir()
                    except OSError:  # The kernel is still taking leave of a process that has ended.
                        if time.monotonic() > deadline:
                            raise
                        time.sleep(0.02)

    def _remove_dir(self):
        shutil.rmtree(self.dir)


class CpuMeter:
    """CPU time of everything that ever ran in some cgroups and those below them, ended processes included."""

    def __init__(self, *names):
        v1 = CGROUPS / "cpuacct"
        self.root = v1 if v1.is_dir() else CGROUPS
        self.names = list(names)
        for name in names:
            (self.root / name).mkdir(parents=True, exist_ok=True)

    @property
    def procs(self):
        """The file that a process's number is written to in order to have it counted."""
        return self.root / self.names[0] / "cgroup.procs"

    def milliseconds(self):
        """The total so far."""
        return sum(self._nanoseconds(self.root / name) for name in self.names) / 1e6

    @staticmethod
    def _nanoseconds(cgroup):
        if (usage := cgroup / "cpuacct.usage").exists():
            return int(usage.read_text())
        fields = dict(line.split() for line in (cgroup / "cpu.stat").read_text().splitlines())
        return int(fields["usage_usec"]) * 1000


def busybox(root):
    """Makes a root file system of static busybox with its applets in the directory root."""
    for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    program = shutil.which("busybox")
    shutil.copy(program, root / "bin/busybox")
    for applet in subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("/bin/busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    return root
