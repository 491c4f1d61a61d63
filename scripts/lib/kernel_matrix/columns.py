# SPDX-License-Identifier: Apache-2.0
"""Runs the cases in one column of the matrix: in a virtual machine, or on the running kernel."""

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import bundle, kernels, records
from .cases import NATIVE, Case
from .evaluate import FAILED, SKIPPED, Verdict, judge, refusal_for

BOOT_TRIES = 3
DEATHS_FORGIVEN = 1  # of a guest that had come as far as its cases
BOOT_LIMIT = 90  # seconds on an idle machine; it takes five
MEMORY_MIB = 1024
CPUS = 2
# The processes to end when the run is interrupted.
RUNNING: set[subprocess.Popen] = set()


@dataclass
class Column:
    name: str
    label: str
    series: str = ""  # of the running kernel
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    boot_seconds: float = 0.0
    seconds: float = 0.0
    console: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """What all columns share."""

    cases: dict[str, Case]
    binaries: Path
    guest: bytes  # the part of the initramfs that all guests share
    work: Path
    modules: list[str]
    vm_limit: int
    refresh: bool = False


def accelerator() -> str:
    """KVM where it works. Otherwise one thread for all emulated CPUs: with several, qemu 7.2 lets a CPU run
    into a breakpoint another one is just writing ("Oops: int3" as soon as probes attach)."""
    has_kvm = re.search(r"^flags.*\b(vmx|svm)\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return "kvm" if has_kvm and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg,thread=single"


def slowness() -> float:
    """By how much everything may take longer than on an idle machine: one for each task that wants a CPU."""
    return 1 + os.getloadavg()[0] / (os.cpu_count() or 1)


class Patience:
    """A limit that grows while the machine is busy with other things."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.slowness = 1.0
        self.started = time.monotonic()

    def is_over(self, since: float | None = None, seconds: float | None = None) -> bool:
        self.slowness = max(self.slowness, slowness())
        passed = time.monotonic() - (self.started if since is None else since)
        return passed > (self.seconds if seconds is None else seconds) * self.slowness


def run_guest(series: str, plan: Plan) -> Column:
    kernel = kernels.get(series, plan.refresh)
    column = Column(series, f"{series} ({kernel.release})")
    folder = plan.work / series
    folder.mkdir()
    cases = _cases_for(column, plan.cases)
    patience = Patience(plan.vm_limit)
    stream, outcome = _boot_until_alive(kernel, folder, cases, patience, column, plan)
    for _ in range(DEATHS_FORGIVEN):
        left = {identifier: case for identifier, case in cases.items() if identifier not in stream.records}
        if stream.complete or outcome == "time" or not stream.release or not left:
            break
        where = cases[stream.running].title if stream.running in cases else "no case"
        column.notes.append(
            f"the guest died in '{where}': {_last_words(column.console)}; "
            f"booted again for the {len(left)} cases that were left"
        )
        again, outcome = _boot_until_alive(kernel, folder, left, patience, column, plan)
        stream = again._replace(release=stream.release, records={**stream.records, **again.records})
    column.seconds = time.monotonic() - patience.started
    _judge_guest(column, cases, stream, outcome, plan)
    return column


def _boot_until_alive(
    kernel: kernels.Kernel, folder: Path, cases: dict[str, Case], patience: Patience, column: Column, plan: Plan
) -> tuple[records.Stream, str]:
    """Boots until the first case begins, a few times if need be, and waits for the end of the guest."""
    initramfs = _write_initramfs(folder, kernel, cases, plan)
    stream, outcome = records.Stream(), ""
    for attempt in range(1, BOOT_TRIES + 1):
        outcome = _boot(kernel, initramfs, folder, patience, column)
        stream = records.read_stream((folder / "results").read_text(errors="replace"))
        column.console = (folder / "console").read_text(errors="replace")
        if stream.release or outcome == "time":
            break
        shutil.copy(folder / "console", folder / f"console.boot-{attempt}")
        last = _last_words(column.console)
        column.notes.append(f"boot {attempt} of {BOOT_TRIES}: the guest died before the first case: {last}")
    initramfs.unlink()
    return stream, outcome


def _write_initramfs(folder: Path, kernel: kernels.Kernel, cases: dict[str, Case], plan: Plan) -> Path:
    root = folder / "root"
    for made in (root, folder / "depmod"):
        shutil.rmtree(made, ignore_errors=True)
    bundle.write_matrix(root / "matrix", cases, slowness())
    bundle.write_modules(root / "modules", folder / "depmod", kernel.modules, plan.modules)
    initramfs = folder / "initramfs"
    # The kernel unpacks one archive after the other.
    initramfs.write_bytes(plan.guest + bundle.archive(root))
    return initramfs


def _boot(kernel: kernels.Kernel, initramfs: Path, folder: Path, patience: Patience, column: Column) -> str:
    """Runs a guest to its end. Returns "", or which time ran out: "time" or "boot"."""
    accel = accelerator()
    # Five-level page tables only make emulation slower.
    cpu = "max,la57=off" if accel.startswith("tcg") else "max"
    results = folder / "results"
    results.write_bytes(b"")
    command = [
        os.environ.get("QEMU", "qemu-system-x86_64"), "-accel", accel, "-cpu", cpu,
        "-smp", str(CPUS), "-m", str(MEMORY_MIB), "-nodefaults", "-no-user-config", "-no-reboot",
        "-display", "none", "-monitor", "none", "-kernel", str(kernel.image), "-initrd", str(initramfs),
        "-serial", f"file:{folder / 'console'}", "-serial", f"file:{results}",
        "-append", "console=ttyS0 panic=-1 oops=panic quiet mitigations=off",
    ]  # fmt: skip
    (folder / "console").write_bytes(b"")
    started = time.monotonic()
    with open(folder / "qemu", "wb") as output:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        except FileNotFoundError:
            raise kernels.HarnessError(f"{command[0]} is not installed (qemu-system-x86)") from None
    RUNNING.add(process)
    try:
        column.boot_seconds = 0.0
        while process.poll() is None:
            now = time.monotonic() - started
            if not column.boot_seconds and results.stat().st_size:
                column.boot_seconds = now
            if patience.is_over():
                return "time"
            if not column.boot_seconds and patience.is_over(started, BOOT_LIMIT):
                return "boot"
            time.sleep(0.1)
        if problem := (folder / "qemu").read_text(errors="replace").strip():
            column.notes.append(f"qemu: {problem.splitlines()[-1]}")
        return ""
    finally:
        process.kill()
        process.wait()
        RUNNING.discard(process)


def _judge_guest(column: Column, cases: dict[str, Case], stream: records.Stream, outcome: str, plan: Plan) -> None:
    for identifier, case in cases.items():
        if files := stream.records.get(identifier):
            record = records.to_record(files, case, f"/tmp/t/{identifier}", native=False)
            column.verdicts[identifier] = judge(case, record, column.name)
        else:
            column.verdicts[identifier] = Verdict(FAILED, _why_missing(identifier, stream, outcome, column, plan))


def _why_missing(identifier: str, stream: records.Stream, outcome: str, column: Column, plan: Plan) -> str:
    end = "the runner stopped" if stream.complete else "the guest died"
    if outcome == "time":
        end = f"the machine ran past {plan.vm_limit} s"
    if not stream.release:
        return f"not run, and not the fault of Apus: {end} before the first case"
    if identifier in stream.records:
        return "its record was damaged on its way to the host"
    if identifier == stream.running:
        return f"{end} during this case: {_last_words(column.console)}"
    return f"not run: {end} in another case"


def _last_words(console: str) -> str:
    found = re.search(r"^.*(Kernel panic|BUG:|Oops|not enough memory).*$", console, re.MULTILINE)
    return found[0].strip() if found else (console.strip().splitlines() or ["the console is empty"])[-1]


def run_native(plan: Plan) -> Column:
    release = os.uname().release
    series = ".".join(re.findall(r"\d+", release)[:2])
    column = Column(NATIVE, f"this machine ({release})", series)
    cases = _cases_for(column, plan.cases)
    if os.geteuid() != 0:
        _skip(column, cases, "the running kernel needs root")
        return column
    cases = _without_missing_modules(column, cases, plan.modules)
    started = time.monotonic()
    # Where a traced program's files are is part of what is asserted: a short path of this run alone.
    scratch = plan.work / "t"
    (plan.work / NATIVE).mkdir()
    slow = slowness()
    bundle.write_matrix(plan.work / "matrix", cases, slow)
    _run_here(plan, scratch, slow * sum(case.limit for case in cases.values()) + 60)
    column.seconds = time.monotonic() - started
    found = records.read_folder(plan.work / NATIVE)
    for identifier, case in cases.items():
        files = found.get(identifier)
        if files:
            record = records.to_record(files, case, f"{scratch}/{identifier}", native=True)
            column.verdicts[identifier] = judge(case, record, NATIVE, series)
        else:
            column.verdicts[identifier] = Verdict(FAILED, "not run: the runner did not come this far")
    return column


def _run_here(plan: Plan, scratch: Path, limit: float) -> None:
    # The same programs and the same few variables as in a guest.
    environment = {
        "PATH": f"{plan.binaries}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(plan.work), "LC_ALL": "C", "TERM": "dumb", "TZ": "UTC0",
    }  # fmt: skip
    matrix = plan.work / "matrix"
    command = [f"{plan.binaries}/sh", f"{matrix}/run-cases", str(matrix), str(plan.work / NATIVE), str(scratch)]
    with open(plan.work / "native.log", "wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    RUNNING.add(process)
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        RUNNING.discard(process)


def _cases_for(column: Column, cases: dict[str, Case]) -> dict[str, Case]:
    """The cases that are not to be skipped here."""
    kept = {}
    for identifier, case in cases.items():
        if skip := refusal_for(case.skips, (column.name, column.series)):
            column.verdicts[identifier] = Verdict(SKIPPED, skip.sentence)
        else:
            kept[identifier] = case
    return kept


def _without_missing_modules(column: Column, cases: dict[str, Case], modules: list[str]) -> dict[str, Case]:
    """Loads the modules the cases need; cases whose module this kernel does not have are skipped."""
    missing = [name for name in modules if not _module_is_there(name)]
    lacking = {identifier: case for identifier, case in cases.items() if set(case.modules) & set(missing)}
    _skip(column, lacking, f"this kernel has no module {', '.join(missing)}")
    return {identifier: case for identifier, case in cases.items() if identifier not in lacking}


def _module_is_there(name: str) -> bool:
    if Path("/sys/module", name).exists():
        return True
    modprobe = shutil.which("modprobe", path="/usr/sbin:/sbin:/usr/bin:/bin")
    return modprobe is not None and subprocess.run([modprobe, "-q", name]).returncode == 0


def _skip(column: Column, cases: dict[str, Case], why: str) -> None:
    for identifier in cases:
        column.verdicts[identifier] = Verdict(SKIPPED, why)
