# SPDX-License-Identifier: Apache-2.0
"""docs/benchmarks.md, made of what the sections have measured."""

import json
import os
from pathlib import Path

from bench import asked, soak
from bench.sections import ALL
from bench.setup import ROOT

# The soak test has a command of its own.
PARTS = {**ALL, "soak": soak}
RESULTS = ROOT / "Benchmarks" / "results"


def write(results: Path, target: Path) -> None:
    """Writes the document from the results that are there; sections that were never measured are missing from it."""
    known = {name: json.loads((results / f"{name}.json").read_text())
             for name in PARTS if (results / f"{name}.json").exists()}
    if not known:
        return
    lines = [
        "# What tracing costs", "",
        "Written by `Benchmarks/run` (`make bench`), from the figures in `Benchmarks/results`. `Benchmarks/fetch-peers` gets what "
        "is compared with. Everything in a table was measured in one run, in turn (A B C A B C), and medians are given. Compare "
        "ratios, not nanoseconds: in a virtual machine traps and interrupts cost several times what they cost elsewhere.", "",
        *_circumstances(known),
        "## What was asked, and what was measured", "", *asked.render({name: result["figures"] for name, result in known.items()}),
    ]
    for name, result in known.items():
        lines += [f"## {PARTS[name].TITLE}", "", *PARTS[name].render(result["figures"]), ""]
    temporary = target.with_suffix(".new")
    temporary.write_text("\n".join(lines).rstrip("\n") + "\n")
    os.replace(temporary, target)


def _circumstances(known: dict[str, dict]) -> list[str]:
    """Machine, versions and days; one line for each that sections do not share."""
    groups: dict[str, list[str]] = {}
    for name, result in known.items():
        text = f"{result['date']}, {result['machine']}. Apus {result['apus']}"
        text += f"; peers: {result['peers']}. {result['rounds']} rounds where nothing else is said." if "rounds" in result else "."
        groups.setdefault(text, []).append(PARTS[name].TITLE)
    if len(groups) == 1:
        return [next(iter(groups)), ""]
    return [line for text, titles in groups.items() for line in (f"- {'; '.join(titles)}: {text}",)] + [""]
