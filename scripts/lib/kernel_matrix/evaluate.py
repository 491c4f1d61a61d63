# SPDX-License-Identifier: Apache-2.0
"""Holds what a kernel gave back against what a case expects. Runs on the host; touches nothing."""

import json
import operator
import re
from dataclasses import dataclass, field

from .cases import Case, Condition, Expectation, Refusal

PASSED, REFUSED, FAILED, SKIPPED = "passed", "refused", "failed", "skipped"
COMPARE = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}
VARIABLE = re.compile(r"\$\{(\w+)\}|\$([A-Za-z_]\w*)")


@dataclass
class Record:
    """What is known of one run of a case."""

    stdout: str = ""
    stderr: str = ""
    after: str = ""
    status: int | None = None  # of `run`; None: it never ended
    variables: dict[str, str] = field(default_factory=dict)
    trouble: str = ""  # why the case itself did not run as written
    unavailable: str = ""  # why this machine cannot run it
    seconds: float = 0.0
    shell: str = ""  # what setup, meanwhile and the runner said


@dataclass
class Verdict:
    state: str
    why: str = ""
    record: Record = field(default_factory=Record)


class Unmet(Exception):
    """An expectation that is not met; the text says what was seen."""


def judge(case: Case, record: Record, column: str, native_series: str = "") -> Verdict:
    names = (column, native_series)
    if record.unavailable:
        return Verdict(SKIPPED, record.unavailable, record)
    refusal = refusal_for(case.refusals, names)
    if refusal and not (refusal.optional and not _is_refusal(record)):
        return _judge_refusal(refusal, record)
    if _is_refusal(record) and not any(one.kind == "exit" and one.value == "1" for one in case.expect):
        return Verdict(FAILED, f"refused, and no refusal is written down: {record.stderr.strip()}", record)
    if record.trouble:
        return Verdict(FAILED, record.trouble, record)
    problems = [problem for one in case.expect if (problem := unmet(one, record))]
    if not any(one.kind == "exit" for one in case.expect) and record.status != 0:
        problems.insert(0, f"exit status {record.status}")
    return Verdict(FAILED, "\n".join(problems), record) if problems else Verdict(PASSED, "", record)


def refusal_for(refusals: list[Refusal], names: tuple[str, ...]) -> Refusal | None:
    return next((one for one in refusals if any(name and name in one.columns for name in names)), None)


def _is_refusal(record: Record) -> bool:
    """A command that cannot work here exits 1 after one sentence, and nothing else."""
    return record.status == 1 and len(record.stderr.strip().splitlines()) == 1 and not record.stdout.strip()


def _judge_refusal(refusal: Refusal, record: Record) -> Verdict:
    wanted = f"a refusal is written down here ({refusal.sentence}), but "
    if record.status == 0:
        return Verdict(FAILED, wanted + "it works: the feature is older than that", record)
    if not _is_refusal(record):
        return Verdict(FAILED, wanted + "it did not exit 1 with one sentence on stderr", record)
    sentence = record.stderr.strip()
    if not re.search(refusal.sentence, sentence):
        return Verdict(FAILED, wanted + f"it says: {sentence}", record)
    return Verdict(REFUSED, sentence, record)


def unmet(expectation: Expectation, record: Record) -> str | None:
    """None if it is met, or a line that says what was expected and what was seen."""
    try:
        CHECKS[expectation.kind](expectation, record)
        return None
    except Unmet as seen:
        return f"expected {expectation.text}, but {seen}"


def rows_of(stdout: str) -> list[dict]:
    """The JSON lines. Other lines are those of a traced child, which shares stdout."""
    rows = []
    for line in stdout.splitlines():
        if line.startswith("{"):
            try:
                rows.append(json.loads(line))
            except ValueError:
                raise Unmet(f"this is not JSON: {line[:200]}") from None
    return rows


def _exit(expectation: Expectation, record: Record) -> None:
    if record.status != int(expectation.value):
        raise Unmet(f"the exit status is {record.status}")


def _text(expectation: Expectation, record: Record) -> None:
    found = _search(expectation, record)
    if not found:
        raise Unmet(f"{expectation.field} has no such text")


def _no_text(expectation: Expectation, record: Record) -> None:
    found = _search(expectation, record)
    if found:
        raise Unmet(f"{expectation.field} has {found[0]!r}")


def _search(expectation: Expectation, record: Record) -> re.Match | None:
    pattern = _expand(expectation.value, record.variables, escape=True)
    return re.search(pattern, getattr(record, expectation.field), re.MULTILINE)


def _empty(expectation: Expectation, record: Record) -> None:
    if text := getattr(record, expectation.field).strip():
        raise Unmet(f"it holds: {text.splitlines()[0][:200]}")


def _row(expectation: Expectation, record: Record) -> None:
    rows, fitting = _fitting(expectation.conditions, record)
    if not fitting:
        raise Unmet(f"none of the {len(rows)} rows is like that{_nearest(expectation.conditions, rows, record)}")


def _no_row(expectation: Expectation, record: Record) -> None:
    _, fitting = _fitting(expectation.conditions, record)
    if fitting:
        raise Unmet(f"{len(fitting)} are, first {_show(fitting[0])}")


def _every_row(expectation: Expectation, record: Record) -> None:
    rows, fitting = _fitting(expectation.conditions, record)
    others = [row for row in rows if row not in fitting]
    if not rows:
        raise Unmet("there are no rows")
    if others:
        raise Unmet(f"{len(others)} of {len(rows)} are not, first {_show(others[0])}")


def _rows(expectation: Expectation, record: Record) -> None:
    rows, fitting = _fitting(expectation.conditions, record)
    _compare(expectation, len(fitting), record, "there are {} of %d" % len(rows))


def _sum(expectation: Expectation, record: Record) -> None:
    _, fitting = _fitting(expectation.conditions, record)
    _compare(expectation, _total(expectation.field, fitting), record, "the sum is {}")


def _share(expectation: Expectation, record: Record) -> None:
    rows, fitting = _fitting(expectation.conditions, record)
    whole = _total(expectation.field, rows)
    if not whole:
        raise Unmet(f"{expectation.field} sums up to 0")
    _compare(expectation, _total(expectation.field, fitting) / whole, record, "the share is {:.3f}")


def _order(expectation: Expectation, record: Record) -> None:
    steps = [expectation.conditions, *expectation.then]
    matching = [_fitting(step, record)[1] for step in steps]  # names misspelt fields
    position = 0
    for row in rows_of(record.stdout):
        if position < len(steps) and row in matching[position]:
            position += 1
    if position < len(steps):
        raise Unmet(f"{position} of these {len(steps)} rows came in this order")


CHECKS = {
    "exit": _exit, "text": _text, "no text": _no_text, "empty": _empty, "row": _row, "no row": _no_row,
    "every row": _every_row, "rows": _rows, "sum": _sum, "share": _share, "order": _order,
}


def _compare(expectation: Expectation, seen: float, record: Record, message: str) -> None:
    wanted = _expand(expectation.value, record.variables)
    if (number := _number(wanted)) is None:
        raise Unmet(f"{expectation.value} is {wanted!r}, not a number")
    if not COMPARE[expectation.operator](seen, number):
        raise Unmet(message.format(seen))


def _fitting(conditions: tuple[Condition, ...], record: Record) -> tuple[list[dict], list[dict]]:
    rows = rows_of(record.stdout)
    for condition in conditions:
        # A misspelt field would make every "no row" true.
        if rows and not any(_values(row, condition.field) for row in rows):
            raise Unmet(f"no row has a field {condition.field}; the first is {_show(rows[0])}")
    expanded = [
        Condition(one.field, one.operator, _expand(one.value, record.variables, one.operator.endswith("~")))
        for one in conditions
    ]
    return rows, [row for row in rows if all(fits(row, condition) for condition in expanded)]


def fits(row: dict, condition: Condition) -> bool:
    values = _values(row, condition.field)
    if condition.operator.startswith("!"):
        positive = Condition(condition.field, condition.operator[1:], condition.value)
        return bool(values) and not fits(row, positive)
    return any(_value_fits(value, condition) for value in values)


def _values(value, path: str) -> list:
    """The values at a dotted path; a list stands for each of its elements."""
    if isinstance(value, list):
        return [inner for element in value for inner in _values(element, path)]
    if not path:
        return [value]
    name, _, rest = path.partition(".")
    if isinstance(value, dict) and name in value:
        inner = value[name]
        return [inner] if inner == [] and not rest else _values(inner, rest)
    return []


def _value_fits(value, condition: Condition) -> bool:
    text = value if isinstance(value, str) else json.dumps(value)
    if condition.operator == "~":
        return re.search(condition.value, text) is not None
    number = _number(condition.value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if condition.operator == "=":
        return value == number if is_number and number is not None else text == condition.value
    return is_number and number is not None and COMPARE[condition.operator](value, number)


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def _expand(text: str, variables: dict[str, str], escape: bool = False) -> str:
    def value(match: re.Match) -> str:
        name = match[1] or match[2]
        if name not in variables:
            raise Unmet(f"the case has not set ${name}")
        return re.escape(variables[name]) if escape else variables[name]

    return VARIABLE.sub(value, text)


def _total(name: str, rows: list[dict]) -> float:
    values = [value for row in rows for value in _values(row, name)]
    for value in values:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise Unmet(f"{name} is {value!r}, not a number")
    if rows and not values:
        raise Unmet(f"no row has a field {name}")
    return sum(values)


def _nearest(conditions: tuple[Condition, ...], rows: list[dict], record: Record) -> str:
    """The row that meets most of the conditions: mostly it tells at once what is wrong."""
    if not rows:
        return ""
    expanded = [Condition(one.field, one.operator, _expand(one.value, record.variables, one.operator.endswith("~")))
                for one in conditions]
    return "; nearest: " + _show(max(rows, key=lambda row: sum(fits(row, one) for one in expanded)))


def _show(row: dict) -> str:
    return json.dumps(row)[:400]
