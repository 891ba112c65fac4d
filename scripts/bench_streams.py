"""What passes through the engines: standard streams of `exec`, published ports, and the watching of many containers."""

import json
import os
import subprocess
import time

from bench_figures import Failed, rounded

STREAM_BYTES = 1 << 30
ROUNDS = 3
FLEET = 200
WATCHED_SECONDS = 20
PORT = 8080


def exec_rate(engine, directory):
    """Megabytes a second into and out of a container through `exec -i`; the best of some rounds each."""
    # A sparse file: reading it costs the kernel a clearing of pages, not a disk.
    source = directory / "stream"
    with source.open("wb") as file:
        file.truncate(STREAM_BYTES)
    name = engine.ask("run", "-d", "-v", f"{source}:/stream", "busybox", "sleep", "10000").strip()
    into, out = [], []
    for _ in range(ROUNDS):
        with source.open("rb") as file:
            into.append(_seconds(engine, file, ["exec", "-i", name, "cat"]))
        out.append(_seconds(engine, subprocess.DEVNULL, ["exec", name, "cat", "/stream"]))
    engine.remove_all()
    source.unlink()
    # What `cat` reads it writes again: both ways at once.
    return {"both_ways_mb_per_s": _rate(into), "out_mb_per_s": _rate(out)}


def _rate(seconds):
    return rounded(STREAM_BYTES / 1e6 / min(seconds))


def _seconds(engine, stdin, argv):
    begin = time.perf_counter()
    child = subprocess.Popen([*engine.client, *argv], env=engine.environment, stdin=stdin, stdout=subprocess.PIPE)
    count = 0
    buffer = bytearray(1 << 20)
    while got := os.readv(child.stdout.fileno(), [buffer]):
        count += got
    if child.wait() != 0 or count != STREAM_BYTES:
        raise Failed(f"`{engine.name} {' '.join(argv)}` gave {count} bytes and ended with {child.returncode}")
    return time.perf_counter() - begin


def watch_cost(engine):
    """Share of one core that daemon and client need while `stats` and `events` watch a fleet that rests."""
    for _ in range(FLEET):
        engine.ask("run", "-d", "busybox", "sleep", "10000")
    time.sleep(3)
    shares = {}
    for name, argv in [("idle", None), ("stats", ["stats"]), ("events", ["events"])]:
        shares[name] = _share(engine, argv)
    engine.remove_all()
    return shares


def _share(engine, argv):
    client = None
    if argv:
        client = subprocess.Popen(
            [*engine.client, *argv],
            env=engine.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(2)
    before = engine.meter.milliseconds() + _own(client)
    time.sleep(WATCHED_SECONDS)
    used = engine.meter.milliseconds() + _own(client) - before
    if client:
        client.terminate()
        client.wait()
    return float(f"{used / WATCHED_SECONDS / 1000:.4f}")


def _own(client):
    """CPU time of a running process, in milliseconds: fields 14 and 15 of proc_pid_stat(5)."""
    if not client:
        return 0
    with open(f"/proc/{client.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


class Peer:
    """A host beside an engine's, joined to it by a cable, whose users come through published ports."""

    HERE, THERE = "10.99.0.2", "10.99.0.1"

    def __init__(self, engine):
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        engine.sandbox.at_exit(self.close)
        time.sleep(0.2)
        node, peer = str(engine.daemon.pid), str(self.holder.pid)
        ends = ["type", "veth", "peer", "name", "cable1", "netns", peer]
        self._run(node, ["ip", "link", "add", "cable0", *ends])
        for pid, device, address in ((node, "cable0", self.THERE), (peer, "cable1", self.HERE)):
            self._run(pid, ["ip", "address", "add", f"{address}/24", "dev", device])
            self._run(pid, ["ip", "link", "set", device, "up"])

    def close(self):
        """Ends the host, and with it the cable."""
        self.holder.kill()
        self.holder.wait()

    def ask(self, argv):
        """What a program on this host prints."""
        return self._run(str(self.holder.pid), argv)

    @staticmethod
    def _run(pid, argv):
        done = subprocess.run(["nsenter", "--net", "--target", pid, "--", *argv], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"`{' '.join(argv)}` ended with {done.returncode}: {done.stderr.strip() or done.stdout[-500:]}")
        return done.stdout


def serve(engine, program, *arguments):
    """Publishes a program of this machine from a container. Orca and Docker both bind `/` as it is."""
    chroot = ["chroot", "/host", program, *arguments]
    # iperf3 writes into /tmp.
    mounts = ["-v", "/:/host:ro", "--tmpfs", "/host/tmp"]
    engine.ask("run", "-d", "-p", f"{PORT}:{PORT}", *mounts, "busybox", *chroot)
    time.sleep(1)


def throughput(peer):
    """Gigabits a second of one connection through the port."""
    report = json.loads(peer.ask(["iperf3", "--json", "--time", "4", "--client", Peer.THERE, "--port", str(PORT)]))
    if "error" in report:
        raise Failed(f"iperf3: {report['error']}")
    return report["end"]["sum_received"]["bits_per_second"] / 1e9


ANSWER = f"""
import socket
server = socket.create_server(("", {PORT}), backlog=1024)
while True:
    server.accept()[0].close()
"""
CONNECT = f"""
import socket, time
end, count = time.monotonic() + 4, 0
while time.monotonic() < end:
    connection = socket.create_connection(("{Peer.THERE}", {PORT}))
    connection.recv(1)
    connection.close()
    count += 1
print(count / 4)
"""


def connections(peer):
    """Connections a second, one after another."""
    return float(peer.ask(["python3", "-c", CONNECT]))


def port_rate(engines):
    """Both figures of each engine, in alternating rounds."""
    found = {}
    for name, figure, server in [
        ("gbit_per_s", throughput, ["iperf3", "--server", "--port", str(PORT)]),
        ("connections_per_s", connections, ["python3", "-c", ANSWER]),
    ]:
        best = {}
        for engine in engines:
            serve(engine, *server)
        peers = [(engine.name, Peer(engine)) for engine in engines]
        for _ in range(ROUNDS):
            for engine, peer in peers:
                best[engine] = max(best.get(engine, 0), figure(peer))
        for _, peer in peers:
            peer.close()
        for engine in engines:
            engine.remove_all()
        ours, theirs = best["orca"], best["docker"]
        found[name] = {"orca": rounded(ours), "docker": rounded(theirs), "ratio": rounded(ours / theirs)}
    return found
