// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Symbolization

/// Programs built in all the ways in which code can get to an address.
@Suite struct TargetTests {
    private static let functions = [
        "sym_global", "sym_static", "sym_aliased", "sym_apart", "sym_label", "main",
    ]

    private static let variants: [[String]] = [
        ["-no-pie"], ["-fPIE", "-pie"], ["-static"], ["-static-pie", "-fPIE"],
        ["-no-pie", "-Wl,-Ttext-segment=0x10000000"], ["-pie", "-fPIE", "-Wl,-z,noseparate-code"],
        ["-no-pie", "-Wl,--section-start=.text.sym_apart=0x30000000"],
    ]

    @Test(arguments: variants) func functionsAreNamed(flags: [String]) throws {
        let directory = try TemporaryDirectory()
        let path = try directory.file("target")
        try Target.build(path, flags)
        let target = try Target([path])
        let symbolizer = Symbolizer(options: SymbolizerOptions())
        symbolizer.observe(process: target.pid)
        for function in Self.functions {
            let frame = try target.frame(function, symbolizer)
            #expect(frame.function == function)
            #expect(frame.functionOffset == 1 && frame.kind == .user && frame.module == path)
            let offset = "0x" + String(frame.moduleOffset, radix: 16)
            let reference = try output("addr2line", "-f", "-e", path, offset).split(separator: "\n")[0]
            #expect(function == "sym_aliased" ? reference.contains("sym_aliased") : reference == function)
        }
        let buildID = try output("readelf", "-n", path).components(separatedBy: "Build ID: ")[1].prefix(40)
        #expect(try target.frame("main", symbolizer).buildID == String(buildID))
    }

    @Test func aReturnAddressBelongsToTheCallBeforeIt() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.file("target")
        try Target.build(path, ["-no-pie"])
        let target = try Target([path])
        let symbolizer = Symbolizer(options: SymbolizerOptions())
        // No call of observe: it is done at first sight.
        let start = try #require(target.places["sym_static"])
        let own = symbolizer.frames(user: start, process: target.pid, isReturnAddress: false)[0]
        #expect(own.function == "sym_static" && own.functionOffset == 0 && own.moduleOffset == start)
        let before = symbolizer.frames(user: start, process: target.pid, isReturnAddress: true)[0]
        #expect(
            before.function != "sym_static" && before.moduleOffset == start - 1 && before.address == start)
        let within = symbolizer.frames(user: start + 4, process: target.pid, isReturnAddress: true)[0]
        #expect(
            within.function == "sym_static" && within.functionOffset == 4 && within.moduleOffset == start + 3)
    }

    /// A stripped copy of the program, and its debug file.
    private func stripped(_ directory: TemporaryDirectory) throws -> (path: String, debug: String) {
        let (path, debug) = (try directory.file("bin/target"), try directory.file("target.debug"))
        try Target.build(path, ["-pie", "-fPIE"])
        try output("objcopy", "--only-keep-debug", path, debug)
        try output("strip", "-s", path)
        return (path, debug)
    }

    private func name(_ function: String, _ path: String, debugRoot: String = "/usr/lib/debug") throws
        -> String?
    {
        let target = try Target([path])
        let symbolizer = Symbolizer(options: SymbolizerOptions(debugRoot: debugRoot))
        symbolizer.observe(process: target.pid)
        // Nothing is read before it is needed, and by then the process may be gone.
        target.end()
        return try target.frame(function, symbolizer).function
    }

    @Test func strippedFunctionsHaveNoNames() throws {
        let directory = try TemporaryDirectory()
        #expect(try name("sym_static", stripped(directory).path) == nil)
    }

    @Test(arguments: ["bin", "bin/.debug", "root"]) func aDebugLinkIsFollowed(place: String) throws {
        let directory = try TemporaryDirectory()
        let (path, debug) = try stripped(directory)
        try output("objcopy", "--add-gnu-debuglink=\(debug)", path)
        let root = directory.path + "/root"
        let folder = place == "root" ? "root" + (path as NSString).deletingLastPathComponent : place
        try FileManager.default.moveItem(atPath: debug, toPath: directory.file(folder + "/target.debug"))
        #expect(try name("sym_static", path, debugRoot: root) == "sym_static")
        #expect(try name("sym_label", path, debugRoot: root) == "sym_label")
    }

    @Test func aDebugLinkWithAnotherChecksumIsNot() throws {
        let directory = try TemporaryDirectory()
        let (path, debug) = try stripped(directory)
        try output("objcopy", "--add-gnu-debuglink=\(debug)", path)
        let moved = try directory.file("bin/target.debug")
        try FileManager.default.moveItem(atPath: debug, toPath: moved)
        let handle = try #require(FileHandle(forWritingAtPath: moved))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data([0]))
        #expect(try name("sym_static", path) == nil)
    }

    @Test func aDebugFileIsFoundByBuildID() throws {
        let directory = try TemporaryDirectory()
        let (path, debug) = try stripped(directory)
        let buildID = try output("readelf", "-n", path).components(separatedBy: "Build ID: ")[1].prefix(40)
        let place = "root/.build-id/\(buildID.prefix(2))/\(buildID.dropFirst(2)).debug"
        try FileManager.default.moveItem(atPath: debug, toPath: directory.file(place))
        #expect(try name("sym_static", path, debugRoot: directory.path + "/root") == "sym_static")
        // One that says another build ID is not believed.
        try Target.build(directory.file("other"), ["-no-pie", "-O2"])
        try FileManager.default.removeItem(atPath: directory.file(place))
        try FileManager.default.moveItem(atPath: directory.file("other"), toPath: directory.file(place))
        #expect(try name("sym_static", path, debugRoot: directory.path + "/root") == nil)
    }

    @Test(.require(.tool("xz"))) func symbolsInDebugDataAreFound() throws {
        let directory = try TemporaryDirectory()
        let (path, debug) = try stripped(directory)
        let packed = try directory.file("mini")
        try output("objcopy", "-S", "--keep-symbol=sym_static", "--keep-symbol=main", debug, packed)
        try output("xz", packed)
        try output("objcopy", "--add-section=.gnu_debugdata=\(packed).xz", path)
        #expect(try name("sym_static", path) == "sym_static")
        #expect(try name("main", path) == "main")
        #expect(try name("sym_global", path) != "sym_global")
    }

    @Test func linesAndInlinedFunctionsComeFromTheProvider() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.file("target")
        try Target.build(path, [])
        let target = try Target([path])
        let provider = FixedLines()
        let symbolizer = Symbolizer(options: SymbolizerOptions(), lines: provider)
        let address = try #require(target.places["main"]) + 2
        let frames = symbolizer.frames(user: address, process: target.pid, isReturnAddress: false)
        #expect(frames.map(\.function) == ["ns::inner()", "main"])
        #expect(frames.map(\.isInlined) == [true, false])
        #expect(frames.map(\.line) == [3, 7] && frames.map(\.file) == ["inner.h", "outer.c"])
        #expect(frames.allSatisfy { $0.address == address && $0.functionOffset == 2 })
        #expect(provider.asked == [path] && provider.descriptorWasOpen)
    }
}

private final class FixedLines: LineProvider {
    var asked: [String] = []
    var descriptorWasOpen = false

    func lines(
        module: ModuleIdentity, address: UInt64
    ) -> [(function: String?, file: String, line: Int, inlined: Bool)] {
        asked.append(module.path)
        descriptorWasOpen = fcntl(module.file, F_GETFD) >= 0
        return [("_ZN2ns5innerEv", "inner.h", 3, true), ("other", "outer.c", 7, false)]
    }
}
