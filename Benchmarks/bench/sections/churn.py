# SPDX-License-Identifier: Apache-2.0
"""Whether commands still see everything on a machine where threads and processes come and go."""

import subprocess

from bench.setup import Setup, program
from bench.tracer import Tracer, TracerFailed

TITLE = "Many short lives"
THREADS = 200_000
PROCESSES = 5_000
SECONDS = "5"
LOOP = f"i=0; while [ $i -lt {PROCESSES} ]; do /bin/true; i=$((i+1)); done"
QUICK = {"THREADS": 5_000, "SECONDS": "1"}


def measure(setup: Setup) -> dict:
    waits, started = {}, {}
    for title, words in ({"apus runqslower": [setup.apus, "runqslower", "1000"]}
                         | {title: [*words, "1000"] for title, words in setup.peers.libbpf_tool("runqslower").items()}).items():
        # A new one each time, so that what was printed can be told apart; the second has seen the threads.
        waits[title] = {"fresh": _waits(words, 0), "after": _waits(words, THREADS)}
    for title, words in ({"apus execsnoop": [setup.apus, "execsnoop"]} | setup.peers.libbpf_tool("execsnoop")).items():
        started[title] = _started(words)
    return {"waits": waits, "started": started}


def render(figures: dict) -> list[str]:
    lines = [
        f"A thread that is late about 50 times a second, traced for {SECONDS} seconds by a tracer that has just been started, and by "
        f"one before which {THREADS:,} threads were started and ended.", "",
        "| | waits reported | after the threads | share |", "| --- | ---: | ---: | ---: |",
    ]
    for title, counts in figures["waits"].items():
        lines.append(f"| {title} | {counts['fresh']} | {counts['after']} | {100 * share(counts):.0f} % |")
    lines += ["", f"A shell that starts {PROCESSES:,} commands, one after the other.", "", "| | rows |", "| --- | ---: |"]
    return lines + [f"| {title} | {rows:,} |" for title, rows in figures["started"].items()]


def share(counts: dict[str, int]) -> float:
    """Of the waits that a fresh tracer reports, those that are still reported."""
    return counts["after"] / max(counts["fresh"], 1)


def _waits(words: list[str], threads: int) -> int:
    try:
        with Tracer(words) as tracer:
            if threads:
                subprocess.run([program("short-threads"), str(threads)], check=True)
            subprocess.run([program("late"), SECONDS], check=True, capture_output=True)
            return tracer.end().count("fusion_thread")
    except TracerFailed:
        return 0


def _started(words: list[str]) -> int:
    try:
        with Tracer(words) as tracer:
            subprocess.run(["sh", "-c", LOOP], check=True)
            return sum(1 for line in tracer.end().splitlines() if line.split()[:1] == ["true"])
    except TracerFailed:
        return 0
