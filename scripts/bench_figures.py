"""Figures: what a command took, what processes hold in memory, and how samples of two competitors compare."""

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20


class Failed(Exception):
    """A measurement could not be made; the message says why."""


class Cost(NamedTuple):
    """What one command took: wall time, and user + system CPU time of it and of the children it waited for."""

    wall_ms: float
    cpu_ms: float


def timed(argv, env=None):
    """Runs a command that must succeed, and tells its Cost."""
    with tempfile.TemporaryFile() as errors:
        begin = time.perf_counter()
        child = subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        # wait4(2) gives the resources of this child alone; getrusage(RUSAGE_CHILDREN) mixes all of them.
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            errors.seek(0)
            text = errors.read().decode(errors="replace").strip()
            raise Failed(f"`{' '.join(map(str, argv))}` ended with {child.returncode}: {text}")
    return Cost(wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000)


def spread(samples):
    """Minimum and median of samples."""
    return {"min": rounded(min(samples)), "median": rounded(statistics.median(samples))}


def ratios(ours, theirs):
    """How our samples compare with theirs: ratio of the medians, and of the minima, which other load disturbs least."""
    return {
        "ratio_median": rounded(statistics.median(ours) / statistics.median(theirs)),
        "ratio_min": rounded(min(ours) / min(theirs)),
    }


def rounded(number):
    """Three significant digits are more than a busy machine can repeat."""
    return float(f"{number:.3g}")


def pss_bytes(pid):
    """Proportional set size of a process (proc_pid_smaps(5)): its own pages, and its share of those it shares."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise Failed(f"/proc/{pid}/smaps_rollup has no Pss line")


def pss_mib(pids):
    """Proportional set size of several processes together, in MiB."""
    return rounded(sum(map(pss_bytes, pids)) / MIB)
