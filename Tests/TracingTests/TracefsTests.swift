// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Tracing

/// Format files of tracefs, as kernels write them.
@Suite struct TracefsTests {
    private static let head = """
        name: example
        ID: 42
        format:
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

        """

    @Test func fieldsHaveTypeOffsetSizeAndSign() {
        let fields = Tracefs.fields(
            format: Self.head + """
                \tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;
                \tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;
                \tfield:__data_loc char[] name;\toffset:32;\tsize:4;\tsigned:1;

                print fmt: "%s", REC->comm
                """)
        #expect(
            fields == [
                TracepointField(name: "comm", type: "char[16]", offset: 8, size: 16, isSigned: false),
                TracepointField(
                    name: "filename", type: "const char *", offset: 24, size: 8, isSigned: false),
                TracepointField(
                    name: "name", type: "__data_loc char[]", offset: 32, size: 4, isSigned: true),
            ])
    }

    @Test func namesOfFlagsAndValuesBelongToTheirField() throws {
        let fields = Tracefs.fields(
            format: Self.head + """
                \tfield:int state;\toffset:8;\tsize:4;\tsigned:1;
                \tfield:int state2;\toffset:12;\tsize:4;\tsigned:1;
                \tfield:int plain;\toffset:16;\tsize:4;\tsigned:1;

                print fmt: "%s %s", __print_symbolic(REC->state2, { 0, "A, \\"b\\")" }, { (1 << 2), "C" }), \
                __print_flags((REC->state & 0xf), "|", { 0x1, "S" }, { 0x2, "D" })
                """)
        #expect(fields[0].areFlags)
        #expect(fields[0].meanings.map(\.name) == ["S", "D"])
        #expect(fields[0].meanings.map(\.value) == ["0x1", "0x2"])
        #expect(!fields[1].areFlags)
        #expect(fields[1].meanings.map(\.value) == ["0", "(1 << 2)"])
        #expect(fields[1].meanings.map(\.name).last == "C")
        #expect(fields[2].meanings.isEmpty)
    }

    /// Text that is cut anywhere gives fewer fields, and no crash.
    @Test func aFormatThatIsCutIsReadAsFarAsItGoes() {
        let format =
            Self.head + """
                \tfield:int state;\toffset:8;\tsize:4;\tsigned:1;

                print fmt: "%s", __print_flags(REC->state, "|", { 0x1, "S\\"" }, { 0x2, "D" })
                """
        for length in 0...format.count {
            #expect(Tracefs.fields(format: String(format.prefix(length))).count <= 1)
        }
    }
}
