#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the kernel matrix itself: python3 -m unittest Tests/KernelMatrix/test_harness.py

A harness that passes everything is worse than none, so each rule is shown to fail as well as to pass.
"""

import base64
import io
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parents[1] / "scripts" / "lib"))

from kernel_matrix import bundle, cases, columns, kernels, records, report  # noqa: E402
from kernel_matrix.cases import CaseError, parse, parse_expectation  # noqa: E402
from kernel_matrix.columns import Column  # noqa: E402
from kernel_matrix.evaluate import FAILED, PASSED, REFUSED, SKIPPED, Record, Verdict, judge, unmet  # noqa: E402

ROWS = """\
child's own output
{"comm":"cat","path":"/tmp/a b","errno":0,"pid":7,"ok":true,"note":null,"count":3,"ratio":0.5}
{"comm":"sh","path":"/tmp/x.c","errno":2,"pid":8,"ok":false,"note":"n","count":1,"stack":["main","burn"]}
{"comm":"cat","path":"/tmp/y","errno":-13,"pid":7,"count":6,"frames":[{"symbol":"f"},{"symbol":"g"}]}
"""


def record(**changes) -> Record:
    values = {"stdout": ROWS, "stderr": "ready\n", "status": 0, "variables": {"T": "/tmp", "PID": "7", "N": "2"}}
    return Record(**{**values, **changes})


def one_case(body: str, head: str = "") -> cases.Case:
    lines = "".join(f"  {line}\n" for line in body.strip().splitlines())
    return parse(f"{head}\ncase it works\n{lines}", "opensnoop", "opensnoop.cases").cases[0]


class Parsing(unittest.TestCase):
    def test_everything_a_file_can_say(self):
        file = parse(
            "# comment\nprogram many-opens\nmodule veth\ndry-run args -p 1\nrefuses on 5.10, 6.1: needs 6\\.4\n\n"
            "case one\n  setup  echo 'a # b' > $T/x\n  run apus x \\\n      --json\n  meanwhile cat $T/x\n"
            "  meanwhile true\n  stop INT\n  after true\n  ready ^PID\n  limit 60\n  hide-btf\n"
            "  may refuse on native: why\n  skip on 6.18: other\n  expect row a=1\n",
            "opensnoop", "opensnoop.cases",
        )  # fmt: skip
        case = file.cases[0]
        self.assertEqual((file.programs, file.modules, file.dry_run_args), (["many-opens"], ["veth"], "-p 1"))
        self.assertEqual(case.setup, ["echo 'a # b' > $T/x"])
        self.assertEqual(case.run, "apus x --json")
        self.assertEqual(case.meanwhile, ["cat $T/x", "true"])
        self.assertEqual((case.stop, case.ready, case.limit, case.hide_btf), ("INT", "^PID", 60, True))
        self.assertEqual([one.columns for one in case.refusals], [("native",), ("5.10", "6.1")])
        self.assertEqual([one.optional for one in case.refusals], [True, False])
        self.assertEqual(case.skips[0].columns, ("6.18",))
        self.assertEqual(cases.dry_run(file).run, "apus opensnoop --dry-run -p 1")

    def test_mistakes_are_refused_with_their_line(self):
        case = "case a\n  run x\n  expect row a=1\n"
        mistakes = {
            "f.cases:1": ["nonsense here\n", "  run x\n", "refuses on 5.x: y\n", "refuses on 5.10: (\n", "case a\n"],
            "f.cases:2": ["case a\n  running x\n", "case a\n  stop 15x\n", "case a\n  limit 0\n"],
            "f.cases:3": ["case a\n  run x\n  run y\n", "case a\n  run x\n  expect rows a=1 = 2\n",
                          "case a\n  run x\n  expect row a~(\n", "case a\n  run x\n  expect row # why\n",
                          "case a\n  run x\n  expect stdlog ~ x\n", "case a\n  run x\n  expect\n"],
            "f.cases:4": [case + "program late\n", case + case],
        }  # fmt: skip
        for where, texts in mistakes.items():
            for text in texts:
                with self.subTest(text), self.assertRaises(CaseError) as caught:
                    parse(text, "f", "f.cases")
                self.assertTrue(str(caught.exception).startswith(where), caught.exception)

    def test_a_case_that_silence_would_pass_is_refused(self):
        for line in ("no row a=1", "rows a=1 == 0", "rows <= 3", "sum n < 1", "no stderr ~ x"):
            with self.subTest(line):
                with self.assertRaisesRegex(CaseError, "no output at all would pass"):
                    parse(f"case a\n  run x\n  expect {line}\n  expect exit 0\n", "f", "f.cases")
                parse(f"case a\n  run x\n  expect {line}\n  expect row b=1\n", "f", "f.cases")

    def test_the_case_files_of_the_project(self):
        paths = sorted(HERE.parent.glob("Commands/*/*/*.cases"))
        self.assertTrue(paths)
        for path in paths:
            with self.subTest(path.name):
                file = cases.read(path)
                self.assertTrue(file.cases, "a case file without a case")
                for name in file.programs:
                    self.assertTrue(bundle.program_source(HERE.parent, name).exists(), name)


class Expectations(unittest.TestCase):
    # expectation that is met, and the same one changed so that it is not
    PAIRS = [
        ("exit 0", "exit 1"),
        ("row comm=cat errno=0", "row comm=cat errno=2"),
        ("row path='/tmp/a b'", "row path='/tmp/a  b'"),
        ("row path=$T/y", "row path=$T/z"),
        ("row path~^${T}/x\\.c$", "row path~^$T/xxc$"),
        ("row pid=$PID", "row pid=$N"),
        ("row comm!=cat", "row comm!~cat|sh"),
        ("row errno<-5", "row errno<-13"),
        ("row errno<=-13 count>=6", "row errno>2"),
        ("row ok=true", "row ok=1"),
        ("row note=null", "row note=none"),
        ("row ratio=0.5", "row ratio=0.6"),
        ("row stack=burn", "row stack=bur"),
        ("row stack~^bu", "row stack~^ur"),
        ("row frames.symbol=g", "row frames.symbol=h"),
        ("no row comm=dash", "no row comm=sh"),
        ("every row path~^/tmp/", "every row comm=cat"),
        ("rows == 3", "rows == 4"),
        ("rows comm=cat == $N", "rows comm=cat > $N"),
        ("rows comm=cat != 3", "rows comm=cat != 2"),
        ("sum count == 10", "sum count < 10"),
        ("sum count comm=cat == 9", "sum count comm=cat == 10"),
        ("share count comm=cat >= 0.9", "share count comm=sh >= 0.9"),
        ("order errno=0 then errno=2 then pid=7", "order errno=2 then errno=0"),
        ("stdout ~ ^child", "stdout ~ ^output"),
        ("no stderr ~ lost", "no stderr ~ ready"),
        ("empty after", "empty stderr"),
    ]

    def test_each_is_met_and_is_not(self):
        for good, bad in self.PAIRS:
            with self.subTest(good):
                self.assertIsNone(unmet(parse_expectation(good), record()))
            with self.subTest(bad):
                self.assertIsNotNone(unmet(parse_expectation(bad), record()))

    def test_a_misspelt_field_is_never_met(self):
        for text in ("no row cmm=dash", "rows cmm=dash == 0", "row cmm!=x", "sum cuont == 0", "every row cmm=x"):
            with self.subTest(text):
                self.assertIn("no row has a field", unmet(parse_expectation(text), record()))

    def test_silence_meets_nothing_that_must_come_out(self):
        silent = record(stdout="")
        for text in ("row a=1", "every row a=1", "share n a=1 >= 0", "rows >= 1", "order a=1 then a=2", "stdout ~ ."):
            with self.subTest(text):
                self.assertIsNotNone(unmet(parse_expectation(text), silent))

    def test_broken_json_and_unset_variables(self):
        self.assertIn("not JSON", unmet(parse_expectation("rows == 0"), record(stdout='{"a":')))
        self.assertIn("$WHO", unmet(parse_expectation("no row comm=$WHO"), record()))
        self.assertIn("$WHO", unmet(parse_expectation("rows == $WHO"), record()))

    def test_a_variable_in_a_regex_is_taken_literally(self):
        dotted = record(stdout='{"path":"/aXb"}', variables={"P": "/a.b"})
        for text in ("row path~$P", "stdout ~ $P"):
            self.assertIsNotNone(unmet(parse_expectation(text), dotted))

    def test_a_field_some_rows_lack_is_not_unequal_there(self):
        self.assertIsNone(unmet(parse_expectation("rows note!=x == 2"), record()))


class Judging(unittest.TestCase):
    CASE = one_case("run x\nexpect row comm=cat")
    NEWER = one_case("run x\nexpect row comm=cat", "refuses on 5.10, native: needs kernel 6\\.4")
    REFUSAL = dict(stdout="", stderr="apus: needs kernel 6.4\n", status=1)

    def state(self, case, column="5.10", series="", **changes):
        return judge(case, record(**changes), column, series).state

    def test_passes_and_fails(self):
        self.assertEqual(self.state(self.CASE), PASSED)
        self.assertEqual(self.state(self.CASE, stdout="{}"), FAILED)
        self.assertEqual(self.state(self.CASE, status=3), FAILED, "exit 0 is expected if nothing is said")
        self.assertEqual(self.state(self.CASE, status=None), FAILED)
        self.assertEqual(self.state(self.CASE, trouble="hung"), FAILED)
        self.assertEqual(self.state(self.CASE, unavailable="no namespaces"), SKIPPED)

    def test_a_refusal_has_to_be_written_down(self):
        self.assertEqual(self.state(self.NEWER, **self.REFUSAL), REFUSED)
        self.assertEqual(self.state(self.NEWER, column="native", **self.REFUSAL), REFUSED)
        self.assertEqual(self.state(self.NEWER, column="6.1", **self.REFUSAL), FAILED)
        self.assertIn("no refusal is written down", judge(self.CASE, record(**self.REFUSAL), "6.1").why)

    def test_a_refusal_written_down_has_to_come(self):
        verdict = judge(self.NEWER, record(), "5.10")
        self.assertEqual(verdict.state, FAILED)
        self.assertIn("older than", verdict.why)
        self.assertEqual(self.state(self.NEWER, column="6.1"), PASSED)

    def test_a_refusal_is_one_sentence_and_exit_1(self):
        for change in (
            {"stderr": "apus: something else\n"},
            {"stderr": "libbpf: noise\napus: needs kernel 6.4\n"},
            {"stderr": ""},
            {"status": 2},
            {"status": None},
            {"stdout": "rows all the same"},
        ):
            with self.subTest(change):
                self.assertEqual(self.state(self.NEWER, **{**self.REFUSAL, **change}), FAILED)

    def test_one_that_may_refuse(self):
        case = one_case("run x\nmay refuse on native: kprobes\nexpect row comm=cat")
        self.assertEqual(self.state(case, "native"), PASSED)
        self.assertEqual(self.state(case, "native", stdout="", stderr="no kprobes", status=1), REFUSED)
        self.assertEqual(self.state(case, "native", stdout="", stderr="no memory", status=1), FAILED)
        self.assertEqual(self.state(case, "native", stdout="{}"), FAILED)
        self.assertEqual(self.state(case, "6.1", stdout="", stderr="no kprobes", status=1), FAILED)

    def test_the_running_kernel_by_its_series(self):
        case = one_case("run x\nrefuses on 6.18: needs\nexpect row comm=cat")
        self.assertEqual(self.state(case, "native", "6.18", **self.REFUSAL), REFUSED)
        self.assertEqual(self.state(case, "native", "6.19"), PASSED)

    def test_a_case_about_a_failure(self):
        case = one_case("run x\nexpect exit 1\nexpect stderr ~ needs kernel")
        self.assertEqual(self.state(case, "6.1", **self.REFUSAL), PASSED)
        self.assertEqual(self.state(case, "6.1"), FAILED)


class Recording(unittest.TestCase):
    FILES = {"stdout": b"{}\n", "status": b"0\n", "runner-status": b"0\n", "session": b"1\n", "pid": b"42\n",
             "variables": b"A=1\nA=2\nPATH=/bin\n", "started": b"1.5\n", "ended": b"3.0\n"}  # fmt: skip

    def read(self, native=False, hide=False, **changes):
        case = cases.Case("c", "n", "w", limit=9, hide_btf=hide)
        files = {**self.FILES, **{name.replace("_", "-"): value for name, value in changes.items()}}
        return records.to_record({k: v for k, v in files.items() if v is not None}, case, "/tmp/t/1", native)

    def test_a_record(self):
        seen = self.read()
        self.assertEqual((seen.status, seen.trouble, seen.seconds), (0, "", 1.5))
        self.assertEqual((seen.variables["A"], seen.variables["T"], seen.variables["PID"]), ("2", "/tmp/t/1", "42"))

    def test_trouble(self):
        self.assertIn("killed after 9 s", self.read(runner_status=b"137\n", status=None).trouble)
        self.assertIn("ever being ready", self.read(runner_status=b"137\n", waiting=b"waiting\n").trouble)
        self.assertIn("setup", self.read(part=b"setup\n", runner_status=b"1\n").trouble)
        self.assertIn("before it was ready", self.read(early=b"early\n").trouble)
        self.assertIn("2 MiB", self.read(cut=b"stdout\n").trouble)
        self.assertIn("runner failed", self.read(runner_status=b"2\n").trouble)

    def test_btf_that_cannot_be_hidden_is_a_skip_only_on_the_running_kernel(self):
        self.assertTrue(self.read(native=True, hide=True, session=None).unavailable)
        guest = self.read(native=False, hide=True, unavailable=b"no\n")
        self.assertEqual((guest.unavailable, guest.trouble), ("", "no"))

    def test_a_stream_that_breaks_off(self):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            info = tarfile.TarInfo("001/stdout")
            info.size = 3
            archive.addfile(info, io.BytesIO(b"hi\n"))
        encoded = base64.encodebytes(buffer.getvalue()).decode()
        text = f"boot 6.1.0\nbegin 001\n{encoded}end 001\nbegin 002\nAAAA\nend 002\nbegin 003\n"
        stream = records.read_stream(text)
        self.assertEqual((stream.release, stream.running, stream.complete), ("6.1.0", "003", False))
        self.assertEqual(stream.records, {"001": {"stdout": b"hi\n"}, "002": {}})
        self.assertTrue(records.read_stream(text.replace("begin 003", "done")).complete)
        self.assertEqual(records.read_stream("").release, "")


def sent(*identifiers: str) -> str:
    """What a guest sends of cases that ended."""
    text = ""
    for identifier in identifiers:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name, body in Recording.FILES.items():
                info = tarfile.TarInfo(f"{identifier}/{name}")
                info.size = len(body)
                archive.addfile(info, io.BytesIO(body))
        encoded = base64.encodebytes(buffer.getvalue()).decode()
        text += f"begin {identifier}\n{encoded}end {identifier}\n"
    return text


class Deaths(unittest.TestCase):
    """What a guest says in each boot, and what becomes of its cases."""

    def run_guest(self, *streams: str):
        boots = iter(streams)

        def boot(_kernel, _initramfs, folder, _patience, _column):
            (folder / "console").write_text("Kernel panic - not syncing\n")
            (folder / "results").write_text(next(boots))
            return ""

        three = {f"00{number}": cases.Case("c", f"case {number}", "w", run="x") for number in (1, 2, 3)}
        kernel = mock.Mock(release="6.1.0", modules=None)
        with tempfile.TemporaryDirectory() as work, mock.patch.object(columns, "_boot", boot), \
                mock.patch.object(columns.kernels, "get", return_value=kernel), \
                mock.patch.object(columns.bundle, "write_modules"):  # fmt: skip
            plan = columns.Plan(three, Path(work), b"", Path(work), [], 60)
            column = columns.run_guest("6.1", plan)
        self.assertEqual(list(boots), [])
        return [column.verdicts[identifier].state for identifier in sorted(three)], column.notes

    def test_a_guest_that_dies_once_is_booted_again_for_the_rest(self):
        first = "boot 6.1.0\n" + sent("001") + "begin 002\n"
        states, notes = self.run_guest(first, "boot 6.1.0\n" + sent("002", "003") + "done\n")
        self.assertEqual(states, [PASSED, PASSED, PASSED])
        self.assertIn("the guest died in 'c: case 2': Kernel panic", notes[0])
        self.assertIn("the 2 cases that were left", notes[0])

    def test_one_that_dies_twice_has_failed(self):
        states, notes = self.run_guest("boot 6.1.0\n" + sent("001") + "begin 002\n", "boot 6.1.0\nbegin 002\n")
        self.assertEqual(states, [PASSED, FAILED, FAILED])
        self.assertEqual(len(notes), 1)

    def test_one_that_lives_runs_once(self):
        states, notes = self.run_guest("boot 6.1.0\n" + sent("001", "002", "003") + "done\n")
        self.assertEqual((states, notes), ([PASSED, PASSED, PASSED], []))

    def test_limits_grow_with_the_load(self):
        with mock.patch.object(columns.os, "getloadavg", return_value=(6.0, 0, 0)), \
                mock.patch.object(columns.os, "cpu_count", return_value=2), \
                mock.patch.object(columns.time, "monotonic", return_value=1000.0):  # fmt: skip
            patience = columns.Patience(100)
            self.assertFalse(patience.is_over(since=650))
            self.assertTrue(patience.is_over(since=550))


class Reporting(unittest.TestCase):
    CASES = {"1": cases.Case("opensnoop", "a", "w"), "2": cases.Case("opensnoop", "b", "w")}

    def column(self, first: Verdict, second: Verdict) -> Column:
        return Column("6.1", "6.1 (6.1.0)", verdicts={"1": first, "2": second})

    def test_cells(self):
        passed, failed, skipped = Verdict(PASSED), Verdict(FAILED, "x"), Verdict(SKIPPED, "x")
        refused = Verdict(REFUSED, "apus opensnoop: needs a | b")
        self.assertEqual(report.cell([passed, skipped]), "works")
        self.assertEqual(report.cell([passed, refused, failed]), "FAILED")
        self.assertEqual(report.cell([skipped]), "skipped")
        self.assertEqual(report.cell([refused, refused], "opensnoop"), "refuses: needs a \\| b")
        self.assertEqual(report.cell([passed, refused], "opensnoop"), "in part: needs a \\| b")

    def test_the_table_in_the_readme(self):
        works = report.table([self.column(Verdict(PASSED), Verdict(PASSED))], self.CASES, markdown=True)
        self.assertEqual(works[-1], "| `opensnoop` | works |")
        with tempfile.TemporaryDirectory() as folder:
            readme = Path(folder, "README.md")
            self.assertFalse(report.readme_problem(readme, works)[1])
            readme.write_text(f"# A\n{report.BEGIN}\nold\n{report.END}\nB\n")
            self.assertIn("out of date", report.readme_problem(readme, works)[0])
            report.update_readme(readme, works)
            self.assertEqual(report.readme_problem(readme, works), ("", True))
            self.assertTrue(readme.read_text().startswith("# A\n") and readme.read_text().endswith("\nB\n"))
            refuses = report.table([self.column(Verdict(PASSED), Verdict(REFUSED, "no"))], self.CASES, markdown=True)
            self.assertIn("out of date", report.readme_problem(readme, refuses)[0])

    def test_failures_show_what_came_out(self):
        failed = Verdict(FAILED, "expected row a=1, but none", Record(stdout="rows", stderr="words", status=0))
        column = self.column(Verdict(PASSED), failed)
        column.console = "the last words"
        text = "\n".join(report.failures(column, self.CASES))
        for wanted in ("opensnoop: b", "expected row a=1", "rows", "words", "the last words"):
            self.assertIn(wanted, text)
        self.assertEqual(report.failures(self.column(Verdict(PASSED), Verdict(PASSED)), self.CASES), [])


class Kernels(unittest.TestCase):
    def test_the_newest_complete_kernel(self):
        names = ["linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64",
                 "linux-image-6.1.0-57-cloud-amd64-unsigned", "linux-image-6.1.0-60-amd64"]  # fmt: skip
        release, packages = kernels.newest(kernels.SOURCES["6.1"].package, names)
        self.assertEqual((release, packages), ("6.1.0-56-cloud-amd64", names[1:2]))
        whole = [f"linux-{part}-7.3.4+deb13-cloud-amd64" for part in ("base", "binary", "modules")]
        partly = ["linux-binary-7.10.1+deb13-cloud-amd64"]
        release, packages = kernels.newest(kernels.SOURCES["7.x"].package, whole + partly)
        self.assertEqual((release, packages), ("7.3.4+deb13-cloud-amd64", whole))
        self.assertIsNone(kernels.newest(kernels.SOURCES["7.x"].package, partly)[0])

    def test_an_archive_the_kernel_can_read(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "f").write_bytes(b"abcde")
            Path(folder, "l").symlink_to("f")
            content = bundle.archive(Path(folder))
        self.assertEqual(len(content) % 4, 0)
        self.assertEqual(content.count(b"070701"), 4)  # the folder, the file, the link, the trailer
        self.assertIn(b"abcde" + bytes(3) + b"070701", content)


if __name__ == "__main__":
    unittest.main()
