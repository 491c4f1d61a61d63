# SPDX-License-Identifier: Apache-2.0
"""scripts/test-on-kernels: collects the cases, runs the columns, says what came out."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from . import bundle, cases, columns, kernels, report
from .cases import Case, CaseError, CaseFile
from .columns import Column, Plan
from .evaluate import FAILED, PASSED, REFUSED, SKIPPED
from .kernels import HarnessError

REPOSITORY = Path(__file__).resolve().parents[3]
CASE_FILES = REPOSITORY / "Tests" / "Commands"
README = REPOSITORY / "README.md"
# Cases of the executable itself rather than of one of its commands.
GENERAL = "apus"


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="test-on-kernels",
        description="Runs the cases in Tests/Commands with the static apus on the kernels Apus supports, "
        "in virtual machines, and on the running kernel (as root).",
        epilog="The format of the cases: scripts/lib/kernel_matrix/cases.py. Kernels are kept in "
        "APUS_KERNEL_CACHE (default ~/.cache/apus-kernels); APUS names another executable.",
    )
    add = parser.add_argument
    add("-k", "--kernel", action="append", choices=kernels.SERIES, help="only this kernel (repeatable)")
    add("-c", "--command", action="append", help="only the cases of this command (repeatable)")
    add("-n", "--case", metavar="TEXT", help="only cases whose name has this text")
    add("-j", "--jobs", type=int, default=2, help="virtual machines side by side (2)")
    add("--native-only", action="store_true", help="only the running kernel")
    add("--keep", action="store_true", help="keep what the columns recorded, and say where")
    add("--vm-limit", type=int, default=420, metavar="SECONDS", help="for a whole virtual machine (420)")
    add("--refresh", action="store_true", help="look whether the mirror has newer kernels")
    add("--fetch-only", action="store_true", help="fill the cache of kernels, run nothing")
    add("--update-readme", action="store_true", help="write the matrix to README.md")
    add("--strict", action="store_true", help="fail if README.md has no place for the matrix")
    add("--cases", type=Path, default=CASE_FILES, help=argparse.SUPPRESS)
    add("--readme", type=Path, default=README, help=argparse.SUPPRESS)
    return parser


def main() -> int:
    chosen = options().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("test-on-kernels: terminated"))
    if (chosen.update_readme or chosen.strict) and not is_whole(chosen):
        options().error("the README's matrix takes a whole run: no -k, -c, -n or --native-only")
    work = Path(tempfile.mkdtemp(prefix="apus-kernels."))
    work.chmod(0o755)  # a case may run something as another user
    if chosen.keep:
        print(f"what the columns record stays in {work}")
    try:
        if chosen.fetch_only:
            return fetch(chosen)
        return run(chosen, work)
    except (HarnessError, CaseError) as error:
        print(f"test-on-kernels: {error}", file=sys.stderr, flush=True)
        print("0 passed, 1 failed")  # whoever reads only the last line
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        for process in list(columns.RUNNING):
            process.kill()
        if not chosen.keep:
            shutil.rmtree(work, ignore_errors=True)


def is_whole(chosen: argparse.Namespace) -> bool:
    return not (chosen.kernel or chosen.command or chosen.case or chosen.native_only)


def fetch(chosen: argparse.Namespace) -> int:
    with ThreadPoolExecutor(4) as pool:
        for kernel in pool.map(lambda name: kernels.get(name, chosen.refresh), chosen.kernel or kernels.SERIES):
            print(f"{kernel.series}: {kernel.release}")
    return 0


def run(chosen: argparse.Namespace, work: Path) -> int:
    apus = Path(os.environ.get("APUS") or REPOSITORY / "build" / "dist" / "apus").resolve()
    if not apus.exists():
        raise HarnessError(f"{apus} is missing: build the static executable first, or set APUS")
    if not bundle.is_static(apus):
        raise HarnessError(f"{apus} is not fully static: a guest has no libraries")
    files = case_files(chosen.cases, list_commands(apus))
    selected = select(files, chosen)
    if not selected:
        raise HarnessError("no case is left to run")
    plan = make_plan(chosen, work, apus, files, selected)
    found = run_columns(chosen, plan)
    return conclude(chosen, found, plan.cases)


def list_commands(apus: Path) -> list[str]:
    done = subprocess.run([str(apus), "--list-commands"], text=True, capture_output=True)
    names = done.stdout.split()
    if done.returncode or not names:
        raise HarnessError(f"{apus} --list-commands lists nothing: {done.stderr.strip()}")
    return names


def case_files(folder: Path, commands: list[str]) -> dict[str, CaseFile]:
    """The case file of each command; a command without one has its dry run all the same."""
    files = {command: CaseFile(command) for command in commands}
    for path in sorted(folder.rglob("*.cases")):
        if path.stem not in commands and path.stem != GENERAL:
            raise CaseError(f"{path.name}: apus has no command {path.stem}")
        files[path.stem] = cases.read(path)
    return files


def select(files: dict[str, CaseFile], chosen: argparse.Namespace) -> list[Case]:
    if unknown := set(chosen.command or ()) - set(files):
        raise HarnessError(f"apus has no command {', '.join(sorted(unknown))}")
    selected = []
    for command, file in files.items():
        if chosen.command and command not in chosen.command:
            continue
        all_of_it = ([] if command == GENERAL else [cases.dry_run(file)]) + file.cases
        selected += [case for case in all_of_it if not chosen.case or chosen.case in case.name]
        if not file.cases:
            print(f"note: {command} has no cases: it is only loaded", file=sys.stderr)
    return selected


def make_plan(
    chosen: argparse.Namespace, work: Path, apus: Path, files: dict[str, CaseFile], selected: list[Case]
) -> Plan:
    used = [files[command] for command in dict.fromkeys(case.command for case in selected)]
    programs = bundle.compile_programs(
        [name for file in used for name in file.programs], REPOSITORY / "Tests", REPOSITORY / "build" / "programs"
    )
    modules = list(dict.fromkeys(name for file in used for name in file.modules))
    binaries = work / "bin"
    bundle.make_bin(binaries, apus, programs)
    guest = b"" if chosen.native_only else bundle.make_guest(work / "guest", binaries)
    numbered = {f"{number:03d}": case for number, case in enumerate(selected, 1)}
    return Plan(numbered, binaries, guest, work, modules, chosen.vm_limit, chosen.refresh)


def run_columns(chosen: argparse.Namespace, plan: Plan) -> list[Column]:
    wanted = [] if chosen.native_only else [name for name in kernels.SERIES if name in (chosen.kernel or name)]
    found: dict[str, Column] = {}
    with ThreadPoolExecutor(4) as fetching, ThreadPoolExecutor(max(1, chosen.jobs)) as pool:
        ready = [fetching.submit(kernels.get, name, chosen.refresh) for name in wanted]
        # The running kernel first and alone: its cases see the whole machine.
        if not chosen.kernel:
            finish(found, columns.run_native(plan), plan)
        for fetched in ready:
            fetched.result()
        plan.refresh = False
        # The newest kernels take longest to boot: they go first.
        running: list[Future] = [pool.submit(columns.run_guest, name, plan) for name in reversed(wanted)]
        try:
            for done in as_completed(running):
                finish(found, done.result(), plan)
        except BaseException:
            for one in running:
                one.cancel()
            for process in list(columns.RUNNING):
                process.kill()
            raise
    return [found[name] for name in (*wanted, cases.NATIVE) if name in found]


def finish(found: dict[str, Column], column: Column, plan: Plan) -> None:
    found[column.name] = column
    print(report.summary(column), flush=True)
    for line in report.failures(column, plan.cases):
        print(line, flush=True)


def conclude(chosen: argparse.Namespace, found: list[Column], numbered: dict[str, Case]) -> int:
    states = [state for column in found for state in report.states(column)]
    print("", *report.table(found, numbered), "", sep="\n")
    if is_whole(chosen):
        state = readme_state(chosen, [column for column in found if column.name != cases.NATIVE], numbered)
        states += [state] if state else []
    skipped = sorted({
        f"{column.name}: {verdict.why}"
        for column in found for verdict in column.verdicts.values() if verdict.state == SKIPPED
    })  # fmt: skip
    print(*(f"skipped on {why}" for why in skipped), sep="\n", end="\n" if skipped else "")
    passed, failed = states.count(PASSED) + states.count(REFUSED), states.count(FAILED)
    closing = f"{passed} passed, {failed} failed"
    print(closing + (f", {states.count(SKIPPED)} skipped" if SKIPPED in states else ""), flush=True)
    return 1 if failed else 0


def readme_state(chosen: argparse.Namespace, guests: list[Column], numbered: dict[str, Case]) -> str | None:
    """Whether README.md says the same; None if it does not count."""
    lines = report.table(guests, numbered, markdown=True)
    problem, has_place = report.readme_problem(chosen.readme, lines)
    broken = any(FAILED in report.states(column) for column in guests)
    if not has_place and (chosen.strict or chosen.update_readme):
        print(f"FAILED: {problem}")
        return FAILED
    if not has_place:
        print(f"warning: {problem}")
        return None
    if problem and broken:
        # What failed is reported already; the table would only repeat it.
        print(f"not compared with {chosen.readme.name}: the matrix has failures")
        return None
    if problem and chosen.update_readme:
        report.update_readme(chosen.readme, lines)
        print(f"updated {chosen.readme.name}")
        return PASSED
    print(f"FAILED: {problem}" if problem else f"{chosen.readme.name} has this matrix")
    return FAILED if problem else PASSED
