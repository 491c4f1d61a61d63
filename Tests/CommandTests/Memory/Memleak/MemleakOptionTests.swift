// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// Each option of memleak against a program that says what it has done.
    @Suite struct MemleakOptionTests {
        private static let framed = [
            "-g", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-w",
        ]

        private func program(_ name: String = "growth") throws -> String {
            try Harness.program(name, options: Self.framed)
        }

        /// What is left in the last report, after the program has obeyed.
        private func run(_ options: [String], _ lines: [String], format: [String] = ["--json"]) throws
            -> String
        {
            let run = try Attached([try program()], options + ["1000"], format: format)
            for line in lines { try run.obey(line) }
            return try run.interrupt()
        }

        @Test func youngBlocksDoNotCount() throws {
            // Nothing here lives for a hundred seconds.
            let age = ["-o", "100000"]
            #expect(try JSONLines(try run(age, ["mark 9"])).inUse("leak_marked") == [0, 0])
            #expect(try JSONLines(try run(["-o", "0"], ["mark 9"])).inUse("leak_marked") == [9, 432])
            // Unless only sums are kept, or the program has ended.
            #expect(try JSONLines(try run(age + ["-C"], ["mark 9"])).inUse("leak_marked") == [9, 432])
            let ends = try Attached([try program()], age + ["1000"])
            try ends.obey("mark 9")
            #expect(try JSONLines(try ends.finish(after: "mark 9")).inUse("leak_marked") == [9, 432])
        }

        @Test func sumsCountWhatIsFreed() throws {
            let lines = try JSONLines(
                try run(["--combined-only"], ["fill", "fill", "pause 200", "churn 100"]))
            #expect(lines.inUse("fill_cache") == [64, 6400])
            #expect(lines.inUse("hold_a_while") == [0, 0])
            #expect(lines.inUse("churn") == [0, 0])
        }

        @Test func sizes() throws {
            let lines = try JSONLines(
                try run(["-o", "0", "-z", "48", "-Z", "99"], ["mark 5", "constant", "fill"]))
            #expect(lines.inUse("leak_marked") == [5, 240])
            #expect(lines.inUse("keep_constant") == [0, 0])
            #expect(lines.inUse("fill_cache") == [0, 0])
        }

        @Test(arguments: [("size", "fill_cache"), ("count", "leak_marked")])
        func theTopByAnOrder(order: String, function: String) throws {
            let text = try run(["-o", "0", "-T", "1", "--sort", order], ["fill", "mark 100"], format: [])
            #expect(text.contains("Top 1 stacks with outstanding allocations:"))
            #expect(text.matches(of: /allocations from stack/).count == 1)
            #expect(text.contains("\t\(function)+0x"))
        }

        @Test func theLargestIsTheLast() throws {
            let text = try run(["-o", "0"], ["fill", "mark 100", "constant"], format: [])
            let amounts = text.matches(of: /(?m)^\t(\d+) bytes in/).compactMap { Int($0.1) }
            #expect(amounts == amounts.sorted())
            #expect(amounts.suffix(3) == [2000, 4800, 6400])
        }

        @Test func blocksAreListed() throws {
            let lines = try JSONLines(try run(["-a", "-o", "0"], ["mark 40"]))
            let blocks = lines.last.stacks("leak_marked").flatMap { $0["blocks"] as? [[String: Any]] ?? [] }
            #expect(blocks.count == 40)
            #expect(blocks.allSatisfy { $0.number("bytes") == 48 })
            #expect(Set(blocks.map { $0.number("address") }).count == 40)
        }

        @Test func eachCallIsTraced() throws {
            let run = try Attached([try program()], ["-t", "-o", "0", "1000"])
            try run.obey("mark 4")
            try run.obey("churn 3")
            let lines = try JSONLines(try run.interrupt())
            let calls = lines.rows.filter { $0.text("type") == "allocation" || $0.text("type") == "free" }
            #expect(calls.allSatisfy { $0.number("tid") == Int(run.target.pid) })
            #expect(
                calls.map { "\($0.text("type")) \($0.number("bytes"))" }
                    == [String](repeating: "allocation 48", count: 4)
                    + (0..<3).flatMap { _ in ["allocation 56", "free 56"] })
            for pair in stride(from: 4, to: calls.count - 1, by: 2) {
                #expect(calls[pair].number("address") == calls[pair + 1].number("address"))
            }
            let text = try self.run(["-t", "-o", "0"], ["churn 1"], format: [])
            let traced = try #require(
                text.firstMatch(
                    of:
                        /\(\S+ \d+\) alloc addr = (0x[0-9a-f]+) size = 56\n\(\S+ \d+\) free addr = (0x[0-9a-f]+) size = 56\n/
                ))
            #expect(traced.1 == traced.2)
        }

        @Test func oneInSoManyIsLookedAt() throws {
            let text = try run(["-s", "10", "-o", "0"], ["mark 20000"])
            let found = try JSONLines(text).inUse("leak_marked")
            // Six standard deviations of a binomial distribution.
            #expect(abs(found[0] - 2000) < 255, "\(found)")
            #expect(found[1] == 48 * found[0])
        }

        @Test func sampledBytesAreEstimates() throws {
            let text = try run(["--sample-bytes", "480", "-o", "0"], ["mark 20000"], format: [])
            #expect(text.contains("outstanding allocations (estimated from samples):"))
            let lines = try JSONLines(try run(["--sample-bytes", "480", "-o", "0"], ["mark 20000"]))
            let found = lines.inUse("leak_marked")
            // One in 10.5 is seen: a standard deviation is 2.2 percent.
            #expect(abs(found[1] - 960_000) < 6 * 21_200, "\(found)")
            #expect(lines.stacks("leak_marked").allSatisfy { $0["estimated"] as? Bool == true })
        }

        /// Whatever frees a block unseen, its address is taken once.
        @Test(arguments: [[], ["-F"], ["-C"], ["--wa-missing-free", "-C"]])
        func anAddressThatIsGivenAgainWasFreed(options: [String]) throws {
            let lines = try JSONLines(try run(options + ["-o", "0", "-S", "ap_"], ["pool 30", "mark 5"]))
            #expect(lines.inUse("use_pool") == [1, 72])
            // With a prefix nothing else is an allocator.
            #expect(lines.inUse("leak_marked") == [0, 0])
        }

        @Test func theAllocatorOfOneFileOnly() throws {
            #expect(
                try JSONLines(try run(["-O", "c", "-o", "0"], ["mark 5"])).inUse("leak_marked") == [5, 240])
            let target = try Attached([try program()], ["1000"])
            for words in [["-O", "libnothing.so"], ["-S", "nobody_"]] {
                let result = try Finished([Harness.apus, "memleak", "-p", "\(target.target.pid)"] + words)
                #expect(result.end == .exited(1))
                #expect(result.text.isEmpty)
            }
            _ = try target.interrupt()
        }

        @Test(arguments: ["a.svg", "a.html"])
        func theFlameGraphHasItsBytes(name: String) throws {
            let folder = try TemporaryFolder()
            let picture = folder.path(name)
            let result = try Finished(
                [Harness.apus, "memleak", "--flamegraph", picture, "--", try program("leak"), "1", "8"],
                patience: 60)
            try #require(result.end == .exited(0), "\(result.errors)")
            let text = try String(contentsOfFile: picture, encoding: .utf8)
            #expect(text.contains("<title") && text.contains("Memory in use"))
            if name.hasSuffix(".svg") {
                // 8 * 801 and 8 * 701 bytes.
                #expect(text.contains("leak_pvalloc (6.26 KiB,"))
                #expect(text.contains("leak_valloc (5.48 KiB,"))
            } else {
                // Each box has the bytes that end in it.
                #expect(text.contains("leak_pvalloc") && text.contains(",6408,") && text.contains(",5608,"))
            }
        }

        private let pprof = ["go", "tool", "pprof"]

        @Test(.require(Harness.goPprof))
        func pprofReadsTheHeapProfile() throws {
            let folder = try TemporaryFolder()
            let path = folder.path("heap.pb.gz")
            let result = try Finished(
                [Harness.apus, "memleak", "--pprof", path, "--", try program("leak"), "2", "20"], patience: 60
            )
            try #require(result.end == .exited(0), "\(result.errors)")
            for (index, expected) in [("inuse_space", 1), ("inuse_objects", 0)] {
                let words = ["-top", "-nodecount=1000", "-unit=B", "-sample_index=\(index)", path]
                let top = try Finished(pprof + words)
                try #require(top.end == .exited(0), "\(top.errors)")
                var found: [String: Int64] = [:]
                for line in top.text.split(separator: "\n") {
                    let words = line.split(separator: " ")
                    guard words.count >= 6, words[5].hasPrefix("leak_") else { continue }
                    // Cumulative: below some there are libc's own functions.
                    found[String(words[5])] = Int64(words[3].trimmingCharacters(in: ["B"]))
                }
                #expect(found == left(result.text, prefix: "leak_").mapValues { $0[expected] })
            }
            // A round resizes a block of 10 bytes to 10,000, and these to 203.
            let raw = try Finished(pprof + ["-raw", path])
            #expect(
                raw.text.contains(
                    "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes[dflt]"))
            #expect(raw.text.contains(/(?m)^\s+20\s+200000\s+0\s+0:/))
        }
    }
}
