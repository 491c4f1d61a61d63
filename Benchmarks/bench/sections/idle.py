# SPDX-License-Identifier: Apache-2.0
"""What commands cost while nothing happens."""

import re
import subprocess
import time
from pathlib import Path

from bench import bpf, turns
from bench.setup import Setup, program
from bench.tracer import Tracer

TITLE = "Idle"
SECONDS = 10
QUICK = {"SECONDS": 1}
COMMANDS = {
    "opensnoop": ["opensnoop"], "memleak": ["memleak", "-p", turns.PID, "3600"], "runqslower": ["runqslower"],
    "profile -F 99": ["profile", "-F", "99"], "offcputime": ["offcputime"], "runqlat": ["runqlat"],
    "cpudist": ["cpudist"], "execsnoop": ["execsnoop"],
}


def measure(setup: Setup) -> dict:
    target = subprocess.Popen([program("malloc-burst", folder="Benchmarks", static=False), "live", "1", "1"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        return {"seconds": SECONDS, "commands": {
            title: _once([setup.apus, *(str(target.pid) if word == turns.PID else word for word in words)])
            for title, words in COMMANDS.items()}}
    finally:
        target.communicate()


def render(figures: dict) -> list[str]:
    lines = [
        f"{figures['seconds']} seconds of a machine on which nothing was started; percent of one core, and how often a second the "
        "process woke up. BPF programs run for what the machine does by itself.", "",
        "| | process | BPF programs | wake-ups a second |", "| --- | ---: | ---: | ---: |",
    ]
    for title, values in figures["commands"].items():
        lines.append(f"| apus {title} | {values['process']:.3f} % | {values['programs']:.3f} % | {values['wakeups']:.1f} |")
    return lines


def _once(words: list[str]) -> dict[str, float]:
    with bpf.statistics(), Tracer(words) as tracer:
        time.sleep(2)  # until what its own start has caused is over
        process, wakeups, programs = tracer.cpu_ns(), _wakeups(tracer.pid), bpf.run_time(tracer.programs())[0]
        began = time.monotonic()
        time.sleep(SECONDS)
        # The first that is read: reading opens files, which opensnoop sees.
        process = tracer.cpu_ns() - process
        elapsed = time.monotonic() - began
        wakeups = _wakeups(tracer.pid) - wakeups
        programs = bpf.run_time(tracer.programs())[0] - programs
    return {"process": process / elapsed / 1e7, "programs": programs / elapsed / 1e7, "wakeups": wakeups / elapsed}


def _wakeups(pid: int) -> int:
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M).group(1))
