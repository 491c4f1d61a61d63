// SPDX-License-Identifier: Apache-2.0
import Foundation
import Symbolization
import TestSupport
import Testing

@testable import Probing

/// A program that waits for its standard input to end.
private final class Waiting {
    private let process = Process()
    private let input = Pipe()

    init(_ path: String, preloading library: String? = nil) throws {
        process.executableURL = URL(fileURLWithPath: path)
        process.standardInput = input
        process.standardOutput = FileHandle.nullDevice
        if let library { process.environment = ["LD_PRELOAD": library] }
        try process.run()
    }

    deinit {
        // Threads of Dispatch block other signals, and children inherit that.
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    var id: Int32 { process.processIdentifier }

    /// What is found once it sleeps, waiting: all is loaded then.
    func allocators(_ names: AllocatorNames = AllocatorNames(), objects: [String] = []) throws
        -> [FoundAllocator]
    {
        let deadline = Date() + 60
        while Date() < deadline, process.isRunning {
            let call = try? String(contentsOfFile: "/proc/\(id)/syscall", encoding: .utf8)
            // read(0, …)
            if call?.hasPrefix("0 0x0 ") == true {
                return AllocatorFinder(process: id, names: names, objects: objects).look()
            }
            usleep(2_000)
        }
        Issue.record("the program \(process.isRunning ? "does not wait for its input" : "has ended")")
        return []
    }
}

private let libraries = "/usr/lib/x86_64-linux-gnu/"

private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

/// Compiles a program that reads, and has malloc and free.
private func build(_ compiler: String, _ options: String...) throws -> String {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("apus-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let source = folder.appendingPathComponent("waits.c").path
    let text = """
        #include <stdlib.h>
        #include <unistd.h>
        static void done(void *block) {
        #ifndef KEEPS
            free(block);
        #endif
        }
        int main(void) { char *b = malloc(10); while (read(0, b, 1) > 0) {} done(b); return 0; }
        """
    try text.write(toFile: source, atomically: true, encoding: .utf8)
    let target = folder.appendingPathComponent("waits").path
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [compiler] + options + [source, "-o", target]
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    return target
}

@Suite(.serialized) struct AllocatorFinderTests {
    private func functions(_ found: FoundAllocator) -> [String: AllocatorFunction] {
        Dictionary(uniqueKeysWithValues: found.allocator.functions.map { ($0.name, $0) })
    }

    /// The last parts of the paths of those that hold an allocator.
    private func files(_ found: [FoundAllocator]) -> [String] {
        found.filter { !$0.allocator.functions.isEmpty }.map {
            String($0.path.split(separator: "/").last ?? "")
        }
    }

    @Test func theCLibrary() throws {
        let found = try Waiting("/bin/cat").allocators()
        let libc = try #require(found.first { $0.path.contains("libc.so.6") })
        let functions = functions(libc)
        let expected: [String: AllocatorCall] = [
            "malloc": .allocate, "calloc": .allocateArray, "realloc": .resize, "free": .free,
            "posix_memalign": .alignedInto, "memalign": .aligned, "valloc": .allocate,
        ]
        for (name, call) in expected { #expect(functions[name]?.call == call, "\(name)") }
        #expect(functions.values.allSatisfy { $0.returns.isEmpty })
        #expect(files(found) == ["libc.so.6"])
        #expect(libc.allocator.leftOut.isEmpty)
    }

    /// The linker makes a hidden malloc a local one where the program is position-independent.
    @Test(arguments: ["-static", "-static-pie"])
    func aStaticProgram(how: String) throws {
        let program = try build("cc", how)
        defer { try? FileManager.default.removeItem(atPath: (program as NSString).deletingLastPathComponent) }
        let found = try Waiting(program).allocators()
        #expect(files(found) == ["waits"])
        #expect(found.first.map { functions($0)["malloc"]?.call == .allocate } == true)
        #expect(found.first?.path == program)
    }

    @Test func noneAtAll() throws {
        let program = try build("cc", "-static", "-s")
        defer { try? FileManager.default.removeItem(atPath: (program as NSString).deletingLastPathComponent) }
        let waiting = try Waiting(program)
        #expect(files(try waiting.allocators()) == [])
        let finder = AllocatorFinder(process: waiting.id)
        _ = finder.look()
        #expect(finder.filesSeen == 1)
        #expect(!finder.hasForeignFiles)
    }

    @Test(.require(.tool("musl-gcc")))
    func aProgramThatFreesNothing() throws {
        let program = try build("musl-gcc", "-static", "-DKEEPS")
        defer { try? FileManager.default.removeItem(atPath: (program as NSString).deletingLastPathComponent) }
        let found = try Waiting(program).allocators()
        #expect(files(found) == ["waits"])
        #expect(found.first.map { functions($0)["malloc"]?.call == .allocate } == true)
        #expect(found.first.map { functions($0)["free"] == nil } == true)
    }

    @Test(.require(.tool("musl-gcc")))
    func musl() throws {
        let program = try build("musl-gcc")
        defer { try? FileManager.default.removeItem(atPath: (program as NSString).deletingLastPathComponent) }
        let found = try Waiting(program).allocators()
        #expect(found.contains { $0.path.contains("musl") && functions($0)["malloc"]?.call == .allocate })
        #expect(found.contains { functions($0)["free"]?.call == .free })
    }

    /// Packages of allocators: what is theirs comes beside libc, and C++'s operators are theirs where they do not
    /// just call malloc.
    @Test(
        arguments: [
            ("libjemalloc.so.2", ["malloc", "free", "mallocx"], ["_Znwm"]),
            ("libtcmalloc_minimal.so.4", ["free", "calloc"], ["_Znam"]),
            ("libmimalloc.so.2", ["free", "mi_new_nothrow"], ["mi_new"]),
        ].filter { exists(libraries + $0.0) })
    func packages(library: String, plain: [String], throwing: [String]) throws {
        let found = try Waiting("/bin/cat", preloading: libraries + library).allocators()
        let its = try #require(found.first { $0.path.contains(library.prefix { $0 != "." }) })
        let functions = functions(its)
        for name in plain {
            #expect(functions[name] != nil, "\(name)")
            #expect(functions[name]?.returns.isEmpty == true)
        }
        for name in throwing {
            #expect(functions[name]?.call == .new, "\(name)")
            #expect(functions[name]?.returns.isEmpty == false)
            #expect(functions[name]?.hasReturnProbe == false)
        }
        #expect(its.allocator.leftOut.isEmpty, "\(its.allocator.leftOut)")
        #expect(files(found).contains("libc.so.6"))
    }

    @Test func onlyTheFileThatIsNamed() throws {
        let waiting = try Waiting("/bin/cat")
        #expect(files(try waiting.allocators(objects: ["c"])) == ["libc.so.6"])
        #expect(files(try waiting.allocators(objects: ["libc.so.6"])) == ["libc.so.6"])
        #expect(files(try waiting.allocators(objects: ["cat"])) == [])
    }

    @Test func onlyTheNamesWithThePrefix() throws {
        let found = try Waiting("/bin/cat").allocators(AllocatorNames(prefix: "__libc_"))
        let libc = try #require(found.first { $0.path.contains("libc.so.6") })
        #expect(libc.allocator.functions.allSatisfy { $0.name.hasPrefix("__libc_") })
        #expect(functions(libc)["__libc_malloc"] != nil)
    }
}
