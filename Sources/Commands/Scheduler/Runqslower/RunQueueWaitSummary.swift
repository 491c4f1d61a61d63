// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Reporting

/// What runqslower says at the end: the waits of each thread, and who ran instead in those that were reported.
struct RunQueueWaitSummary {
    /// Who ran during a thread's reported waits, by thread ID.
    private var blame: [UInt32: [UInt32: (comm: String, held: UInt64)]] = [:]
    private var reported: [UInt32: UInt64] = [:]

    mutating func add(_ event: RunQueueWaitEvent) {
        let thread = event.head.thread
        reported[thread, default: 0] += event.head.wait_ns
        for runner in event.runners {
            let held = (blame[thread]?[runner.thread]?.held ?? 0) + runner.held
            blame[thread, default: [:]][runner.thread] = (runner.isIdle ? "(idle)" : runner.comm, held)
        }
    }

    /// A task that ran instead, with its share (0 to 1) of the reported waiting time.
    struct Culprit: Equatable {
        let thread: UInt32
        let comm: String
        let share: Double
    }

    /// The three that ran instead the most.
    func culprits(of thread: UInt32) -> [Culprit] {
        guard let total = reported[thread], total > 0, let runners = blame[thread] else { return [] }
        return runners.sorted { $0.value.held > $1.value.held }.prefix(3).map { runner in
            Culprit(
                thread: runner.key, comm: runner.value.comm, share: Double(runner.value.held) / Double(total))
        }
    }

    /// One record a name: a program's threads may have other IDs the next time.
    func records(_ entries: [KernelHistograms.Entry]) -> [DistributionRecord] {
        var sums: [String: Distribution] = [:]
        for entry in entries { sums[entry.comm, default: Distribution()].add(entry.distribution) }
        return sums.sorted { $0.key < $1.key }.map {
            DistributionRecord(
                command: "runqslower", by: "thread", id: 0, name: $0.key, distribution: $0.value)
        }
    }

    func write(_ entries: [KernelHistograms.Entry], to output: Output, json: Bool) throws {
        let sorted = entries.sorted { $0.distribution.total > $1.distribution.total }
        if json {
            for entry in sorted { try output.write { writeJSON(entry, to: $0) } }
            return
        }
        let table = Table(columns, json: false)
        try output.write { writer in
            writer.append("\n")
            table.writeHeading(to: writer)
        }
        for entry in sorted { try output.row(table, entry) }
    }

    private func writeJSON(_ entry: KernelHistograms.Entry, to writer: ByteWriter) {
        let record = DistributionRecord(
            command: "runqslower", by: "thread", id: UInt64(entry.thread), name: entry.comm,
            distribution: entry.distribution)
        record.writeJSON(to: writer) { writer in
            writer.append(",\"ran_instead\":[")
            for (index, culprit) in culprits(of: entry.thread).enumerated() {
                writer.append(index == 0 ? "{\"tid\":" : ",{\"tid\":")
                writer.appendNumber(UInt64(culprit.thread))
                writer.append(",\"comm\":")
                writer.appendJSONString(culprit.comm)
                writer.append(",\"share\":")
                writer.append(Self.thousandths(culprit.share))
                writer.append("}")
            }
            writer.append("]")
        }
    }

    private static func thousandths(_ share: Double) -> String {
        let value = UInt64((min(max(share, 0), 1) * 1000).rounded())
        let digits = String(value % 1000)
        return "\(value / 1000)." + String(repeating: "0", count: 3 - digits.count) + digits
    }

    private var columns: [Column<KernelHistograms.Entry>] {
        [
            Column("COMM", width: 16, key: "comm") { $0.text($1.comm) },
            Column("TID", width: taskIDWidth, key: "tid") { $0.integer(Int64($1.thread)) },
            Column("WAITS", width: 9, .right, key: "waits") { $0.unsigned($1.distribution.count) },
            Column("TOTAL(us)", width: 12, .right, key: "total") {
                $0.unsigned($1.distribution.total / 1000)
            },
            Column("P50(us)", width: 9, .right, key: "p50") {
                $0.unsigned($1.distribution.percentile(0.5) / 1000)
            },
            Column("P99(us)", width: 9, .right, key: "p99") {
                $0.unsigned($1.distribution.percentile(0.99) / 1000)
            },
            Column("MAX(us)", width: 9, .right, key: "max") { $0.unsigned($1.distribution.maximum / 1000) },
            Column("RAN INSTEAD", key: "who") { cell, row in
                let culprits = culprits(of: row.thread)
                if culprits.isEmpty { return cell.missing() }
                let words = culprits.map { "\($0.comm)/\($0.thread) \(Int(($0.share * 100).rounded()))%" }
                cell.text(words.joined(separator: ", "))
            },
        ]
    }
}
