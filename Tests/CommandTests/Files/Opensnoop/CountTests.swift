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
            let path = String("/apus-\(UUID().uuidString)".prefix(14))
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

        /// Many more than fit at once, and never more than fit until those before have been read.
        @Test func burstsAreReadAsTheyCome() throws {
            let path = "/apus-\(UUID().uuidString)"
            let agent = try Agent()
            let run = try TracedRun(["--json", "-p", agent.process])
            try run.waitUntilAttached(agent.sentinel)
            for round in 0..<10 {
                try agent.tell("flood", 8_000, hexadecimal(path.utf8))
                let last = "\(path)/end-of-\(round)"
                try agent.open(last)
                try run.wait(for: last)
            }
            run.send(SIGINT)
            let outcome = try run.finish()
            #expect(outcome.end == .exited(0))
            #expect(outcome.count(path: path) == 80_000)
            #expect(outcome.errors.isEmpty)
        }

        /// What a buffer that is too small loses is counted.
        @Test func rowsAndLossesAddUp() throws {
            let path = "/apus-12345678"
            let agent = try Agent()
            try agent.startThreads(4)
            let run = try TracedRun(["--json", "--buffer-size", "64K", "-p", agent.process])
            try run.waitUntilAttached(agent.sentinel)
            // While nobody reads, the first of these fill it, and the rest is lost, however quick the machine is.
            run.send(SIGSTOP)
            try agent.tell("flood", 1_000, hexadecimal(path.utf8))
            run.send(SIGCONT)
            try agent.tell("flood", 49_000, hexadecimal(path.utf8), patience: 20 * Harness.patience)
            run.send(SIGINT)
            let outcome = try run.finish(patience: 20 * Harness.patience)
            #expect(outcome.end == .exited(0))
            let rows = outcome.count(path: path)
            let ending = " opens lost because the buffer was full: use a larger --buffer-size"
            let final = outcome.complaints.filter { $0.hasSuffix(ending) }
            #expect(final.count <= 1)
            let lost = final.first.flatMap { Int($0.dropFirst("opensnoop: ".count).dropLast(ending.count)) }
            #expect(rows + (lost ?? 0) == 200_000)
            #expect(lost ?? 0 > 2_000)
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
