// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Allocators of this machine that have an operator new of their own, which throws.
private let throwing = ["libjemalloc.so.2", "libtcmalloc_minimal.so.4"].map {
    "/usr/lib/x86_64-linux-gnu/" + $0
}.filter { FileManager.default.fileExists(atPath: $0) }

extension EndToEnd {
    @Suite struct MemleakMappingTests {
        private static let framed = ["-g", "-O1", "-fno-optimize-sibling-calls", "-w"]

        private func maps(_ more: [String] = []) throws -> String {
            try Harness.program("maps", options: Self.framed + more)
        }

        @Test(arguments: [1, 8])
        func everyMappingToTheByte(threads: Int) throws {
            let result = try Finished(
                [
                    Harness.apus, "memleak", "--mmap", "--json", "-T", "1000", "--", try maps(), "\(threads)",
                    "20",
                ],
                patience: 120)
            try #require(result.end == .exited(0), "\(result.errors)")
            let expected = left(result.text, prefix: "map_")
            #expect(expected.count == 10)
            #expect(reported(try LeakRow.last(result.text), prefix: "map_") == expected)
            #expect(!result.errors.contains("lost"))
        }

        @Test func attachedWhileItRuns() throws {
            let run = try Attached([try maps(["-static"]), "4", "50", "keep", "wait"], ["--mmap", "1"])
            try run.sendLine()
            let text = try run.finish(after: "map_break")
            #expect(
                reported(try LeakRow.last(text), prefix: "map_") == left(try run.printed(), prefix: "map_"))
        }

        @Test(arguments: [1, 4])
        func whoUnmapsEverythingHasNothing(threads: Int) throws {
            let run = try Attached([try maps(), "\(threads)", "200", "free", "wait"], ["--mmap", "-t", "1"])
            try run.sendLine()
            let text = try run.finish(after: "map_break")
            #expect(reported(try LeakRow.last(text), prefix: "map_") == [:])
            let rows = try LeakRow.all(text)
            #expect(rows.filter { $0.type == "allocation" }.count >= threads * 200 * 10)
            #expect(rows.filter { $0.type == "free" }.count >= threads * 200 * 10)
        }

        /// Only calls that ask for so much count.
        @Test func sizesAreThoseOfCalls() throws {
            let result = try Finished(
                [
                    Harness.apus, "memleak", "--mmap", "-z", "24576", "-Z", "32768", "--json", "-T", "1000",
                    "--", try maps(), "2", "10",
                ],
                patience: 60)
            let found = reported(try LeakRow.last(result.text), prefix: "map_")
            let expected = left(result.text, prefix: "map_").filter {
                ["map_outer", "map_grown", "map_shrunk"].contains($0.key)
            }.merging(["map_outer": [60, 20 * 5 * 4096]]) { $1 }
            // The inner mappings are too small to count: where they were nothing is left.
            #expect(found == expected.merging(["map_outer": [40, 20 * 4 * 4096]]) { $1 })
        }

        @Test(arguments: [
            (["--mmap"], "is for processes"), (["--mmap", "-s", "10", "-p", "1"], "leave -s"),
            (["--mmap", "-O", "c", "-p", "1"], "are for allocators"),
        ])
        func whatExcludesEachOther(options: [String], sentence: String) throws {
            let result = try Finished([Harness.apus, "memleak"] + options)
            #expect(result.end == .exited(64))
            #expect(result.errors.contains(sentence))
        }

        /// A probed operator new throws: the program goes on, and what it allocates is known to the byte.
        @Test(arguments: [""] + throwing)
        func exceptionsPassTheProbes(library: String) throws {
            let folder = try TemporaryFolder()
            let program = folder.path("throws")
            let source = try Harness.source("throws.cpp")
            let made = try Finished(["g++", "-std=c++17", "-g", "-O2", "-pthread", source, "-o", program])
            try #require(made.end == .exited(0), "\(made.errors)")
            let preload = library.isEmpty ? [] : ["env", "LD_PRELOAD=\(library)"]
            let result = try Finished(
                [Harness.apus, "memleak", "-v", "--json", "-T", "1000", "--"] + preload + [
                    program, "4", "50",
                ],
                patience: 120)
            #expect(result.end == .exited(0), "\(result.errors)")
            #expect(result.errors.contains("return instructions") == !library.isEmpty)
            let expected = left(result.text, prefix: "leak_")
            #expect(expected == ["leak_new": [200, 20_000], "leak_after": [200, 11_200]])
            #expect(reported(try LeakRow.last(result.text), prefix: "leak_") == expected)
        }
    }
}
