# SPDX-License-Identifier: Apache-2.0
"""How many stacks of programs as distributions build them reach the root of their thread."""

import importlib.machinery
import importlib.util
import json
import re
import statistics
import subprocess
import tempfile
import time

from bench.setup import ROOT, Setup

TITLE = "Stacks that reach the root"
PROGRAMS = {"python3": "system-python", "bash": "bash", "perl": "perl", "c++ -O2": "c++"}
SECONDS = 3
QUICK = {"SECONDS": 1}
HERTZ = "499"
# Frames from the root on in which a stack may end: where exactly differs from tool to tool.
NEAR_ROOT = 3
PAGE = 4096


def measure(setup: Setup) -> dict:
    figures = {}
    with tempfile.TemporaryDirectory() as room:
        programs = _check_stacks().Zoo(room).programs()
        for title, name in PROGRAMS.items():
            command = programs[name]()
            if command is None:
                continue
            target = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL, cwd=room)
            try:
                time.sleep(0.7)
                figures[title] = _of_one(setup, target.pid, room)
            finally:
                target.kill()
                target.wait()
    return {"programs": figures}


def render(figures: dict) -> list[str]:
    tools = list(dict.fromkeys(tool for values in figures["programs"].values() for tool in values))
    lines = [
        "Percent of samples, and how many user frames most samples have at most (the median).", "",
        "| | " + " | ".join(tools) + " |", "| --- |" + " ---: |" * len(tools),
    ]
    for title, values in figures["programs"].items():
        cells = [f"{values[tool]['root']:.1f} % ({values[tool]['frames']:.0f})" if tool in values else "" for tool in tools]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines + [
        "", "A stack of perf or the peer counts if it ends in one of the three outermost frames, whichever those are. That it "
        "reaches the root does not say that no frame between is missing; `scripts/check-stacks` compares ours with gdb's.",
    ]


def _of_one(setup: Setup, pid: int, room: str) -> dict[str, dict[str, float]]:
    ours, roots, names = _apus(setup, pid)
    found = {"apus profile": ours}
    perf = setup.peers.perf()
    if perf:
        for how in ("fp", "dwarf"):
            result = _perf(perf, how, pid, room, roots)
            if result:
                found[f"perf record --call-graph {how}"] = result
    for title, words in setup.peers.libbpf_tool("profile").items():
        found[title] = _libbpf_tools(words, pid, names)
    return found


def _apus(setup: Setup, pid: int) -> tuple[dict[str, float], set[int], set[str]]:
    """Its figures; and what the frames next to the root are: by place in their page, and by name.

    perf shows offsets in files, ours are addresses as linked: they differ by whole pages.
    """
    done = subprocess.run([setup.apus, "profile", "-F", HERTZ, "-U", "--json", "--no-lines", "--no-inlines",
                           "--max-frames", "500", "-p", str(pid), str(SECONDS)], capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"type":"stack"')]
    counts, lengths, roots, names = 0, [], set(), set()
    for row in rows:
        if not row["frames"]:
            continue  # in the kernel, with no user stack
        lengths += [len(row["frames"])] * row["samples"]
        if row.get("user_stack_end") == "root":
            counts += row["samples"]
            roots |= {frame["module_offset"] % PAGE for frame in row["frames"][-NEAR_ROOT:]}
            names |= {frame["function"] for frame in row["frames"][-NEAR_ROOT:] if frame["function"]}
    return _summary(counts, lengths), roots, names


def _perf(perf: str, how: str, pid: int, room: str, roots: set[int]) -> dict[str, float] | None:
    data = f"{room}/perf.data"
    done = subprocess.run([perf, "record", "-F", "99" if how == "dwarf" else HERTZ, "--call-graph", how, "-p", str(pid), "-o", data,
                           "--", "sleep", str(SECONDS)], capture_output=True)
    if done.returncode != 0:
        return None
    text = subprocess.run([perf, "script", "-i", data, "-F", "ip"], capture_output=True, text=True).stdout
    counts, lengths = 0, []
    for block in text.split("\n\n"):
        addresses = [int(word, 16) for word in re.findall(r"^\s*([0-9a-f]+)", block, re.M)]
        users = [address for address in addresses if address < 1 << 47]
        if users:
            lengths.append(len(users))
            # That of the call, as ours, or of where it returns to.
            counts += users[-1] % PAGE in roots or (users[-1] - 1) % PAGE in roots
    return _summary(counts, lengths)


def _libbpf_tools(words: list[str], pid: int, names: set[str]) -> dict[str, float]:
    text = subprocess.run([*words, "-F", HERTZ, "-U", "-f", "-p", str(pid), str(SECONDS)], capture_output=True, text=True).stdout
    counts, lengths = 0, []
    for line in text.splitlines():
        stack, _, samples = line.rpartition(" ")
        frames = stack.split(";")[1:]
        if not frames or not samples.isdigit():
            continue
        lengths += [len(frames)] * int(samples)
        # Names only: the outermost may be one that the stripped file does not have.
        counts += int(samples) if any(frame.split("@")[0] in names for frame in frames[:2]) else 0
    return _summary(counts, lengths)


def _summary(counts: int, lengths: list[int]) -> dict[str, float]:
    return {"root": 100 * counts / max(len(lengths), 1), "frames": statistics.median(lengths) if lengths else 0,
            "samples": len(lengths)}


def _check_stacks():
    """scripts/check-stacks has the programs."""
    path = str(ROOT / "scripts" / "check-stacks")
    loader = importlib.machinery.SourceFileLoader("check_stacks", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_stacks", loader))
    loader.exec_module(module)
    return module
