# SPDX-License-Identifier: Apache-2.0
"""What is measured with what: the executable, the peers, how often; and the machine."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.peers import Peers

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = ROOT / "build" / "programs"


@dataclass
class Setup:
    """What each section gets."""

    apus: str
    peers: Peers
    rounds: int

    def version(self) -> str:
        return subprocess.run([self.apus, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def program(name: str, *, folder: str | None = None, static: bool = True) -> str:
    """The path of a C program of this project, compiled when it is out of date: one of `folder`, or one that tests
    trace, too.

    One whose allocator is probed must not be static: the peers look for a library.
    """
    folders = [ROOT / folder] if folder else [ROOT / "Tests/Programs", *ROOT.glob("Tests/Commands/*/*/programs")]
    source = next(path / f"{name}.c" for path in folders if (path / f"{name}.c").exists())
    target = PROGRAMS / name
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        linking = ["-static"] if static else []
        subprocess.run(["cc", "-O2", "-g", "-pthread", *linking, str(source), "-o", str(target)], check=True)
    return str(target)


def machine() -> str:
    """What the figures depend on, without what would tell whose machine it is."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    hypervisor = " (virtual)" if "hypervisor" in Path("/proc/cpuinfo").read_text() else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    kernel = re.match(r"[\d.]+", os.uname().release)
    return (f"{os.cpu_count()} CPUs, {model.group(1).strip() if model else 'of unknown model'}{hypervisor}, "
            f"{memory:.0f} GB, Linux {kernel.group() if kernel else os.uname().release}")
