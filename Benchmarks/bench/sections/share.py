# SPDX-License-Identifier: Apache-2.0
"""How much of a core profile takes."""

import os
import subprocess
import time

from bench import bpf
from bench.setup import Setup
from bench.tracer import Tracer, TracerFailed

TITLE = "A system-wide profile"
SECONDS = 30
HERTZ = (99, 999)
QUICK = {"SECONDS": 2}
# Frames of some depth, in a stock program without frame pointers.
LOAD = """
def down(n): return sum(i * i for i in range(300)) if n == 0 else down(n - 1)
while True: down(10)
"""


def measure(setup: Setup) -> dict:
    load = [subprocess.Popen(["python3", "-c", LOAD]) for _ in range(os.cpu_count())]
    runs = []
    try:
        for hertz in HERTZ:
            settings = {"apus profile": [setup.apus, "profile"], **setup.peers.libbpf_tool("profile")}
            for title, words in settings.items():
                try:
                    runs.append({"title": f"{title} -F {hertz}", "hertz": hertz, **_once([*words, "-F", str(hertz)])})
                except TracerFailed:
                    continue
    finally:
        for process in load:
            process.kill()
            process.wait()
    return {"seconds": SECONDS, "cpus": os.cpu_count(), "runs": runs}


def render(figures: dict) -> list[str]:
    lines = [
        f"{figures['cpus']} CPUs, each busy with a python3, for {figures['seconds']} seconds. The time of its process while it "
        "samples, and what the kernel counts for its BPF programs; percent of one core.", "",
        "| | together | process | BPF programs | then, to end and report, ms of CPU |", "| --- | ---: | ---: | ---: | ---: |",
    ]
    for run in figures["runs"]:
        lines.append(f"| {run['title']} | {total(run):.2f} % | {run['process']:.2f} % | {run['programs']:.2f} % "
                     f"| {run['report_ms']:.0f} |")
    return lines


def total(run: dict) -> float:
    """Percent of one core, while it samples."""
    return run["process"] + run["programs"]


def _once(words: list[str]) -> dict[str, float]:
    with bpf.statistics(), Tracer(words) as tracer:
        time.sleep(1)
        began, process, programs = time.monotonic(), tracer.cpu_ns(), bpf.run_time(tracer.programs())[0]
        time.sleep(SECONDS)
        # Asking takes time itself: the clock is read last.
        process = tracer.cpu_ns() - process
        programs = bpf.run_time(tracer.programs())[0] - programs
        elapsed = (time.monotonic() - began) * 1e9
        used = tracer.cpu_ns()
        tracer.end()
        report = tracer.cpu_seconds * 1e3 - used / 1e6
    return {"process": 100 * process / elapsed, "programs": 100 * programs / elapsed, "report_ms": report}
