// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Not one open too many or too few, however fast they come.
    @Suite struct CountTests {
        /// Opens a path that does not exist as fast as the threads can, and traces that.
        private func flood(
            _ arguments: [String], threads: Int, each count: Int
        ) throws -> (rows: Int, outcome: Outcome) {
            let path = "/apus-\(UUID().uuidString)"
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

        @Test(.disabled(if: Harness.isDebugBuild, "a debug build is too slow"))
        func aBurstFitsIntoTheUsualBuffer() throws {
            let (rows, outcome) = try flood([], threads: 1, each: 20_000)
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

        @Test(.disabled(if: Harness.isDebugBuild, "a debug build is too slow"))
        func aMillionOpensInALargeBuffer() throws {
            let (rows, outcome) = try flood(["--buffer-size", "64M"], threads: 4, each: 250_000)
            #expect(rows == 1_000_000)
            #expect(outcome.errors.isEmpty)
        }

        /// All of them fit, so that it does not matter how fast they are read.
        @Test func aBufferThatHoldsAll() throws {
            let (rows, outcome) = try flood(["--buffer-size", "64M"], threads: 4, each: 100_000)
            #expect(rows == 400_000)
            #expect(outcome.errors.isEmpty)
        }

        @Test func theBufferInPages() throws {
            let (rows, outcome) = try flood(["-b", "1024"], threads: 1, each: 10_000)
            #expect(rows == 10_000)
            #expect(outcome.errors.isEmpty)
        }
    }
}
