// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Symbolization

/// Debug files that a tool in the place of `debuginfod-find` fetches, or does not.
@Suite struct DebugFileServerTests {
    private let directory: TemporaryDirectory
    private let path: String
    private let debug: String
    private let buildID: String

    init() throws {
        directory = try TemporaryDirectory()
        path = try directory.file("target")
        debug = try directory.file("kept/target.debug")
        try Target.build(path, ["-pie", "-fPIE"])
        try output("objcopy", "--only-keep-debug", path, debug)
        try output("strip", "-s", path)
        buildID = hexadecimal(
            try #require(OpenFile(path: debug).flatMap { ELFFile(.file($0)) }?.buildID))
    }

    private final class Sentences { var all: [String] = [] }

    /// The frames of a function of the program, asked for when it has ended; and what was said.
    private func frames(tool script: String, patience: Double = 60) throws -> (
        without: [Frame], with: [Frame], said: [String]
    ) {
        let tool = try directory.file("tool")
        let text = "#!/bin/sh\necho \"$@\" >> \(directory.path)/calls\n" + script
        // By another process: what is open for writing here may be so in a child of another test, and then cannot
        // be executed.
        try output("sh", "-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", text, tool)
        let sentences = Sentences()
        let server = DebugFileServer(tool: tool, patience: patience) { sentences.all.append($0) }
        let target = try Target([path])
        let symbolizer = Symbolizer(options: SymbolizerOptions(), lines: DWARFLines())
        symbolizer.observe(process: target.pid)
        target.end()
        let address = try #require(target.places["sym_static"]) + 1
        func frames() -> [Frame] {
            symbolizer.frames(user: address, process: target.pid, isReturnAddress: false)
        }
        let before = frames()
        symbolizer.ask(server)
        let after = frames()
        _ = frames()
        server.conclude()
        return (before, after, sentences.all)
    }

    private var calls: [String] {
        let text = (try? String(contentsOfFile: directory.path + "/calls", encoding: .utf8)) ?? ""
        return text.split(separator: "\n").map(String.init)
    }

    @Test func aFetchedFileNamesFunctionsAndLines() throws {
        let result = try frames(tool: "echo noise >&2\necho \(debug)\n")
        #expect(result.without[0].function == nil && result.without[0].line == nil)
        #expect(result.with.last?.function == "sym_static")
        #expect(result.with.last?.file?.hasSuffix("sym_target.c") == true)
        #expect((result.with.last?.line ?? 0) > 0)
        #expect(calls == ["debuginfo \(buildID)"])
        #expect(result.said == [])
    }

    @Test func aFileOfAnotherBuildIsNotUsed() throws {
        let other = try directory.file("other")
        try Target.build(other, ["-no-pie"])
        let result = try frames(tool: "echo \(other)\n")
        #expect(result.with[0].function == nil)
        #expect(result.said.count == 1 && result.said[0].contains("another build"))
    }

    @Test func aToolThatFailsIsQuoted() throws {
        let result = try frames(tool: "echo 'Server query failed: Connection refused' >&2\nexit 1\n")
        #expect(result.with[0].function == nil)
        #expect(
            result.said.count == 1 && result.said[0].contains("'Server query failed: Connection refused'"))
        #expect(calls.count == 1)
    }

    @Test func aToolThatHangsIsEnded() throws {
        let start = DWARFTools.now()
        let result = try frames(
            tool: "echo $$ > \(directory.path)/pid\nexec sleep 600\n", patience: 0.5)
        #expect(DWARFTools.now() - start < 60)
        #expect(result.with[0].function == nil)
        #expect(result.said.count == 1 && result.said[0].contains("has not answered"))
        let text = try String(contentsOfFile: directory.path + "/pid", encoding: .utf8)
        let process = try #require(Int32(text.trimmingCharacters(in: .newlines)))
        #expect(kill(process, 0) != 0 && errno == ESRCH)
    }

    @Test func aToolThatIsMissingIsNoFailure() throws {
        let sentences = Sentences()
        let server = DebugFileServer(tool: directory.path + "/none") { sentences.all.append($0) }
        #expect(server.find(buildID: buildID, of: path) == nil)
        server.conclude()
        #expect(sentences.all.count == 1)
    }
}
