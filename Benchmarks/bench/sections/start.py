# SPDX-License-Identifier: Apache-2.0
"""From the start of a command to its first row, and what it needs to be there."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

from bench import turns
from bench.setup import Setup, program
from bench.tracer import Tracer, TracerFailed

TITLE = "Start, memory, size"
# What a row of a stream has in it: a time of day or a number, at its beginning.
ROW = re.compile(rb"^\s*\d", re.M)
PATIENCE = 15
# Something to show: an open and a switch each millisecond, and no new process.
NOISE = "import time\nwhile True: open('/etc/hostname').close(); time.sleep(0.001)"


def measure(setup: Setup) -> dict:
    noise = subprocess.Popen([sys.executable, "-c", NOISE])
    idle = subprocess.Popen([program("malloc-burst", folder="Benchmarks", static=False), "live", "1", "1"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        settings = _settings(setup, str(idle.pid))
        figures = {title: {"attached_ms": [], "memory_mb": [], "cpu_ms": [], "row_ms": []} for title in settings}
        for _ in range(setup.rounds):
            for title, (words, kind) in settings.items():
                _once(figures[title], words, kind)
    finally:
        noise.kill()
        noise.wait()
        idle.communicate()
    probes = [_seconds([setup.apus, "probes", "tracepoint:sched:*"]) * 1000 for _ in range(setup.rounds)]
    return {
        "commands": {title: values for title, values in figures.items() if values["attached_ms"]},
        "size_bytes": os.stat(setup.apus).st_size,
        "probes_ms": probes,
        "all_probes_ms": [_seconds([setup.apus, "probes"]) * 1000 for _ in range(setup.rounds)],
    }


def render(figures: dict) -> list[str]:
    lines = [
        f"The executable has {figures['size_bytes'] / 1e6:.1f} MB, and needs nothing else. `apus probes` with a pattern takes "
        f"{turns.median(figures['probes_ms']):.0f} ms, without one {turns.median(figures['all_probes_ms']):.0f} ms.", "",
        "| | attached after, ms | first row after, ms | CPU for a run of one second, ms | most memory, MB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for title, values in figures["commands"].items():
        cells = [f"{turns.median(values[key]):.0f}" if values[key] else "" for key in ("attached_ms", "row_ms", "cpu_ms")]
        lines.append(f"| {title} | {' | '.join(cells)} | {max(values['memory_mb']):.1f} |")
    return lines + [
        "", "Commands that print at the end are run for one second; their first row is how much later than that it comes. "
        "Output goes to a terminal, for the peers keep it back from a pipe.",
    ]


def _settings(setup: Setup, idle: str) -> dict[str, tuple[list[str], str]]:
    """By title: the words, and whether rows come as they happen or when a second is over."""
    found = {
        "apus opensnoop": ([setup.apus, "opensnoop"], "stream"),
        "apus runqslower 0": ([setup.apus, "runqslower", "0"], "stream"),
        "apus profile": ([setup.apus, "profile", "-F", "99", "1"], "report"),
        "apus offcputime": ([setup.apus, "offcputime", "1"], "report"),
        "apus memleak": ([setup.apus, "memleak", "-p", idle, "1", "1"], "report"),
        "apus runqlat": ([setup.apus, "runqlat", "1", "1"], "report"),
        "apus cpudist": ([setup.apus, "cpudist", "1", "1"], "report"),
    }
    options = {
        "opensnoop": ([], "stream"), "runqslower": (["1"], "stream"), "profile": (["-F", "99", "1"], "report"),
        "offcputime": (["1"], "report"), "memleak": (["-p", idle, "1", "1"], "report"),
        "runqlat": (["1", "1"], "report"), "cpudist": (["1", "1"], "report"),
    }
    for name, (more, kind) in options.items():
        found |= {title: ([*words, *more], kind) for title, words in setup.peers.libbpf_tool(name).items()}
    return found


def _once(values: dict[str, list[float]], words: list[str], kind: str) -> None:
    try:
        with Tracer(words) as tracer:
            time.sleep(max(0, 0.9 - (time.monotonic() - tracer.began)))
            if kind == "report":
                tracer.wait(PATIENCE)
            tracer.end()
    except TracerFailed:
        return
    values["attached_ms"].append(tracer.attached_ms)
    values["memory_mb"].append(tracer.memory_kb / 1000)
    values["cpu_ms"].append(tracer.cpu_seconds * 1000)
    row = _first_row(words, kind)
    if row is not None:
        values["row_ms"].append(row)


def _first_row(words: list[str], kind: str) -> float | None:
    """Milliseconds from the start to the first row, less the second that a report is about."""
    ours, theirs = pty.openpty()
    began = time.monotonic()
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    seen = b""
    result = None
    try:
        while result is None and time.monotonic() - began < PATIENCE:
            if not select.select([ours], [], [], 0.2)[0]:
                continue
            try:
                seen += os.read(ours, 1 << 16)
            except OSError:
                break  # the other end is closed
            elapsed = time.monotonic() - began
            if kind == "stream" and ROW.search(seen):
                result = elapsed * 1000
            elif kind == "report" and elapsed > 0.95 and seen.strip():
                result = (elapsed - 1) * 1000
    finally:
        process.send_signal(signal.SIGINT)
        os.close(ours)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return result


def _seconds(words: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.monotonic() - began
