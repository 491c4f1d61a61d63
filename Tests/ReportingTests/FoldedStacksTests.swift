// SPDX-License-Identifier: Apache-2.0
import TestSupport
import Testing

@testable import Reporting

private func folded(_ profile: Profile, _ change: (inout FoldedStacks) -> Void = { _ in }) -> String {
    var stacks = FoldedStacks()
    change(&stacks)
    let writer = ByteWriter()
    stacks.write(profile, to: writer)
    return writer.text
}

/// Reads the text in pieces of this many bytes.
private func read(_ text: String, piece: Int = .max) -> FoldedReader {
    var reader = FoldedReader()
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let part = Array(rest.prefix(piece))
        part.withUnsafeBytes { reader.read($0) }
        rest = rest.dropFirst(part.count)
    }
    reader.finish()
    return reader
}

private let mixed: Profile = {
    var profile = Profile(valueTypes: [.samples, .init(name: "off_cpu", unit: "nanoseconds")])
    let user = [Frame(.user, "main"), Frame(.inlined, "helper"), Frame(.jit, "script")]
    let kernel = [Frame(.kernel, "do_syscall_64"), Frame(.kernel, "schedule")]
    profile.add(user + kernel, values: [3, 1_500_000], labels: [.init("process", "app")])
    profile.add(user, values: [2, 2_499], labels: [.init("process", "app"), .init("thread", "t1")])
    profile.add(user, values: [4, 1_000], labels: [.init("process", "app"), .init("thread", "t2")])
    profile.add(kernel, values: [1, 499], labels: [.init("process", "kworker/0:1")])
    return profile
}()

@Suite struct FoldedStacksTests {
    @Test func linesAreRootFirstMergedAndSorted() {
        #expect(
            folded(mixed) == """
                app;main;helper;script 6
                app;main;helper;script;do_syscall_64;schedule 3
                kworker/0:1;do_syscall_64;schedule 1

                """)
    }

    @Test func timeOffTheCPUIsToldApartFromTimeOnIt() {
        let main = Frame(.user, "main")
        var profile = Profile()
        profile.add([main, Frame(.kernel, "schedule", address: 1)], values: [1])
        profile.add([main, Frame(.offCPU, "schedule", address: 1), .offCPU("lock")], values: [2])
        let text = folded(profile) { $0.annotate = true }
        #expect(text == "main;schedule_[k] 1\nmain;schedule_[k];[off-CPU: lock] 2\n")
        let again = read(text).profile
        #expect(again[1].frames.map(\.kind) == [.user, .kernel, .offCPU])
    }

    @Test func annotationsAndDelimiterAreThoseOfBCC() {
        let text = folded(mixed) {
            $0.annotate = true
            $0.delimiter = "-"
        }
        #expect(
            text == """
                app;main;helper_[i];script_[j] 6
                app;main;helper_[i];script_[j];-;do_syscall_64_[k];schedule_[k] 3
                kworker/0:1;do_syscall_64_[k];schedule_[k] 1

                """)
    }

    @Test func theDivisorRoundsAndDropsWhatIsNothing() {
        let text = folded(mixed) {
            $0.value = 1
            $0.divisor = 1000
        }
        #expect(text == "app;main;helper;script 3\napp;main;helper;script;do_syscall_64;schedule 1500\n")
    }

    @Test func groupsAreTheLabelsAskedFor() {
        let text = folded(mixed) { $0.groups = ["process", "thread"] }
        #expect(
            text.hasPrefix("app;main;helper;script;do_syscall_64;schedule 3\napp;t1;main;helper;script 2\n"))
        #expect(folded(mixed) { $0.groups = [] }.hasPrefix("do_syscall_64;schedule 1\nmain;"))
    }

    @Test(arguments: [
        ("a;b", "a:b"), ("a\nb\rc", "a b c"), ("a\u{2028}b", "a b"), ("esc\u{1b}[0m", "esc\u{fffd}[0m"),
        ("worker 12", "worker_12"), ("f 1.5", "f_1.5"), ("f(int 12)", "f(int 12)"), ("12", "12"),
        ("C:\\x", "C:\\x"), ("日本", "日本"),
    ])
    func namesCannotBreakALine(name: String, expected: String) {
        var profile = Profile()
        profile.add([Frame(.user, name)], values: [7])
        #expect(folded(profile) == expected + " 7\n")
    }

    @Test func framesWithoutNamesAndStacksWithoutFramesAreKept() {
        var profile = Profile()
        profile.add([Frame(.user, "", module: "/lib/libx.so.1"), Frame(.user, "")], values: [1])
        profile.add([Frame](), values: [2])
        #expect(folded(profile) == "[no stack] 2\n[unknown] libx.so.1;[unknown] 1\n")
    }

    @Test func whatIsWrittenIsReadBack() {
        for seed in 1...50 as ClosedRange<UInt64> {
            var random = SeededGenerator(seed: seed)
            var profile = Profile()
            for _ in 0..<30 {
                let frames = (0..<Int.random(in: 1...6, using: &random)).map { _ in
                    Frame(.allCases[Int.random(in: 0..<4, using: &random)], "x" + random.text(most: 6) + "y")
                }
                profile.add(frames, values: [UInt64.random(in: 1...1000, using: &random)])
            }
            let text = folded(profile) { $0.annotate = true }
            let reader = read(text, piece: Int.random(in: 1...200, using: &random))
            #expect(reader.badLines == 0)
            #expect(reader.profile.totals == profile.totals)
            #expect(folded(reader.profile) { $0.annotate = true } == text)
        }
    }
}

@Suite struct FoldedReaderTests {
    @Test func linesOfOtherToolsAreUnderstood() {
        let text = """
            a;b c(int, char);d_[k] 5\r
            \t
            a;;b;  12
            a;- ;--;k_[k]\t3
            ;a;inl_[i];jit_[j] 1
            _[k] 2
            """
        for piece in [1, 2, 7, .max] {
            let reader = read(text, piece: piece)
            #expect(reader.badLines == 0)
            #expect(reader.lineCount == 6)
            #expect(reader.profile.totals == [23])
            #expect(
                reader.profile[0].frames == [
                    Frame(.user, "a"), Frame(.user, "b c(int, char)"), Frame(.kernel, "d"),
                ])
            #expect(reader.profile[1].frames == [Frame(.user, "a"), Frame(.user, "b")])
            #expect(reader.profile[2].frames.map(\.kind) == [.user, .user, .marker, .kernel])
            #expect(reader.profile[3].frames.map(\.kind) == [.user, .inlined, .jit])
            #expect(reader.profile[4].frames == [Frame(.user, "_[k]")])
        }
    }

    @Test(
        arguments: [
            ("a;b", .noCount), ("a;b c", .noCount), ("a -1", .noCount), ("a 1e3", .noCount),
            ("a 0x1", .noCount),
            ("a .5", .noCount), ("a 1.2.3", .noCount), ("12", .noStack), (" 12", .noStack),
            (";; 3", .noStack),
            ("a 99999999999999999999", .countTooLarge), ("a 9223372036854775808", .countTooLarge),
        ] as [(String, FoldedReader.Problem)])
    func badLinesAreCountedAndNamed(line: String, problem: FoldedReader.Problem) {
        let reader = read("good 1\n\n" + line + "\ngood 2\n" + line)
        #expect(reader.badLines == 2)
        #expect(reader.firstBadLine?.number == 3)
        #expect(reader.firstBadLine?.problem == problem)
        #expect(reader.profile.totals == [3])
        #expect(reader.profile.count == 1)
    }

    @Test func fractionsKeepTheSum() {
        let reader = read(String(repeating: "a;b 0.1\n", count: 10) + "c 2.0\nd 1.75\nd 1.25\n")
        #expect(reader.fractions == 12)
        #expect(reader.profile.totals == [6])
    }

    @Test func sumsNeverOverflow() {
        let reader = read(String(repeating: "a;b 9223372036854775807\n", count: 3) + "c 5\n")
        #expect(reader.badLines == 0)
        #expect(reader.profile.totals == [9_223_372_036_854_775_807])
        let writer = ByteWriter()
        FlameGraph(reader.profile).writeSVG(to: writer)
        #expect(writer.count > 0)
    }

    @Test(arguments: [1 << 16, .max])
    func longLinesAreSkipped(piece: Int) {
        let long = String(repeating: "x", count: FoldedReader.longestLine - 2)
        let reader = read("\(long) 1\n\(long)y 2\nz 3\n\(long)y 4", piece: piece)
        #expect(reader.badLines == 2)
        #expect(reader.firstBadLine?.number == 2)
        #expect(reader.firstBadLine?.problem == .lineTooLong)
        #expect(reader.profile.totals == [4])
    }

    @Test func deepStacksAreCutAndSaySo() {
        let frames = Array(repeating: "f", count: 5000).joined(separator: ";")
        let reader = read("\(frames) 1\n\(frames);g 2\n\(frames.prefix(2 * 4096 - 1)) 4\n")
        #expect(reader.cutStacks == 2)
        #expect(reader.profile.count == 2)
        #expect(reader.profile[0].frames.count == FoldedReader.deepestStack + 1)
        #expect(reader.profile[0].frames.last?.kind == .marker)
        #expect(reader.profile[0].values == [3])
        #expect(reader.profile[1].frames.count == FoldedReader.deepestStack)
    }

    @Test func whatLinesShareIsNotMistaken() {
        let reader = read("a;bc;d 1\na;b 2\na;bc 4\na;bc;de 8\na;bc;d 16\na 32\n")
        let found = (0..<reader.profile.count).map { index in
            reader.profile[index].frames.map(\.function).joined(separator: ";")
                + " \(reader.profile[index].values[0])"
        }
        #expect(found == ["a;bc;d 17", "a;b 2", "a;bc 4", "a;bc;de 8", "a 32"])
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func anyBytesAreSurvived(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var reader = FoldedReader()
        for _ in 0..<200 {
            var bytes = random.bytes(most: 30)
            if Bool.random(using: &random) { bytes += Array(" 7\n".utf8) }
            bytes.withUnsafeBytes { reader.read($0) }
        }
        reader.finish()
        let sum = (0..<reader.profile.count).reduce(0) { $0 + reader.profile[$1].values[0] }
        #expect([sum] == reader.profile.totals)
    }
}
