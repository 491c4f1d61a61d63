# SPDX-License-Identifier: Apache-2.0
"""The core commands for a long time, together, on a busy machine."""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.load import MixedLoad
from bench.setup import Setup
from bench.tracer import PATIENCE

TITLE = "A long time of a bit of everything"
COMMANDS = {
    "opensnoop": ["opensnoop"],
    "memleak": ["memleak", "-p", "REDIS", "10"],
    "runqslower": ["runqslower", "1000", "--who"],
    "profile": ["profile", "-F", "99", "-f"],
    "offcputime": ["offcputime", "-f"],
}
EVERY = 10
# Seconds after which memory should stay as it is; a third of a shorter run.
SETTLED = 120
REDIS = "REDIS"


class Command:
    """A command whose rows are counted and thrown away."""

    def __init__(self, name: str, words: list[str]):
        self.name = name
        self.errors = tempfile.TemporaryFile("w+", errors="replace")
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors)
        self.counter = subprocess.Popen(["wc", "-l"], stdin=self.process.stdout, stdout=subprocess.PIPE, text=True)
        self.process.stdout.close()
        self.memory: list[tuple[float, int]] = []
        self.cpu_ns = 0

    def look(self, at: float) -> None:
        """Notes what it uses now; one that has ended is found out at the end."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            self.cpu_ns = time.clock_gettime_ns((~self.process.pid << 3) | 2)
        except OSError:
            return
        resident = re.search(r"VmRSS:\s+(\d+)", status)
        if resident:
            self.memory.append((at, int(resident.group(1))))

    def end(self, elapsed: float) -> dict:
        began = time.monotonic()
        early = self.process.poll() is not None
        self.process.send_signal(2)
        try:
            self.process.wait(10 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        rows = int(self.counter.communicate()[0])
        self.errors.seek(0)
        said = self.errors.read()
        settled = [(at, size) for at, size in self.memory if at >= min(SETTLED, elapsed / 3)]
        return {
            "status": self.process.returncode, "early": early, "rows": rows, "end_s": time.monotonic() - began,
            "lost": [line for line in said.splitlines() if re.search(r"\blost\b|\bdropped\b|\bfull\b|not stored", line)],
            "said": said.splitlines()[-20:], "cpu_percent": self.cpu_ns / elapsed / 1e7,
            "first_kb": settled[0][1] if settled else 0, "last_kb": settled[-1][1] if settled else 0,
            "most_kb": max((size for _, size in self.memory), default=0),
            "slope_kb_a_minute": _slope(settled) * 60, "memory": self.memory,
        }


def measure(setup: Setup, minutes: float) -> dict:
    before = _attached()
    with tempfile.TemporaryDirectory() as room, MixedLoad(room) as load:
        running = [Command(name, [setup.apus, *(str(load.redis) if word == REDIS else word for word in words)])
                   for name, words in COMMANDS.items()]
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < minutes * 60:
            time.sleep(min(EVERY, max(0.1, minutes * 60 - elapsed)))
            for command in running:
                command.look(time.monotonic() - began)
            _progress(running, time.monotonic() - began)
        elapsed = time.monotonic() - began
        results = {command.name: command.end(elapsed) for command in running}
        alive = load.answers()
    time.sleep(1)  # the kernel frees programs a moment later
    return {"minutes": minutes, "commands": results, "target_alive": alive, "left": sorted(_attached() - before)}


def good(figures: dict) -> bool:
    """Whether nothing failed; how much memory is too much is for the reader to say."""
    ended = all(result["status"] == 0 and not result["early"] for result in figures["commands"].values())
    return ended and figures["target_alive"] and not figures["left"]


def render(figures: dict) -> list[str]:
    lines = [
        f"`Benchmarks/soak`: the five together for {_minutes(figures['minutes'])}, beside a parallel build in a loop, "
        "redis-benchmark (memleak traces its server), bursts of opens, and short processes and threads by the hundred.", "",
        "| | memory once settled, MB | at the end, MB | a minute, KB | most, MB | CPU | rows | status | said to be lost |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, result in figures["commands"].items():
        memory = [f"{result[key] / 1000:.1f}" for key in ("first_kb", "last_kb")]
        lost = "; ".join(_without_name(line) for line in result["lost"]) or "nothing"
        lines.append(
            f"| {name} | {' | '.join(memory)} | {result['slope_kb_a_minute']:+.0f} | {result['most_kb'] / 1000:.1f} "
            f"| {result['cpu_percent']:.1f} % | {result['rows']:,} | {result['status']} | {lost} |")
    left = ", ".join(figures["left"]) or "nothing"
    return lines + [
        "", f"Left attached afterwards: {left}. The traced server {'still answers' if figures['target_alive'] else '**is gone**'}.",
    ]


def _attached() -> set[str]:
    """All BPF programs and links of the machine, and probes made through tracefs."""
    found = set()
    for kind in ("prog", "link"):
        text = subprocess.run(["bpftool", kind, "list"], capture_output=True, text=True).stdout
        found |= {f"{kind} {line}" for line in text.splitlines() if re.match(r"\d+: ", line)}
    for file in ("uprobe_events", "kprobe_events"):
        path = Path("/sys/kernel/tracing") / file
        found |= set(path.read_text().splitlines()) if path.exists() else set()
    return found


def _slope(points: list[tuple[float, int]]) -> float:
    """KB a second, by least squares."""
    if len(points) < 3:
        return 0
    return statistics.linear_regression([at for at, _ in points], [size for _, size in points]).slope


def _minutes(number: float) -> str:
    return "a minute" if number == 1 else f"{number:g} minutes"


def _progress(running: list[Command], at: float) -> None:
    sizes = ", ".join(f"{command.name} {command.memory[-1][1] / 1000:.1f}" for command in running if command.memory)
    print(f"{at:5.0f} s  {sizes} MB", file=sys.stderr, flush=True)


def _without_name(line: str) -> str:
    return line.partition(": ")[2].strip() or line
