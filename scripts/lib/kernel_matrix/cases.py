# SPDX-License-Identifier: Apache-2.0
"""The case files: Tests/Commands/AREA/COMMAND/COMMAND.cases, one for each command of apus.

    # opensnoop.cases
    program open-many                         build/programs/open-many, from programs/open-many.c there,
                                              or from Tests/Programs
    module veth                               a kernel module the cases need
    dry-run args -p 1                         what `apus COMMAND --dry-run` needs besides
    refuses on 5.10, 6.1: needs kernel 6\\.4   the whole command (its dry run too) is refused there

    case the exact file opened
      setup     echo hi > $T/target           shell, before; its variables are seen by all that follows
      run       apus opensnoop --json -- cat $T/target
      expect    row path=$T/target comm=cat errno=0
      expect    rows path=$T/target == 1

    case somebody else's file
      run       apus opensnoop --json
      ready     ^PID                          default: something on stdout, or "ready" on stderr
      meanwhile cat $T/target                 shell, once it is ready; $PID is the process of `run`
      stop      INT                           a signal to $PID after the last `meanwhile`
      after     test -s $T/report             shell, once `run` has ended
      limit     60                            seconds for the case (30), more if the machine is busy
      hide-btf                                /sys/kernel/btf is empty; $T/vmlinux.btf is the kernel's BTF
      refuses on 6.1: REGEX                   this case only: exit 1, and this one sentence on stderr
      may refuse on native: REGEX             the same, where it depends on the machine
      skip on native: REASON
      expect    ...

`$T` is a directory of the case's own, and where it starts. A shell line that fails fails the case.
Kernels are named as the columns are: 5.10, 6.1, 6.12, 7.x, native, or the native kernel's series.
A backslash at the end continues a line. Expectations (N may be a $VARIABLE the case has set):

    exit N                            the exit status; 0 if nothing is said
    row COND...                       at least one JSON row on stdout is like that
    no row COND...                    none is
    every row COND...                 there are rows, and all are
    rows [COND...] OP N               as many rows are           OP: == != < <= > >=
    sum FIELD [COND...] OP N          the sum of a field over these rows
    share FIELD COND... OP N          that sum, divided by the sum over all rows
    order COND... then COND...        rows in this order, perhaps with others between them
    [no] stdout|stderr|after ~ REGEX  the text (multi-line: ^ and $ match at each line)
    empty stdout|stderr|after

    COND: field=value field!=value field~regex field!~regex field<N field<=N field>N field>=N
    a.b is b inside a; with a list, any element of it may fit. Quote values with spaces: comm='a b'.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_LIMIT = 30
NATIVE = "native"
OPERATORS = ("==", "!=", "<=", ">=", "<", ">")
CONDITION = re.compile(r"([A-Za-z_][\w.]*)(!=|!~|<=|>=|=|~|<|>)(.*)", re.DOTALL)
COLUMN = re.compile(r"(native|7\.x|\d+\.\d+)$")
SHELL_WORDS = ("setup", "meanwhile", "after")
STREAMS = ("stdout", "stderr", "after")


class CaseError(Exception):
    """A case file that cannot be read; the text begins with FILE:LINE."""


@dataclass(frozen=True)
class Condition:
    field: str
    operator: str
    value: str


@dataclass(frozen=True)
class Expectation:
    kind: str
    text: str  # as written, for messages
    conditions: tuple[Condition, ...] = ()
    then: tuple[tuple[Condition, ...], ...] = ()  # order: what must follow
    field: str = ""  # sum, share: the field; stdout and so on: the stream
    operator: str = ""
    value: str = ""


@dataclass(frozen=True)
class Refusal:
    columns: tuple[str, ...]
    sentence: str
    optional: bool = False


@dataclass
class Case:
    command: str
    name: str
    where: str
    run: str = ""
    setup: list[str] = field(default_factory=list)
    meanwhile: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    expect: list[Expectation] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    skips: list[Refusal] = field(default_factory=list)
    ready: str = ""
    stop: str = ""
    limit: int = DEFAULT_LIMIT
    hide_btf: bool = False
    modules: list[str] = field(default_factory=list)  # of its file; a dry run needs none

    @property
    def title(self) -> str:
        return f"{self.command}: {self.name}"


@dataclass
class CaseFile:
    command: str
    cases: list[Case] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    dry_run_args: str = ""


def read(path: Path) -> CaseFile:
    return parse(path.read_text(), path.stem, path.name)


def parse(text: str, command: str, filename: str) -> CaseFile:
    file = CaseFile(command)
    case: Case | None = None
    for number, line in _logical_lines(text):
        where = f"{filename}:{number}"
        try:
            if line.startswith("case "):
                case = Case(command, line[5:].strip(), where)
                file.cases.append(case)
            elif line[0].isspace() and case:
                _case_line(case, line.strip())
            elif not line[0].isspace():
                _file_line(file, line.strip())
                if case:
                    raise ValueError("what holds for the whole file comes before its first case")
            else:
                raise ValueError("an indented line belongs to a case, and there is none yet")
        except (ValueError, re.error) as error:
            raise CaseError(f"{where}: {error}") from None
    _check(file)
    return file


def dry_run(file: CaseFile) -> Case:
    """The case every command has: its programs load here, or it says why not."""
    case = Case(file.command, "dry run", f"{file.command}: --dry-run")
    case.run = f"apus {file.command} --dry-run {file.dry_run_args}".strip()
    case.refusals = list(file.refusals)
    return case


def _logical_lines(text: str):
    """Numbered lines without comments and blank ones; a backslash at the end joins the next line."""
    pending, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if not pending:
            start = number
            if not line.strip() or line.lstrip().startswith("#"):
                continue
        pending += line.strip() if pending else line.rstrip()
        if pending.endswith("\\"):
            pending = pending[:-1].rstrip() + " "
            continue
        yield start, pending
        pending = ""
    if pending:
        yield start, pending


def _file_line(file: CaseFile, line: str) -> None:
    word, _, rest = line.partition(" ")
    rest = rest.strip()
    if word == "program" and re.fullmatch(r"[\w.-]+", rest):
        file.programs.append(rest)
    elif word == "module" and re.fullmatch(r"\w+", rest):
        file.modules.append(rest)
    elif line.startswith("dry-run args "):
        file.dry_run_args = line[len("dry-run args "):].strip()
    elif refusal := _refusal(line):
        file.refusals.append(refusal)
    else:
        raise ValueError(f"not something a case file says: {line}")


def _case_line(case: Case, line: str) -> None:
    word, _, rest = line.partition(" ")
    rest = rest.strip()
    if word in SHELL_WORDS and rest:
        getattr(case, word).append(rest)
    elif word == "run" and rest and not case.run:
        case.run = rest
    elif word == "ready" and rest:
        re.compile(rest)
        case.ready = rest
    elif word == "stop" and re.fullmatch(r"[A-Z]+[0-9]*", rest):
        case.stop = rest
    elif word == "limit" and rest.isdecimal() and int(rest) > 0:
        case.limit = int(rest)
    elif line == "hide-btf":
        case.hide_btf = True
    elif word == "expect":
        case.expect.append(parse_expectation(rest))
    elif match := re.fullmatch(r"skip on ([^:]+):\s*(.+)", line):
        case.skips.append(Refusal(_columns(match[1]), match[2]))
    elif refusal := _refusal(line):
        case.refusals.append(refusal)
    else:
        raise ValueError(f"not something a case says (or says twice): {line}")


def _refusal(line: str) -> Refusal | None:
    match = re.fullmatch(r"(refuses|may refuse) on ([^:]+):\s*(.+)", line)
    if not match:
        return None
    re.compile(match[3])
    return Refusal(_columns(match[2]), match[3], match[1] == "may refuse")


def _columns(text: str) -> tuple[str, ...]:
    names = tuple(name for name in re.split(r"[,\s]+", text) if name)
    for name in names:
        if not COLUMN.match(name):
            raise ValueError(f"not a kernel of the matrix: {name}")
    return names


def _check(file: CaseFile) -> None:
    """What only shows when a case is complete."""
    names = set()
    for case in file.cases:
        if not case.run:
            raise CaseError(f"{case.where}: a case needs a `run` line")
        if not case.expect:
            raise CaseError(f"{case.where}: a case needs an `expect` line")
        if case.name in names or case.name == "dry run":
            raise CaseError(f"{case.where}: there are two cases of this name")
        names.add(case.name)
        if any(map(_is_negative, case.expect)) and all(
            _is_negative(one) or one.kind == "exit" for one in case.expect
        ):
            raise CaseError(f"{case.where}: no output at all would pass: expect something that must come out too")
        case.refusals += file.refusals
        case.modules = file.modules


def _is_negative(expectation: Expectation) -> bool:
    """Whether a command that prints nothing would meet it."""
    zero = expectation.kind in ("rows", "sum") and (expectation.operator, expectation.value) in (
        ("==", "0"), ("<=", "0"), ("<", "1"),
    )
    return zero or expectation.kind.startswith("no ") or (
        expectation.kind in ("rows", "sum") and expectation.operator in ("<", "<=")
    )


def parse_expectation(text: str) -> Expectation:
    if match := re.fullmatch(r"exit\s+(\d+)", text):
        return Expectation("exit", text, value=match[1])
    if match := re.fullmatch(r"empty\s+(\w+)", text):
        return Expectation("empty", text, field=_stream(match[1]))
    if match := re.fullmatch(r"((?:no )?)(\w+)\s+~\s+(.+)", text):
        re.compile(match[3])
        return Expectation(f"{match[1]}text", text, field=_stream(match[2]), value=match[3])
    words = _words(text)
    for start in (["row"], ["no", "row"], ["every", "row"]):
        if words[: len(start)] == start and len(words) > len(start):
            return Expectation(" ".join(start), text, _conditions(words[len(start):]))
    if words[:1] == ["order"]:
        first, *then = _split(words[1:], "then")
        return Expectation("order", text, _conditions(first), tuple(map(_conditions, then)))
    if words[:1] == ["rows"] and len(words) >= 3:
        return Expectation("rows", text, _conditions(words[1:-2]), (), "", *_comparison(words))
    if words[:1] in (["sum"], ["share"]) and len(words) >= 4:
        conditions = _conditions(words[2:-2])
        return Expectation(words[0], text, conditions, (), words[1], *_comparison(words))
    raise ValueError(f"not an expectation: {text}")


def _comparison(words: list[str]) -> tuple[str, str]:
    operator, value = words[-2:]
    if operator not in OPERATORS or not re.fullmatch(r"-?\d+(\.\d+)?|\$\{?\w+\}?", value):
        raise ValueError(f"not a comparison with a number: {operator} {value}")
    return operator, value


def _stream(name: str) -> str:
    if name not in STREAMS:
        raise ValueError(f"not one of {', '.join(STREAMS)}: {name}")
    return name


def _conditions(words: list[str]) -> tuple[Condition, ...]:
    conditions = []
    for word in words:
        match = CONDITION.fullmatch(word)
        if not match:
            raise ValueError(f"not a condition: {word}")
        if match[2].endswith("~"):
            re.compile(match[3])
        conditions.append(Condition(*match.groups()))
    return tuple(conditions)


def _words(text: str) -> list[str]:
    """Splits at spaces outside quotes. Backslashes stay as they are: values are often regexes."""
    words = re.findall(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""", text)
    return [re.sub(r""""([^"]*)"|'([^']*)'""", lambda match: match[1] or match[2] or "", word) for word in words]


def _split(words: list[str], separator: str) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    for word in words:
        if word == separator:
            groups.append([])
        else:
            groups[-1].append(word)
    if len(groups) < 2 or not all(groups):
        raise ValueError(f"wanted: CONDITIONS {separator} CONDITIONS")
    return groups
