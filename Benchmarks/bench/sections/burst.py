# SPDX-License-Identifier: Apache-2.0
"""Whether every open of a burst becomes a row, and whether what does not is said."""

import re
import subprocess

from bench import turns
from bench.setup import Setup, program
from bench.tracer import Tracer, TracerFailed

TITLE = "A burst of opens"
PATH = "/etc/hostname"
BURSTS = ((20_000, 1), (250_000, 4))
ROUNDS = 2
QUICK = {"ROUNDS": 1, "BURSTS": BURSTS[:1]}


def measure(setup: Setup) -> dict:
    runs = []
    for each, threads in BURSTS:
        settings = {
            "apus opensnoop": [setup.apus, "opensnoop"],
            "apus opensnoop --buffer-size 64M": [setup.apus, "opensnoop", "--buffer-size", "64M"],
            "apus opensnoop --buffer-size 64M --json": [setup.apus, "opensnoop", "--buffer-size", "64M", "--json"],
            **setup.peers.libbpf_tool("opensnoop"),
        }
        for title, words in settings.items():
            for _ in range(ROUNDS):
                try:
                    rows, lost = _burst(words, each, threads)
                except TracerFailed:
                    break
                runs.append({"title": title, "threads": threads, "opens": each * threads, "rows": rows, "lost": lost})
    return {"runs": runs}


def render(figures: dict) -> list[str]:
    lines = [
        f"As fast as threads can; the worst of {ROUNDS} runs.", "",
        "| | threads | opens | rows | reported as lost | neither |", "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for run in worst(figures):
        missing = run["opens"] - run["rows"] - run["lost"]
        lines.append(f"| {run['title']} | {run['threads']} | {run['opens']} | {run['rows']} | {run['lost']} | {missing} |")
    return lines


def worst(figures: dict) -> list[dict]:
    """Of each setting the run with fewest rows."""
    found: dict[tuple, dict] = {}
    for run in figures["runs"]:
        key = (run["title"], run["opens"])
        if key not in found or run["rows"] < found[key]["rows"]:
            found[key] = run
    return list(found.values())


def _burst(words: list[str], each: int, threads: int) -> tuple[int, int]:
    with Tracer(words) as tracer:
        subprocess.run([program("open-burst", folder="Benchmarks"), str(each), str(threads), PATH],
                       check=True, capture_output=True)
        text = tracer.end()
    rows = sum(1 for line in text.splitlines() if PATH in line and "open-burst" in line)
    lost = re.findall(r"(\d+) opens lost because", text)
    return rows, int(lost[-1]) if lost else 0
