# SPDX-License-Identifier: Apache-2.0
"""The tools to compare with: what is installed, and what `Benchmarks/fetch-peers` got."""

import os
import shutil
import subprocess
from pathlib import Path


class Peers:
    """Finds peers. What is not there is left out of the tables."""

    def __init__(self, folder: str | None):
        """`folder` is that of `Benchmarks/fetch-peers`; without it only what is installed is compared with."""
        self.folder = Path(folder) if folder else None

    def libbpf_tool(self, name: str) -> dict[str, list[str]]:
        """The command of the newest libbpf-tools with this name, by a title; empty if there is none."""
        if self._has_newest(f"sbin/{name}-libbpf"):
            return {f"libbpf-tools {self._version('libbpf-tools')} {name}": [str(self.folder / "enter"), f"{name}-libbpf"]}
        path = shutil.which(name)
        if path is None or "apus" in os.path.realpath(path):
            return {}
        return {f"libbpf-tools {self._version('libbpf-tools')} {name}": [path]}

    def floor(self, title: str, program: str, *words: str) -> dict[str, list[str]]:
        """bpftrace with a program that does nothing: what the hooks themselves cost."""
        if self._has_newest("bin/bpftrace"):
            return {f"floor: {title}": [str(self.folder / "enter"), "bpftrace", *words, "-e", program]}
        path = shutil.which("bpftrace")
        return {f"floor: {title}": [path, *words, "-e", program]} if path else {}

    def perf(self) -> str | None:
        """perf itself; Debian's `perf` may be a script that looks for one of the running kernel's version."""
        return next((path for path in map(shutil.which, ("perf", "perf_6.1")) if path and _runs(path)), None)

    def description(self) -> str:
        """The versions, for the head of the document."""
        versions = {package: self._version(package) for package in ("libbpf-tools", "bpftrace", "linux-perf")}
        return ", ".join(f"{package} {version}" for package, version in versions.items() if version) or "none"

    def _has_newest(self, tool: str) -> bool:
        return self.folder is not None and (self.folder / "sid" / "usr" / tool).exists()

    def _version(self, package: str) -> str:
        """Of the newest, if that is there, else of what is installed."""
        newest = self.folder and _version(package, "--admindir", str(self.folder / "sid" / "var" / "lib" / "dpkg"))
        return newest or _version(package)


def _version(package: str, *options: str) -> str:
    try:
        done = subprocess.run(["dpkg-query", *options, "--show", "--showformat=${Version}", package],
                              capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.split("+")[0].split("-")[0]


def _runs(path: str) -> bool:
    return subprocess.run([path, "--version"], capture_output=True).returncode == 0
