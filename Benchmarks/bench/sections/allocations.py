# SPDX-License-Identifier: Apache-2.0
"""What a traced malloc and free cost."""

import subprocess

from bench import turns
from bench.setup import Setup, program
from bench.tracer import Tracer

TITLE = "One malloc and free"
FRAMES = 13
TRACED_PAIRS = 100_000
UNTRACED_PAIRS = 20_000_000
LIBC = "libc.so.6"


def measure(setup: Setup) -> dict:
    def once(words):
        pairs = UNTRACED_PAIRS if words is None else TRACED_PAIRS
        command = [program("malloc-burst", folder="Benchmarks", static=False), "pairs", str(pairs), str(FRAMES)]
        target = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            target.stdout.readline()
            if words is None:
                return _pairs(target)
            with Tracer([str(target.pid) if word == turns.PID else word for word in words]):
                return _pairs(target)
        finally:
            target.communicate()

    memleak = [setup.apus, "memleak", "-p", turns.PID]
    settings: dict[str, list[str] | None] = {
        turns.UNTRACED: None,
        "apus memleak": memleak,
        "apus memleak --unwind fp": [*memleak, "--unwind", "fp"],
        "apus memleak -s 100": [*memleak, "-s", "100"],
        "apus memleak --sample-bytes 512K": [*memleak, "--sample-bytes", "512K"],
        "apus memleak -z 1000000": [*memleak, "-z", "1000000"],
    }
    for title, words in setup.peers.libbpf_tool("memleak").items():
        settings |= {title: [*words, "-p", turns.PID], f"{title} -s 100": [*words, "-p", turns.PID, "-s", "100"]}
    settings |= setup.peers.floor(
        "three empty programs", f"uprobe:{_libc()}:malloc {{ }} uretprobe:{_libc()}:malloc {{ }} uprobe:{_libc()}:free {{ }}",
        "-p", turns.PID)
    return {"rounds": turns.in_turn(setup.rounds, settings, once)}


def render(figures: dict) -> list[str]:
    return [
        f"A thread with {FRAMES + 4} frames on its stack; elapsed time. The peer stores the stack that frame pointers give "
        "(see below), apus all frames.", "", *turns.table("ns", figures["rounds"]),
    ]


def _pairs(target: subprocess.Popen) -> float:
    target.stdin.write("\n")
    target.stdin.flush()
    return float(target.stdout.readline())


def _libc() -> str:
    """The C library that the program is linked with."""
    listed = subprocess.run(["ldd", program("malloc-burst", folder="Benchmarks", static=False)],
                            capture_output=True, text=True, check=True).stdout
    return next(word for word in listed.split() if word.startswith("/") and word.endswith(LIBC))
