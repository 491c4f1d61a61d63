# SPDX-License-Identifier: Apache-2.0
"""A tracer that runs beside what is measured, and what it uses."""

import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

# What a process holds when it has attached something.
ATTACHED = ("bpf_link", "perf_event", "bpf-prog")
PATIENCE = 40
STILL = 0.3


class TracerFailed(Exception):
    """It ended before anything was attached, or was never ready; the text says what it wrote."""


class Tracer:
    """A running tracer, its output in a file; ready when the set of what it has attached no longer changes.

    Peers write their heading into a buffer, so it cannot be waited for.
    """

    def __init__(self, words: list[str], steady: bool = True):
        self.output = tempfile.NamedTemporaryFile("r+", prefix="bench-", errors="replace")
        self.errors = tempfile.NamedTemporaryFile("r+", prefix="bench-", errors="replace")
        self.began = time.monotonic()
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.errors)
        self.pid = self.process.pid
        self.attached_ms = 0.0
        self.memory_kb = 0
        self.cpu_seconds = 0.0
        self.status = None
        if steady:
            self._wait_until_attached(words)

    def __enter__(self) -> "Tracer":
        return self

    def __exit__(self, *_) -> None:
        self.end()

    def text(self) -> str:
        """What it has written, rows first."""
        return (Path(self.output.name).read_text(errors="replace")
                + Path(self.errors.name).read_text(errors="replace"))

    def programs(self) -> list[dict[str, int]]:
        """Its BPF programs: `type`, and with `bpf.statistics` on `run_time_ns` and `run_cnt`."""
        found = {}
        for descriptor in _links(self.pid, ("bpf-prog",)):
            try:
                text = Path(f"/proc/{self.pid}/fdinfo/{descriptor}").read_text()
            except OSError:
                continue
            fields = {key: int(value) for key, value in re.findall(r"^(\w+):\t(\d+)$", text, re.M)}
            found[fields["prog_id"]] = {
                "type": fields["prog_type"], "run_time_ns": fields.get("run_time_ns", 0),
                "run_cnt": fields.get("run_cnt", 0),
            }
        return list(found.values())

    def map_bytes(self) -> int:
        """Memory of its BPF maps, as the kernel accounts for it."""
        sizes = {}
        for descriptor in _links(self.pid, ("bpf-map",)):
            text = Path(f"/proc/{self.pid}/fdinfo/{descriptor}").read_text()
            fields = dict(re.findall(r"^(\w+):\t(\d+)$", text, re.M))
            sizes[fields["map_id"]] = int(fields["memlock"])
        return sum(sizes.values())

    def cpu_ns(self) -> int:
        """The CPU time it has used until now, all threads, exactly (the clock of another process)."""
        return time.clock_gettime_ns((~self.pid << 3) | 2)

    def end(self) -> str:
        """Ends it as Ctrl-C does; all that it has written."""
        if self.status is None:
            # Not by Popen, which would take its end away from wait4.
            os.kill(self.pid, signal.SIGINT)
            self.wait(20)
        return self.text()

    def wait(self, seconds: float) -> None:
        """Waits for its end, keeping an eye on its memory; kills it if it does not come."""
        deadline = time.monotonic() + seconds
        while True:
            self._look_at_memory()
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                deadline += 10
            time.sleep(0.001)
        self.status = self.process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = used.ru_utime + used.ru_stime

    def _look_at_memory(self) -> None:
        try:
            peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        except OSError:
            return
        self.memory_kb = max(self.memory_kb, int(peak.group(1)) if peak else 0)

    def _wait_until_attached(self, words: list[str]) -> None:
        known: set[str] = set()
        changed = self.began
        while True:
            now = time.monotonic()
            held = set(_links(self.pid, ATTACHED))
            if held != known:
                known, changed = held, now
            if known and now - changed > STILL:
                self.attached_ms = (changed - self.began) * 1000
                return
            # Left unreaped, so that `end` finds how it ended.
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended or now - self.began > PATIENCE:
                said = self.end().strip().splitlines()
                raise TracerFailed(f"{' '.join(words)}: {said[-1] if said else 'said nothing'}")
            time.sleep(0.001 if now - self.began < 1 else 0.01)


def _links(pid: int, kinds: tuple[str, ...]) -> list[str]:
    """The descriptors of a process that are of some kind."""
    found = []
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(entry.path)
            except OSError:
                continue
            if target.startswith("anon_inode:") and any(kind in target for kind in kinds):
                found.append(entry.name)
    except OSError:
        pass
    return found
