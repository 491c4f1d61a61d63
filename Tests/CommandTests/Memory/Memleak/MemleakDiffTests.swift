// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Testing

@testable import Commands
@testable import Reporting

private func frame(_ function: String, line: Int = 1, address: UInt64 = 1) -> String {
    #"{"kind":"user","address":\#(address),"function":"\#(function)","module":"/bin/app","#
        + #""file":"/src/a.c","line":\#(line),"module_offset":\#(address),"inlined":false}"#
}

private func stack(_ bytes: Int, _ blocks: Int, _ frames: String...) -> String {
    #"{"type":"stack","pid":1,"bytes":\#(bytes),"allocations":\#(blocks),"gained_bytes":0,"#
        + #""estimated":false,"frames":[\#(frames.joined(separator: ","))]}"# + "\n"
}

private func report(stacks: Int) -> String {
    #"{"type":"report","number":1,"stacks":\#(stacks),"bytes":1,"allocations":1,"estimated":false}"# + "\n"
}

private func read(_ text: String) throws -> (profile: Profile, complaint: String?) {
    var reader = RecordingReader(FoldedReader())
    Array(text.utf8).withUnsafeBytes { reader.read($0) }
    let (profile, complaint) = reader.finish()
    return (try #require(profile), complaint)
}

private func text(_ difference: MemleakDiff, most: Int = .max) -> String {
    let writer = ByteWriter()
    difference.writeText(most: most, isEstimate: false, to: writer)
    return writer.text
}

@Suite struct MemleakDiffTests {
    @Test func theLastReportOfARecordingCounts() throws {
        let (profile, complaint) = try read(
            stack(5, 1, frame("early")) + report(stacks: 1)
                + #"{"type":"allocation","time_ns":1,"tid":1,"comm":"a","address":1,"bytes":1}"# + "\n"
                + stack(10, 2, frame("f"), frame("main")) + report(stacks: 3)
                + #"{"type":"growth","verdict":"suspect","bytes":10,"frames":[]}"# + "\n"
                + stack(7, 1, frame("cut short")))
        #expect(profile.valueTypes.map(\.name) == ["inuse_space", "inuse_objects"])
        #expect(profile.totals == [10, 2])
        #expect(profile[0].frames.map(\.function) == ["main", "f"])
        #expect(complaint == "2 stacks are not in it: record with a larger -T")
    }

    @Test func aReportWithoutStacksIsNothingInUse() throws {
        let (profile, complaint) = try read(
            stack(5, 1, frame("early")) + report(stacks: 1) + report(stacks: 0))
        #expect(profile.totals == [0, 0])
        #expect(complaint == nil)
    }

    @Test func gainsAndLossesAreSorted() throws {
        let before = try read(
            stack(100, 1, frame("same")) + stack(50, 5, frame("gone", line: 7)) + stack(10, 1, frame("more"))
                + report(stacks: 3)
        ).profile
        let after = try read(
            stack(100, 1, frame("same", line: 2, address: 9)) + stack(30, 3, frame("more"))
                + stack(5, 1, frame("new", line: 8)) + report(stacks: 3)
        ).profile
        let difference = MemleakDiff(before: before, after: after)
        #expect(difference.changes.map(\.bytes) == [-50, 5, 20])
        #expect(difference.changes.map(\.blocks) == [-5, 1, 2])
        #expect(
            text(difference, most: 2) == """
                Top 2 of 3 stacks that have changed: -25 bytes in -2 allocations, from 160 bytes in 7 to 135 \
                bytes in 5
                \t-50 bytes in -5 allocations, from 50 bytes in 5 to 0 bytes in 0, from stack
                \t\tgone a.c:7 [app]
                \t+20 bytes in +2 allocations, from 10 bytes in 1 to 30 bytes in 3, from stack
                \t\tmore a.c:1 [app]

                """)
        let byCount = MemleakDiff(before: after, after: before, byCount: true)
        #expect(byCount.changes.map(\.blocks) == [-2, -1, 5])
    }

    @Test func linesThatDifferAreNotShown() throws {
        let before = try read(stack(1, 1, frame("f", line: 3)) + report(stacks: 1)).profile
        let after = try read(
            stack(2, 1, frame("f", line: 3)) + stack(4, 1, frame("f", line: 4)) + report(stacks: 2)
        ).profile
        let difference = MemleakDiff(before: before, after: after)
        #expect(difference.changes.map(\.after) == [MemleakDiff.Amount(bytes: 6, blocks: 2)])
        #expect(text(difference).hasSuffix("\t\tf a.c [app]\n"))
    }

    @Test func foldedStacksHaveNoBlocks() {
        var (before, after) = (FoldedReader(), FoldedReader())
        before.read("main;f 5\nmain;g 1\n")
        after.read("main;f 15\nmain;g 1\n")
        #expect(
            text(MemleakDiff(before: before.profile, after: after.profile)) == """
                Top 1 of 1 stacks that have changed: +10 bytes, from 6 bytes to 16 bytes
                \t+10 bytes, from 5 bytes to 15 bytes, from stack
                \t\tf
                \t\tmain

                """)
    }

    @Test(arguments: [
        ["a"], ["a", "b", "c"], ["a", "b", "-p", "1"], ["a", "b", "--growth"], ["a", "b", "--pprof", "x"],
        ["a", "b", "--", "ls"],
    ])
    func wrongUsage(words: [String]) {
        #expect(throws: (any Error).self) { try Memleak.parse(["--diff"] + words) }
    }

    @Test func options() throws {
        let parsed = try Memleak.parse(["--diff", "a", "b", "-T", "5", "--json", "--flamegraph", "x.svg"])
        #expect(parsed.diff == ["a", "b"])
        #expect(parsed.top == 5)
    }
}
