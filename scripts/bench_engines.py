"""The two competitors: an Orca node and a Docker daemon, each in a network namespace and directories of its own."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from bench_figures import Cost, Failed, timed
from bench_sandbox import CpuMeter

PATIENCE = 60
# What a daemon still does after its client has ended is counted as part of the run.
AFTERMATH = 0.1
# In new namespaces: has the process's CPU time counted, gives it a loopback device, and becomes the daemon.
START = 'echo $$ >"$1" && ip link set lo up && shift && exec "$@"'
# docker.io keeps things in /run/docker and /run/containerd whatever its directories are.
OWN_RUN = "mount -t tmpfs tmpfs /run && "


class Engine:
    """A daemon and its command line client, which has Docker's verbs."""

    name: str
    client: list
    start_script = START

    def __init__(self, sandbox, archive):
        self.sandbox = sandbox
        self.dir = sandbox.dir / self.name
        self.dir.mkdir()
        self.environment = {**os.environ, **self.variables()}
        self.meter = CpuMeter(f"{sandbox.prefix}/{self.name}-daemon", *self.meter_too())
        self.daemon = None
        sandbox.at_exit(self.stop)
        self.start()
        self.ask("import", archive, "busybox")

    def start(self):
        """Starts the daemon and waits until it answers."""
        self.log = self.dir / "daemon.log"
        namespaces = ["unshare", "--net", "--mount", "--propagation", "private"]
        argv = [*namespaces, "sh", "-c", self.start_script, "sh", self.meter.procs, *self.daemon_argv()]
        with self.log.open("wb") as log:
            self.daemon = subprocess.Popen(
                argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + PATIENCE
        while self.quietly("ps").returncode != 0:
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{self.name}'s daemon does not answer\n{self.last_words()}")
            time.sleep(0.05)

    def stop(self):
        """Ends the daemon as its users do, after its containers."""
        if self.daemon and self.daemon.poll() is None:
            self.before_stop()
            self.daemon.terminate()
            self.daemon.wait(timeout=PATIENCE)

    def quietly(self, *args):
        """Runs the client, whatever comes of it."""
        return subprocess.run(
            [*self.client, *args], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )

    def ask(self, *args):
        """Runs the client, which must succeed; what it printed."""
        done = self.quietly(*args)
        if done.returncode != 0:
            command = " ".join(map(str, [self.name, *args]))
            raise Failed(f"`{command}` ended with {done.returncode}: {done.stderr.strip()}\n{self.last_words()}")
        return done.stdout

    def last_words(self):
        """The end of the daemon's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def timed(self, *args):
        """The Cost of one command: wall time of the client, CPU time of client, daemon and containers."""
        before = self.meter.milliseconds()
        cost = timed([*self.client, *args], self.environment)
        time.sleep(AFTERMATH)
        return Cost(cost.wall_ms, cost.cpu_ms + self.meter.milliseconds() - before)

    def run_at_once(self, count):
        """Starts this many sleeping containers, all at once. Milliseconds until every client has ended and all run."""
        begin = time.perf_counter()
        clients = [
            subprocess.Popen(
                [*self.client, "run", "-d", "busybox", "sleep", "1000"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(count)
        ]
        errors = [client.communicate()[1] for client in clients]
        wall = (time.perf_counter() - begin) * 1000
        if failed := [error for client, error in zip(clients, errors) if client.returncode != 0]:
            raise Failed(f"{len(failed)} of {count} `{self.name} run -d` failed: {failed[0]}\n{self.last_words()}")
        running = len(self.ask("ps", "-q").split())
        if running != count:
            raise Failed(f"{running} of {count} containers of {self.name} run")
        return wall

    def remove_all(self):
        """Removes every container."""
        if containers := self.ask("ps", "-aq").split():
            self.ask("rm", "-f", *containers)

    def before_stop(self):
        """What must be done while the daemon can still do it."""
        self.remove_all()

    def pids(self, is_wanted):
        """The processes of this engine whose arguments are wanted."""
        return [pid for pid, argv in self.sandbox.processes() if is_wanted(argv)]

    def shims(self):
        """The process that each container has for itself."""
        return self.pids(self.is_shim)

    def daemons(self):
        """The processes that stay when no container runs."""
        return self.pids(self.is_daemon)

    def meter_too(self):
        """Names of other cgroups whose CPU time is this engine's."""
        return []


class Orca(Engine):
    """A node of its own."""

    name = "orca"

    def __init__(self, sandbox, archive, program):
        self.client = [program]
        self.run_dir = sandbox.run_dir / self.name
        super().__init__(sandbox, archive)
        self.count_containers_too()

    def variables(self):
        return {"ORCA_HOST": f"unix://{self.run_dir}/orca.sock"}

    def daemon_argv(self):
        return [*self.client, "daemon", "--data-dir", self.dir / "data", "--run-dir", self.run_dir]

    def count_containers_too(self):
        """Finds the cgroup that the node keeps its containers in, by looking where one of them is."""
        container = self.ask("run", "-d", "busybox", "sleep", "1000").strip()
        pid = json.loads(self.ask("inspect", container))[0]["State"]["Pid"]
        # Lines of hierarchy:controllers:path (cgroups(7)).
        paths = [line.split(":", 2)[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
        names = {path.split("/")[1] for path in paths if container in path}
        for name in names:
            self.sandbox.own_cgroup(name)
        self.remove_all()
        self.meter = CpuMeter(*self.meter.names, *names)

    def before_stop(self):
        self.ask("system", "reset", "--force")

    @staticmethod
    def is_shim(argv):
        return argv[1] == "shim"

    @staticmethod
    def is_daemon(argv):
        return argv[1] in ("daemon", "netd")


class Docker(Engine):
    """Debian's dockerd with a containerd of its own."""

    name = "docker"
    # Another docker may come first in PATH.
    client = ["/usr/bin/docker"]
    start_script = OWN_RUN + START

    def variables(self):
        return {"DOCKER_HOST": f"unix://{self.dir}/docker.sock", "DOCKER_CONFIG": str(self.dir / "config")}

    def daemon_argv(self):
        # In place of the host's own /etc/docker/daemon.json.
        configuration = self.dir / "daemon.json"
        configuration.write_text("{}")
        return [
            "/usr/sbin/dockerd",
            f"--data-root={self.dir}/data",
            f"--exec-root={self.sandbox.run_dir}/docker",
            f"--pidfile={self.dir}/pid",
            f"--host={self.variables()['DOCKER_HOST']}",
            f"--cgroup-parent=/{self.meter.names[1]}",
            f"--config-file={configuration}",
        ]

    def meter_too(self):
        return [f"{self.sandbox.prefix}/docker-containers"]

    @staticmethod
    def is_shim(argv):
        return Path(argv[0]).name.startswith("containerd-shim")

    @staticmethod
    def is_daemon(argv):
        return Path(argv[0]).name in ("dockerd", "containerd")


def archive(sandbox, root):
    """A tar archive of a root file system, as both engines import it."""
    path = sandbox.dir / "busybox.tar"
    subprocess.run(["tar", "--numeric-owner", "--create", "--file", path, "--directory", root, "."], check=True)
    return path


def version():
    """Which Docker it is."""
    if not shutil.which("dockerd", path="/usr/sbin"):
        raise Failed("/usr/sbin/dockerd is missing; install Debian's docker.io")
    done = subprocess.run(["/usr/sbin/dockerd", "--version"], check=True, capture_output=True, text=True)
    return done.stdout.split(",")[0].split()[-1]
