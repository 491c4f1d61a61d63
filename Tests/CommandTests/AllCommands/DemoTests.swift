// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// What `make run` shows to somebody who has never seen it.
    @Suite struct DemoTests {
        private static let script = Harness.packageRoot.appendingPathComponent("scripts/demo").path

        /// The folder that it says it opens files in.
        private func folder(_ complained: Scratch, _ child: Child) throws -> String {
            var folder = ""
            try eventually("the demo to say what it does", by: [child]) {
                let said = String(decoding: try complained.contents(), as: UTF8.self)
                folder = said.firstMatch(of: /opens files in (\S+) for this\n/).map { String($0.1) } ?? ""
                return !folder.isEmpty
            }
            return folder
        }

        /// Whatever else the machine does, there are rows, and what made them says so.
        @Test(arguments: [SIGINT, SIGTERM])
        func itShowsRowsAndEndsWhenToldTo(signal: Int32) throws {
            let (said, complained) = (try Pipe(), try Scratch())
            // A group of processes of its own, as a terminal has it.
            let child = try Child(
                ["setsid", Self.script, Harness.apus, "1000"],
                Child.Streams(output: said.writer, errors: complained.descriptor))
            said.closeWriter()
            let folder = try folder(complained, child)
            var seen = Set<String>()
            while seen.count < 2 {
                let words = try said.line(by: child).split(separator: " ").map(String.init)
                guard words.count == 5, words[1] == "apus-demo" else { continue }
                if words[4] == folder + "/opened-by-the-demo", words[3] == "0" { seen.insert(words[4]) }
                if words[4] == folder + "/missing-on-purpose", words[3] == "2" { seen.insert(words[4]) }
            }
            kill(-child.pid, signal)
            let end = child.wait()
            let errors = String(decoding: try complained.contents(), as: UTF8.self)
            #expect(errors.hasPrefix("demo: "))
            if signal == SIGINT {
                #expect(end == .exited(0))
                #expect(errors.contains("What next?"))
            }
            try eventually("the end of its process and its files") { access(folder, F_OK) != 0 }
            try eventually("all of its processes to end") { kill(-child.pid, 0) == -1 }
        }

        @Test func nothingIsLeftWhenItIsKilled() throws {
            let (said, complained) = (try Pipe(), try Scratch())
            let child = try Child(
                [Self.script, Harness.apus, "3"],
                Child.Streams(output: said.writer, errors: complained.descriptor))
            said.closeWriter()
            let folder = try folder(complained, child)
            while !(try said.line(by: child).contains(folder + "/opened-by-the-demo")) {}
            child.send(SIGKILL)
            #expect(child.wait() == .killed(SIGKILL))
            try eventually("the end of its process and its files") { access(folder, F_OK) != 0 }
        }
    }
}
