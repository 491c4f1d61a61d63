# SPDX-License-Identifier: Apache-2.0
"""Measuring several settings in turn, and tables of the medians.

On a machine whose speed changes from minute to minute only ratios mean anything, and only of what was measured
at the same time: so A B C A B C, and medians.
"""

import statistics
import sys
from typing import Callable

from bench.tracer import TracerFailed

UNTRACED = "untraced"
# Put in place of the PID of the process that is measured.
PID = "PID"


def in_turn(
    rounds: int, settings: dict[str, list[str] | None], once: Callable[[list[str] | None], float]
) -> dict[str, list[float]]:
    """The figures of each setting; `once` measures one, given the words of its tracer.

    A setting that cannot be measured is left out, and said.
    """
    figures: dict[str, list[float]] = {name: [] for name in settings}
    broken = set()
    for _ in range(rounds):
        for name, words in settings.items():
            if name in broken:
                continue
            try:
                figures[name].append(once(words))
            except TracerFailed as failure:
                print(f"left out: {name}: {failure}", file=sys.stderr)
                broken.add(name)
    return {name: values for name, values in figures.items() if name not in broken}


def median(values: list[float]) -> float:
    return statistics.median(values)


def spread(values: list[float]) -> str:
    """How far the figures of one setting lie apart."""
    return f"{min(values):.0f} to {max(values):.0f}"


def table(unit: str, figures: dict[str, list[float]], base: str = UNTRACED) -> list[str]:
    """Ratios to `base` first, then the medians and what they add to it."""
    least = median(figures[base])
    lines = [f"| | times {base} | {unit} | added | all rounds |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, values in figures.items():
        middle = median(values)
        lines.append(f"| {name} | {middle / least:.2f} | {middle:.0f} | {middle - least:+.0f} | {spread(values)} |")
    return lines


def find(figures: dict, *parts: str):
    """The value whose key has all these parts; None if there is none."""
    return next((value for key, value in figures.items() if all(part in key for part in parts)), None)


def ratio(figures: dict[str, list[float]], one: tuple[str, ...], other: tuple[str, ...], added: bool = False) -> float | None:
    """The medians of two settings, each found by parts of its name, as a ratio; with `added`, of what they add."""
    first, second = find(figures, *one), find(figures, *other)
    if not first or not second:
        return None
    least = median(figures[UNTRACED]) if added else 0
    return (median(first) - least) / (median(second) - least)
