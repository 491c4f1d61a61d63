// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Commands
@testable import Reporting

private func read(_ text: String, piece: Int) -> (profile: Profile?, complaint: String?) {
    var reader = RecordingReader(FoldedReader())
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let part = Array(rest.prefix(piece))
        part.withUnsafeBytes { reader.read($0) }
        rest = rest.dropFirst(part.count)
    }
    return reader.finish()
}

private func folded(_ profile: Profile) -> String {
    let writer = ByteWriter()
    FoldedStacks().write(profile, to: writer)
    return writer.text
}

private func frame(_ kind: String, _ function: String) -> String {
    #"{"kind":"\#(kind)","address":1,"function":"\#(function)","inlined":false}"#
}

@Suite struct StackRecordingTests {
    @Test(arguments: [7, 100_000])
    func stacksOfJSONAreThoseOfFoldedOutput(piece: Int) {
        let leafFirst = [frame("kernel", "schedule"), frame("user", "main")].joined(separator: ",")
        let text = """
            what the traced program has printed 1
            {"type":"stack","comm":"app","wall_ns":5,"state":"on-cpu","frames":[\(frame("user", "main"))]}
            {"type":"stack","comm":"app","wall_ns":7,"state":"off-cpu","wait":"lock","frames":[\(leafFirst)]}
            {"type":"stack","comm":"app","wall_ns":1,"state":"off-cpu","wait":"poll","proc_stack":["a","b"],"frames":[]}
            {"type":"something else"}
            """
        let (profile, complaint) = read(text, piece: piece)
        #expect(profile?.valueTypes.map(\.name) == ["wall"])
        #expect(
            profile.map(folded) == """
                app;b;a;[off-CPU: poll] 1
                app;main 5
                app;main;schedule;[off-CPU: lock] 7

                """)
        #expect(complaint == "2 lines are not stacks")
    }

    @Test func theWakerIsAboveTheBlockedStackAndUpsideDown() {
        let waker = "[" + [frame("kernel", "wake"), frame("user", "unlock")].joined(separator: ",") + "]"
        let text = """
            {"type":"stack","comm":"a","off_cpu_ns":3,"waker":{"comm":"b","frames":\(waker)},"frames":[\(frame("user", "f"))]}
            """
        #expect(read(text, piece: .max).profile.map(folded) == "a;f;--;wake;unlock;b 3\n")
    }

    @Test(arguments: [3, 100_000])
    func foldedStacksAreReadAsBefore(piece: Int) {
        let text = "a;b 2\na;c 1\nnonsense\n"
        let (profile, complaint) = read(text, piece: piece)
        #expect(profile.map(folded) == "a;b 2\na;c 1\n")
        #expect(complaint == "1 lines are not folded stacks, the first is line 3")
    }

    @Test func damagedObjectsAreCounted() {
        let text = """
            {"type":"stack","comm":"a","samples":3,"frames":[]}
            {"type":"stack","comm":"a","samples":-3,"frames":[]}
            {"type":"stack","comm":"a","samples":99999999999999999999,"frames":[]}
            {"type":"stack","comm":"a","off_cpu_ns":3,"frames":[]}
            {"type":"st
            """
        let (profile, complaint) = read(text, piece: .max)
        #expect(profile?.totals == [3])
        #expect(complaint == "4 lines are not stacks")
    }
}
