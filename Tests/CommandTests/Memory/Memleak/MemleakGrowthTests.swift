// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension [String: Any] {
    func has(_ function: String) -> Bool {
        (self["frames"] as? [[String: Any]] ?? []).contains { $0.text("function") == function }
    }
}

extension JSONLines {
    func stacks(_ function: String) -> [[String: Any]] {
        rows.filter { $0.text("type") == "stack" && $0.has(function) }
    }

    /// The rows of the last report only.
    var last: JSONLines {
        let ends = rows.indices.filter { rows[$0].text("type") == "report" }
        guard let end = ends.last else { return JSONLines(rows: [], others: []) }
        let start = ends.dropLast().last.map { $0 + 1 } ?? 0
        return JSONLines(rows: Array(rows[start...end]), others: others)
    }

    /// Blocks and bytes of a function in the last report.
    func inUse(_ function: String) -> [Int] {
        let found = last.stacks(function)
        return [
            found.reduce(0) { $0 + $1.number("allocations") }, found.reduce(0) { $0 + $1.number("bytes") },
        ]
    }
}

extension EndToEnd {
    @Suite struct MemleakGrowthTests {
        private static let framed = [
            "-g", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-w",
        ]

        private func program() throws -> String { try Harness.program("growth", options: Self.framed) }

        /// Seconds.
        private static let interval = 0.5

        /// Three stacks that grow in three ways, until there were so many reports after the cache was filled that it
        /// has levelled off.
        private func grow(_ format: [String], reports: (String) -> Int) throws -> Attached {
            let run = try Attached(
                [try program()], ["--growth", "-o", "0", "\(Self.interval)"], format: format)
            func count() throws -> Int { reports(try run.reported()) }
            func wait(for wanted: Int) throws {
                try eventually("\(wanted) reports", by: [run.target, run.tracer]) { try count() >= wanted }
            }
            try run.obey("constant")
            try run.obey("leak")
            try wait(for: 1)
            // A report that was read while these were made may still come: the next one has them all.
            try run.obey("fill")
            let filled = try count()
            try wait(for: 2 * filled + 3)
            return run
        }

        /// Whether nothing has happened that has to do with the machine and not with the program.
        private func wasUndisturbed(_ run: Attached, _ first: [Int]) throws -> Bool {
            let line = try run.printed().split(separator: "\n").last ?? ""
            let gap = line.split(separator: " ").compactMap { Int($0) }.first ?? .max
            return Double(gap) < Self.interval * 1e6 / 2 && first == [50, 2000]
        }

        @Test func leakCacheAndConstantAreToldApart() throws {
            for attempt in 1...5 {
                let run = try grow(["--json"]) {
                    $0.components(separatedBy: "{\"type\":\"report\"").count - 1
                }
                let lines = try JSONLines(try run.interrupt())
                let end = try #require(lines.rows.firstIndex { $0.text("type") == "report" })
                let first = JSONLines(rows: Array(lines.rows[...end]), others: [])
                guard try wasUndisturbed(run, first.inUse("keep_constant")) || attempt == 5 else { continue }
                let growth = lines.rows.filter { $0.text("type") == "growth" }
                let suspects = growth.filter { $0.text("verdict") == "suspect" }
                #expect(suspects.count == 1)
                let suspect = try #require(suspects.first)
                #expect(suspect.has("leak_steadily") && !suspect.has("fill_cache"))
                #expect(suspect.number("growths") == suspect.number("intervals"))
                #expect(suspect.number("grown_bytes") == 24 * suspect.number("grown_allocations"))
                let caches = growth.filter { $0.text("verdict") == "levelled_off" }
                #expect(caches.count == 1)
                #expect(caches.first?.has("fill_cache") == true)
                #expect(caches.first?.number("bytes") == 6400)
                #expect(!growth.contains { $0.has("keep_constant") })
                let summary = try #require(lines.rows.last)
                #expect(summary.text("type") == "growth_report")
                #expect(summary.number("constant") >= 1)
                // What it gained from report to report is what it has.
                let leak = lines.stacks("leak_steadily")
                #expect(
                    leak.reduce(0) { $0 + $1.number("gained_bytes") } == leak.last?.number("bytes"))
                #expect(leak.last?.number("bytes") ?? 0 > 0)
                #expect(try run.complaints().contains("1 stacks grew in each of"))
                return
            }
        }

        @Test func aProgramThatEndsIsJudgedByWhatItDidBefore() throws {
            for attempt in 1...5 {
                let run = try grow([]) { $0.components(separatedBy: "stacks with outstanding").count - 1 }
                let text = try run.finish(after: "fill")
                let first = text.components(separatedBy: "stacks with outstanding").dropFirst().first ?? ""
                let constant = first.contains(
                    /\t2000 bytes in 50 allocations from stack\n\t\t0x[0-9a-f]+\tkeep_c/)
                guard try wasUndisturbed(run, constant ? [50, 2000] : []) || attempt == 5 else { continue }
                let parts = text.components(separatedBy: " grew at first, and then no more: perhaps caches\n")
                try #require(parts.count == 2, "\(text)")
                #expect(parts[0].hasSuffix("Top 1 of 1 stacks that"))
                let conclusion = parts[1].split(
                    separator: /\[.*\] Top 1 of 1 stacks that grew in each of .*\n/)
                try #require(conclusion.count == 2, "\(parts[1])")
                #expect(conclusion[0].contains("fill_cache") && !conclusion[0].contains("leak_steadily"))
                #expect(conclusion[1].contains("leak_steadily") && !conclusion[1].contains("fill_cache"))
                #expect(!parts[1].contains("keep_constant"))
                // The last report has all, and what was leaked in the end as well.
                let leaks = try run.printed().firstMatch(of: /leaks (\d+)/).flatMap { Int($0.1) } ?? 0
                #expect(parts[0].contains("\t\(24 * leaks) bytes in \(leaks) allocations from stack\n"))
                return
            }
        }

        @Test func tooFewReportsSayNothingOfGrowth() throws {
            let run = try Attached([try program()], ["--growth", "-o", "0", "1000"])
            try run.obey("mark 3")
            let lines = try JSONLines(try run.interrupt())
            #expect(lines.inUse("leak_marked") == [3, 144])
            #expect(!lines.rows.contains { $0.text("type").hasPrefix("growth") })
            #expect(try run.complaints().contains("after fewer than 2 intervals"))
            let refused = try Finished([Harness.apus, "memleak", "--growth", "-p", "1", "1", "2"])
            #expect(refused.end == .exited(64))
        }

        @Test(arguments: [[], ["-C"]])
        func aMarkIsANewBeginning(options: [String]) throws {
            let run = try Attached([try program()], options + ["-o", "0", "1000"])
            try run.obey("mark 10")
            run.tracer.send(SIGUSR1)
            try run.waitFor("from here")
            try run.obey("mark 7")
            #expect(try JSONLines(try run.interrupt()).inUse("leak_marked") == [7, 336])
        }

        @Test func temporaryBlocksAreThoseThatAreFreedAtOnce() throws {
            let run = try Attached([try program()], ["--temporary", "-o", "0", "1000"])
            try run.obey("churn 500")
            // Only the last of these is freed with no allocation in between.
            try run.obey("pause 300")
            try run.obey("mark 20")
            let lines = try JSONLines(try run.interrupt())
            let churn = try #require(lines.stacks("churn").first)
            #expect(churn.number("temporary_allocations") == 500)
            #expect(churn.number("temporary_bytes") == 28_000)
            #expect(churn.number("total_allocations") == 500)
            #expect(lines.stacks("hold_a_while").map { $0.number("temporary_allocations") } == [1])
            #expect(lines.stacks("hold_a_while").map { $0.number("total_allocations") } == [300])
            #expect(lines.stacks("leak_marked").isEmpty)
            #expect(lines.rows.last { $0.text("type") == "stack" }?.has("churn") == true)
        }

        @Test func twoRecordingsAreCompared() throws {
            let folder = try TemporaryFolder()
            for (name, lines) in [
                ("before", ["mark 10", "constant", "fill"]), ("after", ["mark 25", "constant"]),
            ] {
                let run = try Attached([try program()], ["-o", "0", "1000"])
                for line in lines { try run.obey(line) }
                try Data(try run.interrupt().utf8).write(to: URL(fileURLWithPath: folder.path(name)))
            }
            let words = ["memleak", "--diff", folder.path("before"), folder.path("after")]
            let difference = try JSONLines.of(words + ["--json"])
            let rows = difference.rows.filter { $0.text("type") == "difference" }
            #expect(rows.map { $0.number("gained_bytes") } == [-6400, 720])
            #expect(rows.map { $0.number("gained_allocations") } == [-64, 15])
            #expect(rows.first?.has("fill_cache") == true && rows.last?.has("leak_marked") == true)
            #expect(difference.rows.last?.number("gained_bytes") == -5680)
            let picture = folder.path("diff.svg")
            let result = try Finished([Harness.apus] + words + ["--flamegraph", picture])
            #expect(result.end == .exited(0))
            #expect(
                result.text.contains(
                    "+720 bytes in +15 allocations, from 480 bytes in 10 to 1200 bytes in 25"))
            let drawn = try String(contentsOfFile: picture, encoding: .utf8)
            #expect(drawn.contains("leak_marked") && drawn.contains("keep_constant"))
        }

        @Test func recordingsThatCannotBeRead() throws {
            let folder = try TemporaryFolder()
            try Data("main;f 3\n".utf8).write(to: URL(fileURLWithPath: folder.path("folded")))
            for (words, code, text) in [
                (["folded", "missing"], 1, "cannot read"), (["folded", ""], 1, "cannot read"),
                (["folded"], 64, "--diff takes two recordings"),
            ] as [([String], Int32, String)] {
                let result = try Finished(
                    [Harness.apus, "memleak", "--diff"] + words.map { folder.path($0) })
                #expect(result.end == .exited(code))
                #expect(result.errors.contains(text), "\(result.errors)")
                #expect(result.text.isEmpty)
            }
        }
    }
}
