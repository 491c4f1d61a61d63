// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// Two tools that know nothing of each other must tell the same.
    @Suite struct StraceTests {
        private static let program = "import json, ssl, http.client, os; os.system('cat /etc/hostname')"
        private static let python = "/usr/bin/python3"

        @Test(.require(.tool("strace")), .require(.file(python)))
        func everyOpenOfPython() throws {
            let folder = try TemporaryFolder()
            let log = folder.path("log")
            // -xx: all strings in hexadecimal, so that nothing has to be guessed.
            let outcome = try TracedRun([
                "--json", "--follow", "--", "strace", "-f", "-xx", "-s", "9999", "-o", log, "-e",
                "trace=open,openat,openat2,creat", Self.python, "-c", Self.program,
            ]).finish()
            #expect(outcome.end == .exited(0))
            #expect(outcome.errors.isEmpty)
            // strace's own opens are the only others.
            let ours = try outcome.rows(containing: "{").filter { $0.comm != "strace" }
                .map {
                    "\($0.pid) \($0.call) \($0.path) \($0.outcome) \($0.flagNames.sorted().joined(separator: "|"))"
                }
            let lines = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n")
            let theirs = try lines.compactMap(Self.parse)
            #expect(theirs.count > 100)
            #expect(Set(ours.map { $0.split(separator: " ")[0] }).count >= 2)
            #expect(ours.sorted() == theirs.sorted())
        }

        /// `123 openat(AT_FDCWD, "\x2f…", O_RDONLY|O_CLOEXEC) = -1 ENOENT (…)`; nil for what is no call.
        private static func parse(_ line: Substring) throws -> String? {
            let text = String(line)
            if text.contains("+++ exited") || text.contains("--- SIG") { return nil }
            let parts = text.components(separatedBy: "\"")
            let before = parts[0].split { $0 == " " || $0 == "(" }
            guard parts.count == 3, before.count >= 2 else { throw HarnessError("strace: \(text)") }
            let path = bytes(hexadecimal: parts[1].replacingOccurrences(of: "\\x", with: ""))
            let ends = parts[2].components(separatedBy: ") = ")
            let flags = (ends[0].split { $0 == "," || $0 == " " }.first ?? "").split(separator: "|").sorted()
            let result = ends.count == 2 ? ends[1].split(separator: " ") : []
            guard let number = result.first.flatMap({ Int($0) }) else {
                throw HarnessError("strace: \(text)")
            }
            let name = number < 0 ? String(result[1]) : "-"
            let code = number < 0 ? try errno(name) : 0
            return "\(before[0]) \(before[1]) \(String(decoding: path, as: UTF8.self)) "
                + "\(number) \(code) \(name) \(flags.joined(separator: "|"))"
        }

        private static func errno(_ name: String) throws -> Int {
            for code in 1...133 where outcome(-code).hasSuffix(" " + name) { return code }
            throw HarnessError("an errno that the tests do not know: \(name)")
        }
    }
}
