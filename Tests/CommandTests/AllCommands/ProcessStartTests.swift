// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// Two processes that have one number, one after the other, are two: their rows say when each was started.
    @Suite(.require(.root)) struct ProcessStartTests {
        @Test(
            arguments: [
                ["profile", "-F", "199", "-U"], ["offcputime", "-U", "--state", "1"],
                ["stackcount", "-U", "c:usleep"], ["stackcount", "-K", "-P", "t:sched:sched_process_exit"],
                ["syscount", "-P"], ["filetop"],
            ])
        func rowsSayWhenTheProcessWasStarted(words: [String]) throws {
            let part = try Harness.program("moments", options: ["-g", "-O1", "-DPART=part", "-pie"])
            let before = Self.now
            let result = try Finished(
                [Harness.apus] + words + ["--json", "--follow", "--", part, "number", part, part],
                patience: 60)
            let after = Self.now
            try #require(result.end == .exited(0), "\(result.errors)")
            let output = try JSONLines(result.text)
            let said = output.others.compactMap { Int($0.replacingOccurrences(of: "number ", with: "")) }
            let number = try #require(said.first, "\(output.others)")
            let rows = output.rows.filter { $0.number("pid") == number }
            let starts = Set(rows.map { $0.number("start_ns") })
            #expect(starts.count == 2, "\(rows)")
            #expect(starts.allSatisfy { (before...after).contains($0) }, "\(starts), \(before) to \(after)")
        }

        /// Rows of later reports name a process by the same time.
        @Test(arguments: [["syscount", "-P", "-i", "0.2"], ["filetop", "0.2"]])
        func aProcessHasOneStart(words: [String]) throws {
            let output = try JSONLines.of(
                words + [
                    "--json", "--", "sh", "-c",
                    "exec 3>&1; until [ $(grep -c '\"comm\":\"sh\"' /proc/self/fd/3) -ge 3 ]; do "
                        + "read x < /etc/passwd; sleep 0.02; done",
                ])
            let rows = output.rows.filter { $0.text("comm") == "sh" }
            #expect(rows.count > 2)
            #expect(Set(rows.map { $0.number("start_ns") }).count == 1, "\(rows)")
        }

        private static var now: Int { Int(Date().timeIntervalSince1970 * 1e9) }
    }
}
