# SPDX-License-Identifier: Apache-2.0
"""What a run says in the end: each failure, the matrix, and the same matrix in README.md."""

import re
from pathlib import Path

from .cases import Case
from .columns import Column
from .evaluate import FAILED, PASSED, REFUSED, SKIPPED, Verdict

BEGIN, END = "<!-- kernel-matrix:begin -->", "<!-- kernel-matrix:end -->"


def failures(column: Column, cases: dict[str, Case]) -> list[str]:
    """A paragraph for each failure, with what the case printed."""
    lines = [f"{column.name}: note: {note}" for note in column.notes]
    for identifier, verdict in column.verdicts.items():
        if verdict.state != FAILED:
            continue
        case = cases[identifier]
        lines += [f"FAILED on {column.label}: {case.title} ({case.where})", *_indented(verdict.why)]
        record = verdict.record
        streams = {"stdout": record.stdout, "stderr": record.stderr, "after": record.after, "shell": record.shell}
        for name, text in streams.items():
            if text.strip():
                lines += [f"  {name}:", *_indented(tail(text), 4)]
    if FAILED in states(column) and column.console.strip():
        lines += [f"  console of {column.label}:", *_indented(tail(column.console, 40), 4)]
    return lines


def tail(text: str, count: int = 25) -> str:
    lines = [line[:300] for line in text.rstrip().splitlines()]
    return "\n".join(["…"] * (len(lines) > count) + lines[-count:])


def _indented(text: str, width: int = 2) -> list[str]:
    return [" " * width + line for line in text.splitlines()]


def states(column: Column) -> list[str]:
    return [verdict.state for verdict in column.verdicts.values()]


def summary(column: Column) -> str:
    seen = states(column)
    good = seen.count(PASSED) + seen.count(REFUSED)
    boot = f" (first case after {column.boot_seconds:.0f} s)" if column.boot_seconds else ""
    skipped = f", {seen.count(SKIPPED)} skipped" if SKIPPED in seen else ""
    return (
        f"{column.label}: {good} passed, {seen.count(FAILED)} failed{skipped}"
        f" in {column.seconds:.0f} s{boot}"
    )


def cell(verdicts: list[Verdict], command: str = "") -> str:
    """works, or refuses and why, or FAILED."""
    seen = {verdict.state for verdict in verdicts}
    if FAILED in seen:
        return "FAILED"
    if not seen - {SKIPPED}:
        return "skipped"
    whys = sorted({_plain(verdict.why, command) for verdict in verdicts if verdict.state == REFUSED})
    if not whys:
        return "works"
    return ("in part: " if PASSED in seen else "refuses: ") + "; ".join(whys)


def _plain(sentence: str, command: str) -> str:
    """The reason alone: who says it is in the table already."""
    name = re.escape(command)
    return re.sub(rf"^((apus( {name})?|{name}|[Ee]rror): )+", "", sentence.strip()).replace("|", "\\|")


def table(columns: list[Column], cases: dict[str, Case], markdown: bool = False) -> list[str]:
    commands = list(dict.fromkeys(case.command for case in cases.values()))
    rows = [["Command", *(column.name if markdown else _heading(column) for column in columns)]]
    for command in commands:
        mine = [identifier for identifier, case in cases.items() if case.command == command]
        cells = [cell([column.verdicts[one] for one in mine], command) for column in columns]
        rows.append([f"`{command}`" if markdown else command, *cells])
    if markdown:
        rows.insert(1, ["---"] * len(rows[0]))
        return ["| " + " | ".join(row) + " |" for row in rows]
    return _plain_table(rows)


def _heading(column: Column) -> str:
    return f"{column.series} (here)" if column.series else column.name


def _plain_table(rows: list[list[str]]) -> list[str]:
    """Reasons are sentences, and would make the table too wide: they become numbered notes."""
    notes: list[str] = []
    for row in rows[1:]:
        for index, text in enumerate(row):
            kind, colon, why = text.partition(": ")
            if colon:
                if why not in notes:
                    notes.append(why)
                row[index] = f"{kind} [{notes.index(why) + 1}]"
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    return lines + [f"[{number}] {why}" for number, why in enumerate(notes, 1)]


def readme_problem(path: Path, lines: list[str]) -> tuple[str, bool]:
    """What is wrong with the table in README.md ("" if nothing), and whether it has a place there at all."""
    text = path.read_text() if path.exists() else ""
    match = _place(text)
    if not match:
        return f"{path.name} has no place for the kernel matrix ({BEGIN} … {END})", False
    if match[1].strip() != "\n".join(lines):
        return f"the kernel matrix in {path.name} is out of date: run scripts/test-on-kernels --update-readme", True
    return "", True


def update_readme(path: Path, lines: list[str]) -> None:
    text = path.read_text()
    match = _place(text)
    fresh = f"{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}"
    path.write_text(text[: match.start()] + fresh + text[match.end() :])


def _place(text: str) -> re.Match | None:
    return re.search(re.escape(BEGIN) + r"(.*?)" + re.escape(END), text, re.DOTALL)
