// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Not one open too many or too few, however fast they come.
    @Suite struct CountTests {
        /// Opens a path that does not exist as fast as the threads can, and traces that.
        private func flood(
            _ arguments: [String], threads: Int, each count: Int, pathBytes: Int = 14
        ) throws -> (rows: Int, outcome: Outcome) {
            let path = String("/apus-\(UUID().uuidString)".prefix(pathBytes))
            let agent = try Agent()
            if threads > 1 { try agent.startThreads(threads) }
            let outcome = try trace(
                arguments + ["-p", agent.process], sentinel: agent.sentinel, patience: 20 * Harness.patience
            ) {
                try agent.tell("flood", count, hexadecimal(path.utf8), patience: 20 * Harness.patience)
            }
            #expect(outcome.end == .exited(0))
            return (outcome.count(path: path), outcome)
        }

        /// About a hundred bytes each, so that they fit into the 2 MB whoever reads them when.
        @Test func aBurstFitsIntoTheUsualBuffer() throws {
            let (rows, outcome) = try flood([], threads: 1, each: 20_000)
            #expect(rows == 20_000)
            #expect(outcome.errors.isEmpty)
        }

        /// These do not fit at once: they have to be read as they come.
        @Test(.disabled(if: Harness.isDebugBuild, "a debug build is too slow"))
        func aBurstIsReadAsItComes() throws {
            let (rows, outcome) = try flood([], threads: 1, each: 20_000, pathBytes: 42)
            #expect(rows == 20_000)
            #expect(outcome.errors.isEmpty)
        }

        /// What a buffer that is too small loses is counted.
        @Test func rowsAndLossesAddUp() throws {
            let (rows, outcome) = try flood(["--buffer-size", "64K"], threads: 4, each: 50_000)
            let ending = " opens lost because the buffer was full: use a larger --buffer-size"
            let final = outcome.complaints.filter { $0.hasSuffix(ending) }
            #expect(final.count <= 1)
            let lost = final.first.flatMap { Int($0.dropFirst("opensnoop: ".count).dropLast(ending.count)) }
            #expect(rows + (lost ?? 0) == 200_000)
            // Otherwise this test shows nothing.
            #expect(lost ?? 0 > 0)
            let others = outcome.complaints.filter { !$0.hasSuffix(ending) }
            #expect(others.allSatisfy { $0.contains(" opens lost so far: ") })
        }

        /// Four threads leave the reader a fifth of two CPUs, so the buffer has to hold most of them: 96 MB.
        @Test func aMillionOpensInALargeBuffer() throws {
            let (rows, outcome) = try flood(["--buffer-size", "128M"], threads: 4, each: 250_000)
            #expect(rows == 1_000_000)
            #expect(outcome.errors.isEmpty)
        }

        @Test func theBufferInPages() throws {
            let (rows, outcome) = try flood(["-b", "1024"], threads: 1, each: 10_000)
            #expect(rows == 10_000)
            #expect(outcome.errors.isEmpty)
        }
    }
}
