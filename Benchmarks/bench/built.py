# SPDX-License-Identifier: Apache-2.0
"""The programs in Swift that measure parts of apus by themselves; `make bench` builds them."""

import shutil
import subprocess
import sys
from pathlib import Path

from bench.setup import ROOT


def path(name: str) -> str:
    """One of them."""
    found = ROOT / ".build" / "release" / name
    if not found.exists():
        sys.exit(f"Benchmarks/run: {found.relative_to(ROOT)} is missing: run make bench-programs")
    return str(found)


def large_executable() -> str | None:
    """A large executable that is on every machine that builds this: the Swift compiler."""
    swift = shutil.which("swiftc")
    compiler = Path(swift).resolve().parent / "swift-frontend" if swift else None
    return str(compiler) if compiler and compiler.exists() else None


def libraries(count: int) -> list[str]:
    """So many of the system's shared libraries, each once, the largest first."""
    folders = {str(Path(library()).parent)}
    files = {file.resolve() for folder in folders for file in Path(folder).glob("*.so*") if file.is_file()}
    return [str(file) for file in sorted(files, key=lambda file: (-file.stat().st_size, file))[:count]]


def library(name: str = "libc.so.6") -> str:
    """The path of a library that python3 or the C++ compiler loads."""
    done = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    return next(line.split("=> ")[1] for line in done.splitlines() if line.split()[:1] == [name] and "x86-64" in line)
