# SPDX-License-Identifier: Apache-2.0
"""How fast addresses get names."""

import json
import os
import subprocess
import sys
from pathlib import Path

from bench import built
from bench.setup import Setup
from bench.turns import median

TITLE = "Names of addresses"
LIBRARIES = 300
ADDRESSES = 1_000_000
ROUNDS = 3
QUICK = {"ROUNDS": 1, "LIBRARIES": 30, "ADDRESSES": 10_000}
MAPPER = Path(__file__).resolve().parent.parent / "map_code.py"


def measure(setup: Setup) -> dict:
    many = [_once(built.libraries(LIBRARIES), [str(ADDRESSES)]) for _ in range(ROUNDS)]
    large = built.large_executable()
    one = [_once([large], ["1", "1"]) for _ in range(ROUNDS)] if large else []
    return {"many": many, "one": one, "one_bytes": os.stat(large).st_size if large else 0}


def render(figures: dict) -> list[str]:
    many = figures["many"]
    lines = [
        "| | ms |", "| --- | ---: |",
        f"| {many[0]['addresses']:,} different addresses in the code of {many[0]['files']} libraries, {many[0]['symbols']:,} "
        f"symbols, none of them read before | {_of(many, 'first_ms'):.0f} |",
        f"| the same again | {_of(many, 'again_ms'):.0f} |",
    ]
    if figures["one"]:
        one = figures["one"]
        lines.append(f"| the first address in an executable of {figures['one_bytes'] / 1e6:.0f} MB, {one[0]['symbols']:,} symbols "
                     f"(the Swift compiler) | {_of(one, 'first_ms'):.0f} |")
    named = 100 * many[0]["named"] / many[0]["addresses"]
    return lines + [
        "", f"Functions only, no lines; the system's files are as it installs them, and {named:.0f} % of the addresses have a name. "
        f"{max(run['bytes'] for run in many) / 1e6:.0f} MB are held then.",
    ]


def _of(runs: list[dict], key: str) -> float:
    return median([run[key] for run in runs])


def _once(files: list[str], arguments: list[str]) -> dict:
    target = subprocess.Popen([sys.executable, str(MAPPER), *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        target.stdout.readline()
        done = subprocess.run([built.path("name-addresses"), str(target.pid), *arguments], capture_output=True, text=True,
                              check=True)
        return json.loads(done.stdout)
    finally:
        target.communicate()
