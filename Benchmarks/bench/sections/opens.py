# SPDX-License-Identifier: Apache-2.0
"""What one traced open costs the thread that makes it."""

import subprocess

from bench import turns
from bench.setup import Setup, program
from bench.tracer import Tracer

TITLE = "One open and close"
OPENS = 20_000


def measure(setup: Setup) -> dict:
    command = [program("open-burst", folder="Benchmarks"), str(OPENS), "1", "/etc/hostname"]

    def once(words):
        if words is None:
            return _run(command)
        with Tracer(words):
            return _run(command)

    settings = {
        turns.UNTRACED: None,
        "apus opensnoop": [setup.apus, "opensnoop"],
        "apus opensnoop -F": [setup.apus, "opensnoop", "-F"],
        "apus opensnoop --json": [setup.apus, "opensnoop", "--json"],
        **setup.peers.libbpf_tool("opensnoop"),
        **setup.peers.floor("an empty program on the hook of apus (all system calls)", "rawtracepoint:sys_exit { }"),
        **setup.peers.floor(
            "empty programs on the hooks of the peer",
            "tracepoint:syscalls:sys_enter_openat { } tracepoint:syscalls:sys_exit_openat { }"),
    }
    return {"rounds": turns.in_turn(setup.rounds, settings, once)}


def render(figures: dict) -> list[str]:
    return [
        f"`open` and `close` of one file, {OPENS} times as fast as a thread can; its CPU time. Rows go to a file.", "",
        *turns.table("ns", figures["rounds"]),
    ]


def _run(command: list[str]) -> float:
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
