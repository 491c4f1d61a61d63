# SPDX-License-Identifier: Apache-2.0
"""What the stack of one sample costs, by the kernel's own account of profile's program."""

import subprocess
import time

from bench import bpf, turns
from bench.setup import Setup, program
from bench.tracer import Tracer

TITLE = "One stack"
SECONDS = 2
# Calls of `descend`; with the five functions around them 17 and 37 frames.
DEPTHS = {17: 12, 37: 32}
HERTZ = "999"


def measure(setup: Setup) -> dict:
    figures = {}
    for frames, depth in DEPTHS.items():
        figures[str(frames)] = turns.in_turn(setup.rounds, _settings(setup), lambda words: _once(words, depth))
    return {"depths": figures, "frames": {str(frames): _frames(setup, depth) for frames, depth in DEPTHS.items()}}


def render(figures: dict) -> list[str]:
    lines = [
        f"`profile -F {HERTZ}` of a program without frame pointers that burns CPU at a known depth: nanoseconds that the kernel "
        "counts for one run of the program that samples. Two settings take no user stack: -K, and an empty program.", "",
        "| | " + " | ".join(f"{frames} frames, ns | over an empty program" for frames in figures["depths"]) + " |",
        "| --- |" + " ---: |" * 2 * len(figures["depths"]),
    ]
    for title in next(iter(figures["depths"].values())):
        cells = []
        for values in figures["depths"].values():
            floor = turns.find(values, "floor")
            middle = turns.median(values[title]) if title in values else 0
            cells += [f"{middle:.0f}", f"{middle - turns.median(floor):+.0f}" if floor else ""]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    seen = ", ".join(f"{given} instead of {frames}" for frames, given in figures["frames"].items() if str(given) != frames)
    return lines + ([f"", f"Frames that `--unwind auto` really found: {seen}."] if seen else [])


def _settings(setup: Setup) -> dict[str, list[str] | None]:
    base = [setup.apus, "profile", "-F", HERTZ, "-p", turns.PID]
    found: dict[str, list[str] | None] = {
        "apus profile": base,
        "apus profile --unwind fp": [*base, "--unwind", "fp"],
        "apus profile -K": [*base, "-K"],
    }
    for title, words in setup.peers.libbpf_tool("profile").items():
        found |= {title: [*words, "-F", HERTZ, "-p", turns.PID]}
    return found | setup.peers.floor("an empty program", f"profile:hz:{HERTZ} {{ }}")


def _once(words: list[str], depth: int) -> float:
    target = subprocess.Popen([program("deep"), "burn", str(depth), str(60_000)])
    try:
        with bpf.statistics(), Tracer([str(target.pid) if word == turns.PID else word for word in words]) as tracer:
            before = bpf.run_time(tracer.programs(), bpf.PERF_EVENT)
            time.sleep(SECONDS)
            after = bpf.run_time(tracer.programs(), bpf.PERF_EVENT)
    finally:
        target.kill()
        target.wait()
    return (after[0] - before[0]) / max(after[1] - before[1], 1)


def _frames(setup: Setup, depth: int) -> int:
    """How many frames most samples have."""
    done = subprocess.run([setup.apus, "profile", "-F", HERTZ, "-U", "-f", "--no-lines", "--no-inlines", "--",
                           program("deep"), "burn", str(depth), "1000"], capture_output=True, text=True)
    stacks = [line.rpartition(" ") for line in done.stdout.splitlines()]
    most = max(stacks, key=lambda parts: int(parts[2]), default=("", "", ""))
    return most[0].count(";")
