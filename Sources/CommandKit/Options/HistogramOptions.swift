// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Reporting

/// How a histogram is shown, counted and compared: for every command that prints one.
package struct HistogramOptions: ParsableArguments {
    @Flag(
        name: .customLong("percentiles"),
        help: "Print count, mean, percentiles and maximum below each histogram.")
    package var percentiles = false

    @Option(
        name: .customLong("linear"), parsing: .unconditional,
        help: ArgumentHelp(
            "Buckets of this width, in the unit shown, instead of powers of two; \(HISTOGRAM_BUCKETS) of them.",
            valueName: "width"),
        transform: parseBucketWidth)
    package var linear: UInt64?

    @Option(
        name: .customLong("max-keys"), parsing: .unconditional,
        help: ArgumentHelp(
            "How many threads, or processes and the like on each CPU, histograms are kept of (10240).",
            valueName: "count"),
        transform: parseKeyCount)
    package var maxKeys: UInt32 = 10_240

    @Option(
        name: .customLong("compare"),
        help: ArgumentHelp(
            "Compare this run with a recording made with --json; given twice, compare two recordings.",
            valueName: "file"))
    package var compare: [String] = []

    package init() {}

    package mutating func validate() throws {
        if compare.count > 2 { throw ValidationError("--compare takes one recording or two.") }
    }

    func scale(_ unit: TimeUnit) -> KernelHistograms.Scale {
        KernelHistograms.Scale(unit: unit, step: linear.map { $0 * unit.nanoseconds })
    }

    /// Two recordings need no tracing.
    ///
    /// - Returns: whether that was all there is to do.
    func compareRecordings(json: Bool) throws -> Bool {
        guard compare.count == 2 else { return false }
        let comparison = DistributionComparison(
            before: try DistributionRecord.read(compare[0]), after: try DistributionRecord.read(compare[1]))
        let output = Output()
        try comparison.write(to: output, json: json)
        try output.flush()
        return true
    }

    /// Writes a distribution as text.
    func write(_ distribution: Distribution, unit: TimeUnit, to writer: ByteWriter) {
        distribution.write(to: writer, unit: unit, linear: linear != nil)
        guard percentiles else { return }
        writer.append("\ncount ")
        writer.appendNumber(distribution.count)
        let values: [(StaticString, UInt64)] = [
            ("mean", distribution.mean), ("p50", distribution.percentile(0.5)),
            ("p90", distribution.percentile(0.9)), ("p99", distribution.percentile(0.99)),
            ("p99.9", distribution.percentile(0.999)), ("max", distribution.maximum),
        ]
        for (name, value) in values {
            writer.append(", ")
            writer.append(name)
            writer.append(" ")
            writer.appendNumber(value / unit.nanoseconds)
        }
        writer.append(" ")
        writer.append(unit.heading)
        writer.append("\n")
    }
}

/// When the commands of the runqlat family print: `[interval [count]]`.
package struct IntervalOptions: ParsableArguments {
    @Argument(help: "Print every so many seconds; without it, at the end.", transform: parseSeconds)
    package var interval: Double?

    @Argument(help: "End after so many prints.", transform: parseCount)
    package var count: Int?

    @Flag(
        name: [.customShort("T"), .customLong("timestamp")], help: "Print the time of day above each report.")
    package var timestamp = false

    @Flag(
        name: [.customShort("m"), .customLong("milliseconds")],
        help: "Count in milliseconds, not microseconds.")
    package var milliseconds = false

    @Flag(name: [.customShort("P"), .customLong("pids")], help: "A histogram for each process.")
    package var byProcess = false

    @Flag(name: [.customShort("L"), .customLong("tids")], help: "A histogram for each thread.")
    package var byThread = false

    @Flag(name: .customLong("by-cgroup"), help: "A histogram for each cgroup (v2).")
    package var byCgroup = false

    @Flag(name: .customLong("by-cpu"), help: "A histogram for each CPU.")
    package var byCPU = false

    package init() {}

    package mutating func validate() throws {
        if [byProcess, byThread, byCgroup, byCPU].filter({ $0 }).count > 1 {
            throw ValidationError("-P, -L, --by-cgroup and --by-cpu exclude each other: give one of them.")
        }
    }

    var unit: TimeUnit { milliseconds ? .milliseconds : .microseconds }

    var by: histogram_by {
        byProcess ? BY_PROCESS : byThread ? BY_THREAD : byCgroup ? BY_CGROUP : byCPU ? BY_CPU : BY_NOTHING
    }
}

func parseCount(_ text: String) throws -> Int {
    guard let count = Int(text), count > 0 else {
        throw ValidationError("invalid count '\(escaped(text))': expected a positive number.")
    }
    return count
}

private func parseBucketWidth(_ text: String) throws -> UInt64 {
    guard let width = UInt64(text), width > 0, width <= 1_000_000_000 else {
        throw ValidationError("invalid width of a bucket '\(escaped(text))': expected a positive number.")
    }
    return width
}

private func parseKeyCount(_ text: String) throws -> UInt32 {
    guard let count = UInt32(text), count > 0, count <= 1 << 20 else {
        throw ValidationError("invalid number of histograms '\(escaped(text))': expected 1 to \(1 << 20).")
    }
    return count
}
