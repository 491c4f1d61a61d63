# SPDX-License-Identifier: Apache-2.0
"""What a call of a user function costs that is counted or timed."""

import subprocess
import time

from bench import turns
from bench.setup import Setup, program
from bench.tracer import PATIENCE, Tracer, TracerFailed

TITLE = "One call of a user function"
TRACED_CALLS = 50_000
UNTRACED_CALLS = 50_000_000
COUNTED = "apus funccount"
BY_INSTRUCTION = "apus funclatency"
BY_RETURN_PROBE = "apus funclatency --return-probes always"


def measure(setup: Setup) -> dict:
    path = program("function-burst", folder="Benchmarks")

    def once(words):
        command = [path, str(UNTRACED_CALLS if words is None else TRACED_CALLS)]
        target = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            target.stdout.readline()
            if words is None:
                return _call(target)
            with Tracer([str(target.pid) if word == turns.PID else word for word in words]) as tracer:
                _wait_until_counting(tracer)
                return _call(target)
        finally:
            target.communicate()

    settings: dict[str, list[str] | None] = {
        turns.UNTRACED: None,
        COUNTED: [setup.apus, "funccount", "-p", turns.PID, f"{path}:called"],
        BY_INSTRUCTION: [setup.apus, "funclatency", "-p", turns.PID, f"{path}:called"],
        BY_RETURN_PROBE: [setup.apus, "funclatency", "--return-probes", "always", "-p", turns.PID, f"{path}:called"],
    }
    return {"rounds": turns.in_turn(setup.rounds, settings, once)}


def render(figures: dict) -> list[str]:
    ratio = turns.median(figures["rounds"][BY_INSTRUCTION]) / turns.median(figures["rounds"][BY_RETURN_PROBE])
    return [
        "A function that begins with a push; elapsed time. A return instruction changes nothing in the program, but the "
        "kernel steps through it, which takes a second trap: where that is expensive, as in this virtual machine, a call "
        f"costs {ratio:.1f} times what it costs with a return probe, which many programs do not survive.", "",
        *turns.table("ns", figures["rounds"]),
    ]


def _wait_until_counting(tracer: Tracer) -> None:
    """What is reached while probes are put in place does not count, and costs less."""
    deadline = time.monotonic() + PATIENCE
    while "Ctrl-C to end" not in tracer.text():
        if time.monotonic() > deadline:
            raise TracerFailed(tracer.text())
        time.sleep(0.02)
    time.sleep(0.1)


def _call(target: subprocess.Popen) -> float:
    target.stdin.write("\n")
    target.stdin.flush()
    return float(target.stdout.readline())
