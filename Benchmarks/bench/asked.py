# SPDX-License-Identifier: Apache-2.0
"""What was asked of the project in figures, beside what was measured; what falls short says so."""

from typing import Callable

from bench import turns
from bench.sections import burst, churn, share
from bench.turns import median

Figures = dict[str, dict]
# A measured value, or None if it was not measured.
Reading = Callable[[Figures], float | None]


class Bound:
    """One figure: at most `most`, or at least `least`, of something in `unit`."""

    def __init__(self, what: str, unit: str, read: Reading, most: float | None = None, least: float | None = None):
        self.what, self.unit, self.read, self.most, self.least = what, unit, read, most, least

    def row(self, figures: Figures) -> str:
        try:
            value = self.read(figures)
        except (KeyError, IndexError, TypeError, ZeroDivisionError):
            value = None
        asked = f"at most {_number(self.most)}" if self.most is not None else f"at least {_number(self.least)}"
        if value is None:
            return f"| {self.what} | {asked}{self.unit} | not measured | |"
        good = value <= self.most if self.most is not None else value >= self.least
        return f"| {self.what} | {asked}{self.unit} | {_number(value)}{self.unit} | {'yes' if good else '**no**'} |"


def render(figures: Figures) -> list[str]:
    lines = ["| | asked | measured | reached |", "| --- | ---: | ---: | --- |"]
    lines += [bound.row(figures) for bound in BOUNDS]
    lines += ["", "Asked as well, and held by tests that fail otherwise, here and (the cases) on each kernel:", ""]
    return lines + [f"- {what}: {where}" for what, where in HELD_BY_TESTS] + [""]


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _ratio(section: str, one: tuple[str, ...], other: tuple[str, ...]) -> Reading:
    return lambda figures: turns.ratio(figures[section]["rounds"], one, other)


def _slowdown(ours: str, theirs: str) -> Reading:
    """How many times as long a switch takes with ours as with theirs."""
    return _ratio("switches", (f"apus {ours}",), ("libbpf-tools", theirs))


def _start(command: str, key: str, how: Callable = median) -> Reading:
    return lambda figures: how(figures["start"]["commands"][command][key])


def _missing(figures: Figures) -> float:
    return sum(run["opens"] - run["rows"] - run["lost"] for run in figures["burst"]["runs"] if "apus" in run["title"])


def _rows_of(title: str, opens: int) -> Reading:
    return lambda figures: next(run["rows"] for run in burst.worst(figures["burst"])
                                if run["title"] == title and run["opens"] == opens)


def _stack(frames: int) -> Reading:
    """Microseconds over an empty program."""
    def read(figures: Figures) -> float:
        values = figures["stack-cost"]["depths"][str(frames)]
        return (median(values["apus profile"]) - median(turns.find(values, "floor"))) / 1000
    return read


def _least_root(figures: Figures) -> float:
    return min(values["apus profile"]["root"] for values in figures["stack-roots"]["programs"].values())


def _share(hertz: int) -> Reading:
    return lambda figures: next(share.total(run) for run in figures["share"]["runs"]
                                if run["hertz"] == hertz and "apus" in run["title"])


def _end_of(case: str) -> Reading:
    return lambda figures: median(turns.find(figures["reports"]["cases"], case)["end_ms"])


def _memory_of(case: str) -> Reading:
    def read(figures: Figures) -> float:
        values = turns.find(figures["reports"]["cases"], case)
        return max(a + b for a, b in zip(values["memory_mb"], values["maps_mb"]))
    return read


def _table_ms(*names: str) -> Reading:
    return lambda figures: sum(table["ms"] for table in figures["unwind-tables"]["tables"] if table["name"].startswith(names))


def _pair_us(setting: str) -> Reading:
    return lambda figures: median(figures["allocations"]["rounds"][setting]) / 1000


def _filtered_to_sampled(figures: Figures) -> float:
    return turns.ratio(figures["allocations"]["rounds"], ("apus", "-z"), ("apus", "-s 100"))


BOUNDS = (
    Bound("a traced open, against an untraced one", " times", _ratio("opens", ("apus opensnoop",), (turns.UNTRACED,)), most=2),
    Bound("rows of 20,000 opens by one thread", "", _rows_of("apus opensnoop", 20_000), least=20_000),
    Bound("rows of 1,000,000 opens by four threads, `--buffer-size 64M`", "",
          _rows_of("apus opensnoop --buffer-size 64M", 1_000_000), least=1_000_000),
    Bound("opens of all bursts that are neither rows nor reported", "", _missing, most=0),
    Bound("opensnoop attached", " ms", _start("apus opensnoop", "attached_ms"), most=100),
    Bound("memory of opensnoop", " MB", _start("apus opensnoop", "memory_mb", max), most=25),
    Bound("CPU of an idle opensnoop", " %", lambda figures: figures["idle"]["commands"]["opensnoop"]["process"], most=0.01),
    Bound("the executable", " MB", lambda figures: figures["start"]["size_bytes"] / 1e6, most=20),
    Bound("waits that runqslower reports after 200,000 short-lived threads, of those before", " %",
          lambda figures: 100 * churn.share(figures["churn"]["waits"]["apus runqslower"]), least=99),
    Bound("rows of execsnoop, of 5,000 commands", "", lambda figures: figures["churn"]["started"]["apus execsnoop"], least=5000),
    Bound("a switch under runqslower, against libbpf-tools'", " times", _slowdown("runqslower", "runqslower"), most=1.15),
    Bound("a switch under offcputime, against libbpf-tools'", " times", _slowdown("offcputime", "offcputime"), most=1),
    Bound("a switch under offcputime --unwind fp, which stores what libbpf-tools' does", " times",
          _slowdown("offcputime --unwind fp", "offcputime"), most=1),
    Bound("names of a million addresses, 300 libraries, warm", " ms",
          lambda figures: median([run["again_ms"] for run in figures["symbols"]["many"]]), most=2000),
    Bound("names of a million addresses, 300 libraries, for the first time", " ms",
          lambda figures: median([run["first_ms"] for run in figures["symbols"]["many"]]), most=2000),
    Bound("index of a large executable (asked for one of 100 MB, measured with one of twice that)", " ms",
          lambda figures: median([run["first_ms"] for run in figures["symbols"]["one"]]), most=150),
    Bound("profile at 99 Hz, of a core", " %", _share(99), most=0.5),
    Bound("profile at 999 Hz, of a core", " %", _share(999), most=3),
    Bound("a stack of 17 frames, over an empty program", " µs", _stack(17), most=1.5),
    Bound("a stack of 37 frames, over an empty program", " µs", _stack(37), most=2.3),
    Bound("stacks that reach the root, in the worst of the programs", " %", _least_root, least=99.5),
    Bound("tables of libc and libstdc++", " ms", _table_ms("libc.so", "libstdc++"), most=20),
    Bound("tables of a large executable (as above)", " ms", _table_ms("swift-frontend"), most=700),
    Bound("bytes a row", "", lambda figures: max(table["bytes_a_row"] for table in figures["unwind-tables"]["tables"]), most=5),
    Bound("tables of the whole machine, memory", " MB", lambda figures: figures["unwind-tables"]["system"]["kb"] / 1024, most=50),
    Bound("tables of the whole machine, time", " ms", lambda figures: figures["unwind-tables"]["system"]["ms"], most=1000),
    Bound("malloc and free under memleak", " µs", _pair_us("apus memleak"), most=4.2),
    Bound("malloc and free under memleak, against libbpf-tools'", " times",
          _ratio("allocations", ("apus memleak",), ("libbpf-tools", "memleak")), most=0.35),
    Bound("the same with -s 100", " times", _ratio("allocations", ("apus", "-s 100"), ("libbpf-tools", "memleak")), most=0.15),
    Bound("malloc and free with -z, against -s 100", " times", _filtered_to_sampled, most=1),
    Bound("a million live blocks reported", " ms", _end_of("1,000,000 live"), most=1000),
    Bound("memory for a million live blocks", " MB", _memory_of("1,000,000 live"), most=150),
    Bound("100,000 stacks reported", " ms", _end_of("100,000 stacks, the ten"), most=2000),
    Bound("100,000 stacks written for pprof", " ms", _end_of("100,000 stacks, --pprof"), most=2000),
    Bound("`apus probes` with a pattern", " ms", lambda figures: median(figures["start"]["probes_ms"]), most=300),
    Bound("`apus probes` without one", " ms", lambda figures: median(figures["start"]["all_probes_ms"]), most=300),
)

TESTS = "Tests/CommandTests"
HELD_BY_TESTS = (
    ("a thread that burns a core for ten seconds has 990 samples at 99 Hz, within 2 %", f"`{TESTS}/Time/StackTests.swift`"),
    ("sleep and lock split a producer's time 80 to 20, within 2; the sum is its wall time less its CPU time, within 1 %",
     f"`{TESTS}/Time/StackTests.swift`"),
    ("late wake-ups are reported once, at least 95 % blame the one that ran, and their sum is the kernel's, within 2 %",
     f"`{TESTS}/Scheduler/SchedulerTests.swift`"),
    ("at least 99 % of user frames of processes that are gone are known", f"`{TESTS}/Time/ShortLivedTests.swift`"),
    ("at least 99.9 % of names, files and lines are those of gdb, addr2line and llvm-symbolizer",
     "`Tests/SymbolizationTests/StockOracleTests.swift`, `DWARFOracleTests.swift`"),
    ("rows of unwinding tables are those of libdw; stacks are those of gdb",
     "`Tests/UnwindingTests/OracleTests.swift`; `scripts/check-stacks`, where a long run asks for 99.5 %"),
    ("leaks are told to the byte, for every function of the allocator and after a million random operations; targets survive "
     "attaching and detaching under load", f"`{TESTS}/Memory/Memleak/MemleakTests.swift`"),
    ("filetop counts what was read and written, syscount what strace counts", f"`{TESTS}/Files/Filetop/FiletopTests.swift`, `SyscountTests.swift`"),
    ("the same cases on 5.10, 6.1, 6.12 and 7.x, in minutes", "`scripts/test-on-kernels`, which prints how long it took"),
)
