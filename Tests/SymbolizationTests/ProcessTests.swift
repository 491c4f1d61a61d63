// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Symbolization

/// Processes whose files are not, or no longer, where their mappings say, and memory without files.
@Suite struct ProcessTests {
    private func program(_ directory: TemporaryDirectory, _ flags: [String] = ["-no-pie"]) throws -> String {
        let path = try directory.file("target")
        try Target.build(path, flags)
        return path
    }

    private func symbolizer(observing target: Target) -> Symbolizer {
        let symbolizer = Symbolizer(options: SymbolizerOptions())
        symbolizer.observe(process: target.pid)
        return symbolizer
    }

    @Test func aProcessThatHasEndedIsRemembered() throws {
        let directory = try TemporaryDirectory()
        let target = try Target([program(directory)])
        let symbolizer = symbolizer(observing: target)
        target.end()
        unlink(directory.path + "/target")
        // Nothing can be read any more, but nothing is lost either.
        symbolizer.observe(process: target.pid)
        #expect(try target.frame("sym_static", symbolizer).function == "sym_static")
        symbolizer.forget(process: target.pid)
        let frame = try target.frame("sym_static", symbolizer)
        #expect(
            frame.function == nil && frame.module == nil
                && frame.address == target.places["sym_static", default: 0] + 1)
    }

    @Test(.require(.root)) func aDeletedProgramIsRead() throws {
        let directory = try TemporaryDirectory()
        let path = try program(directory)
        let target = try Target([path])
        unlink(path)
        let frame = try target.frame("sym_static", symbolizer(observing: target))
        #expect(frame.function == "sym_static" && frame.module == path)
    }

    /// Also without the right to follow map_files: then through /proc/PID/exe.
    @Test func aReplacedProgramIsNotTakenForTheOldOne() throws {
        let directory = try TemporaryDirectory()
        let path = try program(directory)
        let target = try Target([path])
        unlink(path)
        // Other code at the same addresses.
        try "int main(void) { return 0; } int other(void) { return 1; }".write(
            toFile: directory.file("other.c"), atomically: false, encoding: .utf8)
        try output("cc", "-no-pie", directory.file("other.c"), "-o", path)
        #expect(try target.frame("sym_static", symbolizer(observing: target)).function == "sym_static")
    }

    @Test func aFileThatIsOverwrittenIsReadAgain() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.file("library.so")
        func build(_ name: String) throws {
            let source = try directory.file("\(name).c")
            try "int \(name)(int a) { return a + 1; }".write(
                toFile: source, atomically: false, encoding: .utf8)
            try output("cc", "-shared", "-fPIC", "-nostdlib", source, "-o", directory.file(name))
        }
        try build("before")
        try build("after_")
        func overwrite(_ name: String) throws {
            // In place: the inode stays.
            let data = try Data(contentsOf: URL(fileURLWithPath: directory.file(name)))
            let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o755)
            #expect(data.withUnsafeBytes { write(file, $0.baseAddress, $0.count) } == data.count)
            close(file)
        }
        try overwrite("before")
        // The kernel's clock for this is coarse: the second version must not have the same time.
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 1_000_000_000)], ofItemAtPath: path)
        let target = try Target([program(directory)], environment: ["LD_PRELOAD": path])
        let symbolizer = symbolizer(observing: target)
        let maps = try String(contentsOfFile: "/proc/\(target.pid)/maps", encoding: .utf8)
        let mapping = try #require(Mapping.executable(in: Array(maps.utf8)).first { $0.cleanPath == path })
        func name() -> String? {
            symbolizer.frames(user: mapping.start + 2, process: target.pid, isReturnAddress: false)[0]
                .function
        }
        #expect(name() == "before")
        try overwrite("after_")
        symbolizer.observe(process: target.pid)
        #expect(name() == "after_")
        // A file that is cut gives no names, and nothing worse.
        #expect(truncate(path, 100) == 0)
        symbolizer.observe(process: target.pid)
        // A cut file can kill the program that has it mapped; one that has ended stays as it is known.
        let left = (try? String(contentsOfFile: "/proc/\(target.pid)/maps", encoding: .utf8)) ?? ""
        #expect(name() == nil || left.isEmpty)
    }

    @Test func librariesThatAreLoadedLaterAreFound() throws {
        try require(.tool("python3"))
        let directory = try TemporaryDirectory()
        let source = try directory.file("late.c")
        try "int late(int a) { return a + 1; }".write(toFile: source, atomically: false, encoding: .utf8)
        let library = try directory.file("late.so")
        try output("cc", "-shared", "-fPIC", source, "-o", library)
        let script = """
            import ctypes, sys, os
            print("main 1\\npid", os.getpid(), flush=True)
            sys.stdin.buffer.raw.read(1)
            late = ctypes.CDLL("\(library)")
            print("late", ctypes.cast(late.late, ctypes.c_void_p).value, flush=True)
            sys.stdin.buffer.raw.read(1)
            """
        let target = try Target(["python3", "-c", script])
        let symbolizer = symbolizer(observing: target)
        let address = try #require(try target.ask("late"))
        let before = symbolizer.frames(user: address, process: target.pid, isReturnAddress: false)[0]
        // Just observed: not again for each unknown address.
        #expect(before.function == nil || before.function == "late")
        symbolizer.observe(process: target.pid)
        let frame = symbolizer.frames(user: address, process: target.pid, isReturnAddress: false)[0]
        #expect(frame.function == "late" && frame.module == library && frame.functionOffset == 0)
        let opened = symbolizer.statistics.filesOpened
        symbolizer.observe(process: target.pid)
        #expect(symbolizer.statistics.filesOpened == opened)
    }

    /// As in a container: the path leads elsewhere for us.
    @Test(.require(.root), .require(.tool("unshare"))) func pathsAreThoseOfTheProcessesRoot() throws {
        let directory = try TemporaryDirectory()
        let path = try program(directory)
        try output("strip", "-o", directory.file("real/target"), path)
        try output("objcopy", "--only-keep-debug", path, directory.file("real/.debug/target.debug"))
        try output(
            "objcopy", "--add-gnu-debuglink=\(directory.file("real/.debug/target.debug"))",
            directory.file("real/target"))
        _ = try directory.file("shown/x")
        let shown = directory.path + "/shown"
        let target = try Target([
            "unshare", "-m", "-f", "sh", "-c",
            "mount --bind \(directory.path)/real \(shown) && exec \(shown)/target",
        ])
        let inner = try #require(Int32(exactly: target.places["pid", default: 0]))
        #expect(access(shown + "/target", F_OK) != 0)
        let symbolizer = Symbolizer(options: SymbolizerOptions())
        symbolizer.observe(process: inner)
        let address = try #require(target.places["sym_static"])
        let frame = symbolizer.frames(user: address, process: inner, isReturnAddress: false)[0]
        // The name is in the debug file, which only the process's root leads to.
        #expect(frame.function == "sym_static" && frame.module == shown + "/target")
        target.end()
        kill(inner, SIGKILL)
    }

    @Test func theVDSOIsNamed() throws {
        let directory = try TemporaryDirectory()
        let target = try Target([program(directory)])
        let symbolizer = symbolizer(observing: target)
        let maps = try String(contentsOfFile: "/proc/\(target.pid)/maps", encoding: .utf8)
        let all = Mapping.executable(in: Array(maps.utf8))
        let vdso = try #require(all.first { $0.cleanPath == "[vdso]" })
        let frames = stride(from: vdso.start, to: vdso.end, by: 16).map {
            symbolizer.frames(user: $0, process: target.pid, isReturnAddress: false)[0]
        }
        #expect(frames.contains { $0.function?.contains("clock_gettime") ?? false })
        #expect(frames.allSatisfy { $0.module == "[vdso]" && $0.moduleOffset == $0.address - vdso.start })
        let page = all.first { $0.cleanPath == "[vsyscall]" }
        try require(Requirement("this kernel has no vsyscall page", isExpected: false, isMet: page != nil))
        let vsyscall = try #require(page)
        let frame = symbolizer.frames(
            user: vsyscall.start + 0x400, process: target.pid, isReturnAddress: false)[0]
        #expect(frame.text(offset: true, module: true) == "time+0x0 [vsyscall]")
    }

    @Test func memoryIsBounded() throws {
        let directory = try TemporaryDirectory()
        let target = try Target([program(directory)])
        let maps = try String(contentsOfFile: "/proc/\(target.pid)/maps", encoding: .utf8)
        let all = Mapping.executable(in: Array(maps.utf8)).filter { $0.inode != 0 }
        let small = Symbolizer(options: SymbolizerOptions(memoryLimit: 12_000))
        let large = Symbolizer(options: SymbolizerOptions())
        for place in UInt64(1)...64 {
            for mapping in all {
                for address in stride(from: mapping.start, to: mapping.end, by: 4096) {
                    let query = (address + place * 64 - 1, target.pid)
                    let frame = small.frames(user: query.0, process: query.1, isReturnAddress: false)[0]
                    let expected = large.frames(user: query.0, process: query.1, isReturnAddress: false)[0]
                    // Fewer symbols of one file fit, but none gets another place.
                    if frame.function != nil { #expect(frame.functionOffset == expected.functionOffset) }
                }
            }
        }
        #expect(small.statistics.evictions > 0)
        #expect(large.statistics.evictions == 0 && large.statistics.bytesHeld > small.statistics.bytesHeld)
        #expect(large.statistics.misses < large.statistics.lookups)
        #expect(try target.frame("sym_static", small).function == "sym_static")
    }

    @Test func whatIsNotThereHasNoFrames() {
        let symbolizer = Symbolizer(options: SymbolizerOptions())
        for process in [-1, 0, Int32.max] as [Int32] {
            symbolizer.observe(process: process)
            let frames = symbolizer.frames(user: 0x1234, process: process, isReturnAddress: true)
            #expect(frames == [Frame(kind: .user, moduleOffset: 0x1234, address: 0x1234)])
            symbolizer.forget(process: process)
        }
        #expect(symbolizer.statistics.misses == 3 && symbolizer.statistics.lookups == 3)
        symbolizer.observe(process: getpid())
        for address in [0, 1, UInt64.max, 1 << 63] {
            #expect(symbolizer.frames(user: address, process: getpid(), isReturnAddress: true).count == 1)
        }
    }
}
