// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    @Suite struct ThreadTests {
        /// Which paths the agent's threads have opened by `openNumbered`.
        private func paths(_ path: String, _ threads: [Int32], _ count: Int) -> Set<String> {
            Set(threads.flatMap { thread in (0..<count).map { "\(path)-\(thread)-\($0)" } })
        }

        @Test func everyOpenOf8Threads() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let threads = try agent.startThreads(8)
            let outcome = try trace { try agent.openNumbered(100, folder.path("x")) }
            let rows = try outcome.rows(containing: folder.path)
            #expect(Set(threads).count == 8)
            #expect(rows.count == 800)
            #expect(Set(rows.map(\.path)) == paths(folder.path("x"), threads, 100))
            for row in rows {
                #expect(row.pid == agent.pid)
                #expect(row.path.hasPrefix(folder.path("x-\(row.tid)-")))
                #expect(row.outcome == CommandTests.outcome(-2))
            }
            // A thread's opens come in its order.
            for thread in threads {
                let numbers = rows.filter { $0.tid == thread }.compactMap {
                    $0.path.split(separator: "-").last.flatMap { Int($0) }
                }
                #expect(numbers == Array(0..<100))
            }
            #expect(outcome.errors.isEmpty)
        }

        @Test func onlyOneThread() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let threads = try agent.startThreads(8)
            let outcome = try trace(["-t", "\(threads[3])"], sentinel: agent.sentinelOfThreads) {
                try agent.openNumbered(100, folder.path("x"))
                try agent.open(folder.path("main"))
            }
            let rows = try outcome.rows(containing: folder.path)
            #expect(Set(rows.map(\.path)) == paths(folder.path("x"), [threads[3]], 100))
            #expect(rows.count == 100)
            #expect(outcome.errors.isEmpty)
        }

        @Test func severalThreads() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let threads = try agent.startThreads(4)
            let list = "\(threads[0]),\(threads[2])"
            let outcome = try trace(["--tid", list], sentinel: agent.sentinelOfThreads) {
                try agent.openNumbered(10, folder.path("x"))
            }
            #expect(
                Set(try outcome.rows(containing: folder.path).map(\.path))
                    == paths(folder.path("x"), [threads[0], threads[2]], 10))
        }

        /// BCC's opensnoop traces nothing then.
        @Test func aThreadsIDAsAProcessMeansThatThread() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let threads = try agent.startThreads(3)
            let outcome = try trace(["-p", "\(threads[1])"], sentinel: agent.sentinelOfThreads) {
                try agent.openNumbered(10, folder.path("x"))
            }
            #expect(
                Set(try outcome.rows(containing: folder.path).map(\.path))
                    == paths(folder.path("x"), [threads[1]], 10))
            #expect(
                outcome.complaints == [
                    "opensnoop: \(threads[1]) is a thread of process \(agent.pid): tracing that thread only"
                ])
        }

        /// The ID of the first thread is the process's: -t means the thread all the same.
        @Test func theFirstThread() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            try agent.startThreads(2)
            let outcome = try trace(["-t", agent.process], by: agent) {
                try agent.openNumbered(10, folder.path("x"))
                try agent.open(folder.path("main"))
            }
            #expect(try outcome.rows(containing: folder.path).map(\.path) == [folder.path("main")])
        }

        @Test func aProcessMeansAllItsThreads() throws {
            let folder = try TemporaryFolder()
            let (agent, other) = (try Agent(), try Agent())
            let threads = try agent.startThreads(3)
            try other.startThreads(3)
            let outcome = try trace(["-p", agent.process], by: agent) {
                try agent.openNumbered(10, folder.path("x"))
                try other.openNumbered(10, folder.path("x"))
            }
            #expect(
                Set(try outcome.rows(containing: folder.path).map(\.path))
                    == paths(folder.path("x"), threads, 10))
        }

        /// In a PID namespace of its own, IDs are those of that namespace.
        @Test func inAPIDNamespace() throws {
            let folder = try TemporaryFolder()
            let path = folder.path("inside")
            let script = """
                exec 3>'\(folder.path("out"))'
                '\(Harness.apus)' opensnoop --json --follow -- sh -c 'echo $$; cat "$0"' '\(path)' >&3
                """
            try folder.file("inside")
            let result = try Finished(
                ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script])
            #expect(result.end == .exited(0))
            let output = try Data(contentsOf: URL(fileURLWithPath: folder.path("out")))
            let outcome = Outcome(end: result.end, output: output, errors: result.errors)
            let shell = try #require(
                outcome.lines.lazy.compactMap { Int32(String(decoding: $0, as: UTF8.self)) }.first)
            let row = try outcome.row(path)
            #expect(shell > 1 && shell < 100)
            #expect(row.ppid == shell || row.pid == shell)
            #expect(row.pid >= shell && row.pid < 100)
            #expect(row.tid == row.pid)
        }
    }
}

extension Agent {
    /// Seen by runs that show only some of the threads.
    fileprivate var sentinelOfThreads: Sentinel {
        Sentinel { [self] path in try openNumbered(1, path) }
    }
}
