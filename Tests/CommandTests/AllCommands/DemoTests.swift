// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// What `make run` shows to somebody who has never seen it.
    @Suite struct DemoTests {
        private static let script = Harness.packageRoot.appendingPathComponent("scripts/demo").path

        private func leftOver() throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: "/tmp").filter { $0.hasPrefix("apus-demo.") }
        }

        /// Whatever else the machine does, there are rows, and what made them says so.
        @Test(arguments: [SIGINT, SIGTERM])
        func itShowsRowsAndEndsWhenToldTo(signal: Int32) throws {
            let (said, complained) = (try Pipe(), try Scratch())
            // A group of processes of its own, as a terminal has it.
            let child = try Child(
                ["setsid", Self.script, Harness.apus, "1000"],
                Child.Streams(output: said.writer, errors: complained.descriptor))
            var seen = Set<String>()
            while seen.count < 2 {
                let words = try said.line().split(separator: " ").map(String.init)
                guard words.count == 5, words[1] == "apus-demo" else { continue }
                let name = words[4].split(separator: "/").last.map(String.init) ?? ""
                if name == "opened-by-the-demo", words[3] == "0" { seen.insert(name) }
                if name == "missing-on-purpose", words[3] == "2" { seen.insert(name) }
            }
            kill(-child.pid, signal)
            let end = child.wait()
            let errors = String(decoding: try complained.contents(), as: UTF8.self)
            #expect(errors.hasPrefix("demo: "))
            if signal == SIGINT {
                #expect(end == .exited(0))
                #expect(errors.contains("What next?"))
            }
            try eventually("the end of its process and its files") { try leftOver().isEmpty }
            try eventually("all of its processes to end") { kill(-child.pid, 0) == -1 }
        }

        @Test func nothingIsLeftWhenItIsKilled() throws {
            let said = try Pipe()
            let child = try Child(
                [Self.script, Harness.apus, "3"], Child.Streams(output: said.writer))
            while !(try said.line().contains("/opened-by-the-demo")) {}
            child.send(SIGKILL)
            #expect(child.wait() == .killed(SIGKILL))
            try eventually("the end of its process and its files") { try leftOver().isEmpty }
        }
    }
}
