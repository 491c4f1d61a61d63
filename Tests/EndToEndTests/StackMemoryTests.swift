// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// What a tracer keeps of processes that have ended: rows, and no more.
    @Suite struct StackMemoryTests {
        /// Each has its code elsewhere, and so stacks of its own.
        @Test(
            arguments: [
                (["profile", "-F", "999", "--json"], 1200), (["profile", "-F", "999", "-f"], 500),
            ])
        func aProcessThatHasEndedTakesFewBytes(words: [String], most: Int) throws {
            let folder = try TemporaryFolder()
            let marks = ["first", "second"].map(folder.path)
            // Those that ended last are kept for a while, with what they have mapped: 4096 programs, two a process.
            let script = """
                ends() { i=0; while [ $i -lt $1 ]; do /bin/true; i=$((i+1)); done
                : > $2; while [ -e $2 ]; do sleep 0.05; done; }
                ends 8000 \(marks[0]); ends \(Self.processes) \(marks[1])
                """
            let errors = try Scratch()
            let tracer = try Child(
                [Harness.apus] + words + ["--follow", "--", "sh", "-c", script],
                Child.Streams(errors: errors.descriptor))
            let before = try memory(of: tracer, at: marks[0])
            let after = try memory(of: tracer, at: marks[1])
            #expect(tracer.wait(patience: 120) == .exited(0))
            let each = (after - before) / Self.processes
            let said = String(decoding: try errors.contents(), as: UTF8.self)
            #expect(each < most, "\(each) bytes a process, from \(before) to \(after); \(said)")
        }

        private static let processes = 4000

        /// Resident bytes of the tracer, once it has nothing to do.
        private func memory(of tracer: Child, at mark: String) throws -> Int {
            let deadline = Date() + 180
            while !FileManager.default.fileExists(atPath: mark) {
                guard Date() < deadline else { throw HarnessError("the load does not get to its mark") }
                if let end = tracer.end() { throw HarnessError("the tracer has ended: \(end)") }
                usleep(20_000)
            }
            // It reads what is left of the samples.
            usleep(500_000)
            let status = try String(contentsOfFile: "/proc/\(tracer.pid)/status", encoding: .utf8)
            let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
            try FileManager.default.removeItem(atPath: mark)
            return 1024
                * (try #require(line.split(separator: " ").dropLast().last.flatMap { Int($0) }, "\(line)"))
        }
    }
}
