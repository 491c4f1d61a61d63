# SPDX-License-Identifier: Apache-2.0
"""How long memleak takes to tell of very much, and what remembering it needs."""

import subprocess
import tempfile
import time

from bench.setup import Setup, program
from bench.tracer import Tracer, TracerFailed
from bench.turns import median

TITLE = "A million blocks, a hundred thousand stacks"
ROOM = ["--stack-storage-size", "262144"]
# Title, what malloc-burst does, and options. The last one goes for nothing: what it takes to end.
CASES = (
    ("1,000,000 live blocks", ["live", "1000000", "13"], []),
    ("100,000 stacks, the ten largest shown", ["stacks", "100000"], ROOM),
    ("100,000 stacks, --pprof", ["stacks", "100000"], [*ROOM, "--pprof", "/dev/null"]),
    ("100,000 stacks, --flamegraph", ["stacks", "100000"], [*ROOM, "--flamegraph", "SVG"]),
    ("nothing", ["live", "1", "1"], []),
)
ROUNDS = 3
QUICK = {"ROUNDS": 1}


def measure(setup: Setup) -> dict:
    cases = {}
    for title, work, options in CASES:
        values = {"end_ms": [], "memory_mb": [], "maps_mb": []}
        for _ in range(ROUNDS):
            with tempfile.NamedTemporaryFile(suffix=".svg") as picture:
                _once(values, setup, work, [picture.name if word == "SVG" else word for word in options])
        cases[title] = values
    return {"cases": cases}


def render(figures: dict) -> list[str]:
    lines = [
        "From Ctrl-C to the end of memleak: the last report, with names, and the removal of all probes.", "",
        "| | ms | memory, MB | of it in the kernel |", "| --- | ---: | ---: | ---: |",
    ]
    for title, values in figures["cases"].items():
        both = [a + b for a, b in zip(values["memory_mb"], values["maps_mb"])]
        lines.append(f"| {title} | {median(values['end_ms']):.0f} | {max(both):.0f} | {max(values['maps_mb']):.0f} |")
    return lines


def _once(values: dict[str, list[float]], setup: Setup, work: list[str], options: list[str]) -> None:
    target = subprocess.Popen([program("malloc-burst", folder="Benchmarks", static=False), *work],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        target.stdout.readline()
        # All in one report at the end.
        with Tracer([setup.apus, "memleak", "-p", str(target.pid), "-o", "0", *options, "3600"]) as tracer:
            target.stdin.write("\n")
            target.stdin.flush()
            target.stdout.readline()
            maps = tracer.map_bytes()
            began = time.monotonic()
            tracer.end()
            values["end_ms"].append((time.monotonic() - began) * 1000)
    except TracerFailed:
        return
    finally:
        target.communicate()
    values["memory_mb"].append(tracer.memory_kb / 1000)
    values["maps_mb"].append(maps / 1e6)
