# SPDX-License-Identifier: Apache-2.0
"""What the tables cost by which stacks are walked."""

import os
import re
import subprocess

from bench import built
from bench.setup import Setup

TITLE = "Unwinding tables"
LINE = re.compile(r"^(\S+) ms: ([\d.]+) bytes/row: ([\d.]+) .*\brows: (\d+)")
SYSTEM = re.compile(r"unwinding: (\d+) rows of (\d+) files in (\d+) KB, made in (\d+) ms")


def measure(setup: Setup) -> dict:
    files = [built.library("libc.so.6"), built.library("libstdc++.so.6"), built.large_executable()]
    done = subprocess.run([built.path("unwind-tables"), *filter(None, files)], capture_output=True, text=True, check=True)
    tables = []
    for line in done.stdout.splitlines():
        path, milliseconds, bytes_a_row, rows = LINE.match(line).groups()
        tables.append({"name": os.path.basename(path), "megabytes": os.stat(path).st_size / 1e6, "ms": float(milliseconds),
                       "bytes_a_row": float(bytes_a_row), "rows": int(rows)})
    said = subprocess.run([setup.apus, "profile", "-v", "-F", "49", "-f", "1"], capture_output=True, text=True, check=True).stderr
    rows, count, kilobytes, milliseconds = map(int, SYSTEM.search(said).groups())
    return {"tables": tables, "system": {"rows": rows, "files": count, "kb": kilobytes, "ms": milliseconds}}


def render(figures: dict) -> list[str]:
    lines = ["| file | MB | rows | ms | bytes a row |", "| --- | ---: | ---: | ---: | ---: |"]
    lines += [f"| {table['name']} | {table['megabytes']:.1f} | {table['rows']:,} | {table['ms']:.1f} | {table['bytes_a_row']:.1f} |"
              for table in figures["tables"]]
    system = figures["system"]
    return lines + [
        "", f"All that ran on the machine when `profile` was started: {system['files']} files, {system['rows']:,} rows, "
        f"{system['kb'] / 1024:.1f} MB in the kernel, made in {system['ms']} ms.",
    ]
