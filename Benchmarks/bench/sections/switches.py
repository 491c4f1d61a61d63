# SPDX-License-Identifier: Apache-2.0
"""What a traced context switch costs."""

import os
import subprocess

from bench import turns
from bench.setup import Setup, program
from bench.tracer import Tracer

TITLE = "One context switch"
ROUNDS_OF_A_BYTE = 60_000


def measure(setup: Setup) -> dict:
    command = [program("ping-pong"), str(ROUNDS_OF_A_BYTE), str(os.cpu_count() - 1)]

    def once(words):
        if words is None:
            return _run(command)
        with Tracer(words):
            return _run(command)

    settings: dict[str, list[str] | None] = {
        turns.UNTRACED: None,
        "apus runqslower": [setup.apus, "runqslower"],
        "apus runqslower --who": [setup.apus, "runqslower", "--who"],
        "apus runqlat": [setup.apus, "runqlat"],
        "apus cpudist": [setup.apus, "cpudist"],
        "apus offcputime": [setup.apus, "offcputime"],
        "apus offcputime --unwind fp": [setup.apus, "offcputime", "--unwind", "fp"],
        "apus profile -F 99": [setup.apus, "profile", "-F", "99"],
    }
    for name in ("runqslower", "runqlat", "cpudist", "offcputime"):
        settings |= setup.peers.libbpf_tool(name)
    settings |= setup.peers.floor("an empty program on sched_switch", "rawtracepoint:sched_switch { }")
    settings |= setup.peers.floor(
        "empty programs on sched_switch and sched_waking",
        "rawtracepoint:sched_switch { } rawtracepoint:sched_waking { }")
    return {"rounds": turns.in_turn(setup.rounds, settings, once)}


def render(figures: dict) -> list[str]:
    return [
        "Two threads on one CPU that pass a byte through pipes, which is a wake-up and a switch each time; elapsed time. "
        "The stacks of libbpf-tools' offcputime are those of frame pointers: short, on programs as distributions build them.",
        "", *turns.table("ns", figures["rounds"]),
    ]


def _run(command: list[str]) -> float:
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
