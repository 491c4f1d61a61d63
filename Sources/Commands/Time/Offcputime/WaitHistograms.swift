// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Reporting
internal import Tracing

/// `offcputime --histogram`: how long the waits of each thread took, by what it waited for.
struct WaitHistograms {
    private static let unit = TimeUnit.microseconds

    /// The waits of one kind of one thread.
    private struct Entry {
        let process: UInt32
        let thread: UInt32
        let comm: String
        let wait: BlockingKind
        var distribution: Distribution

        /// Threads have other IDs in another run: this is what two runs have in common.
        var record: DistributionRecord {
            DistributionRecord(
                command: "offcputime", by: "thread", id: UInt64(thread), name: "\(comm): \(wait.rawValue)",
                distribution: distribution)
        }
    }

    private struct Group: Hashable {
        let thread: UInt32
        let wait: BlockingKind
    }

    private let entries: [Entry]
    private let options: HistogramOptions

    /// - Parameter kernelNames: functions of a kernel stack, leaf first.
    init(_ trace: OffCPUTrace, _ options: HistogramOptions, kernelNames: ([UInt64]) -> [String]) {
        self.options = options
        let scale = options.scale(Self.unit)
        let map: HashMap<block_histogram_key, histogram> = trace.object.map("histograms")
        var found: [Group: Entry] = [:]
        var kinds: [UInt64: [UInt32: BlockingKind]] = [:]
        map.forEach { key, value in
            let kind =
                kinds[key.kernel_stack]?[key.state]
                ?? BlockingKind(state: key.state, kernel: kernelNames(trace.addresses(key.kernel_stack)))
            kinds[key.kernel_stack, default: [:]][key.state] = kind
            let distribution = scale.distribution(value)
            let group = Group(thread: key.thread, wait: kind)
            if found[group]?.distribution.add(distribution) == nil {
                found[group] = Entry(
                    process: value.pointee.process, thread: key.thread,
                    comm: withUnsafeBytes(of: value.pointee.comm, taskName), wait: kind,
                    distribution: distribution)
            }
        }
        entries = found.values.filter { $0.distribution.count > 0 }.sorted {
            ($1.distribution.total, $0.thread, $0.wait.rawValue)
                < ($0.distribution.total, $1.thread, $1.wait.rawValue)
        }
    }

    /// Writes them, or with a recording what has changed since.
    func write(to output: Output, json: Bool, comparedTo before: [DistributionRecord]?) throws {
        if let before {
            let after = DistributionRecord.merged(entries.map(\.record))
            return try DistributionComparison(before: before, after: after).write(to: output, json: json)
        }
        for entry in entries {
            try output.write { json ? writeJSON(entry, to: $0) : writeText(entry, to: $0) }
        }
    }

    private func writeText(_ entry: Entry, to writer: ByteWriter) {
        writer.append("\n")
        writer.appendEscaped("tid = \(entry.thread) \(entry.comm), wait = \(entry.wait.rawValue)")
        writer.append("\n")
        options.write(entry.distribution, unit: Self.unit, to: writer)
    }

    private func writeJSON(_ entry: Entry, to writer: ByteWriter) {
        entry.record.writeJSON(to: writer) { writer in
            writer.append(",\"pid\":")
            writer.appendNumber(UInt64(entry.process))
            writer.append(",\"comm\":")
            writer.appendJSONString(entry.comm)
            writer.append(",\"wait\":")
            writer.appendJSONString(entry.wait.rawValue)
        }
    }
}
