// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Symbolization

@Suite struct FrameTests {
    private let named = Frame(
        kind: .user, function: "f", functionOffset: 0x1f, module: "/usr/lib/libfoo.so.6",
        moduleOffset: 0x1234,
        buildID: "ab01", address: 0x7f00_0000_1234)

    @Test func aNameComesWithWhatIsAskedFor() {
        #expect(named.text(offset: false, module: false) == "f")
        #expect(named.text(offset: true, module: false) == "f+0x1f")
        #expect(named.text(offset: true, module: true) == "f+0x1f [libfoo.so.6]")
    }

    @Test func bracketsAreNotDoubled() {
        let frame = Frame(kind: .kernel, function: "g", module: "[nf_tables]", address: 1)
        #expect(frame.text(offset: true, module: true) == "g+0x0 [nf_tables]")
    }

    @Test func anInlinedFunctionHasNoOffset() {
        var frame = named
        frame.isInlined = true
        #expect(frame.text(offset: true, module: true) == "f [libfoo.so.6]")
    }

    @Test func aFrameWithoutANameSaysWhereItIs() {
        var frame = named
        frame.function = nil
        #expect(frame.text(offset: false, module: false) == "[unknown] libfoo.so.6+0x1234 (ab01)")
        frame.buildID = nil
        #expect(frame.text(offset: false, module: false) == "[unknown] libfoo.so.6+0x1234")
        frame.module = nil
        #expect(frame.text(offset: true, module: true) == "[unknown] 0x7f0000001234")
    }
}
