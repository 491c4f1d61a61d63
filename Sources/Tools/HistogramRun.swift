// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Processes
internal import Reporting
internal import Tracing

/// One run of a command that prints histograms, now and then or once at the end.
final class HistogramRun {
    private let session: Session
    private let command: String
    private let what: String
    private let options: HistogramOptions
    private let intervals: IntervalOptions
    private let by: histogram_by
    private var histograms: KernelHistograms
    private var clock = WallClock()
    private var printed = 0
    private let cgroups = CgroupNames()

    /// - Parameter what: the events, in the plural, for messages.
    init(
        _ session: Session, what: String, options: HistogramOptions, intervals: IntervalOptions,
        by: histogram_by
    ) {
        self.session = session
        command = session.name
        self.what = what
        self.options = options
        self.intervals = intervals
        self.by = by
        histograms = KernelHistograms(options.scale(intervals.unit))
    }

    /// Configures an open object that has been given its `sched_config`, and runs it to the end.
    func run(_ object: consuming OpenObject, banner: String) throws {
        histograms.scale.configure(object)
        try object.resize("histograms", to: options.maxKeys)
        let loaded = try session.load(object)
        let baseline = try options.compare.first.map(DistributionRecord.read)
        try session.run(
            loaded, of: what,
            ready: { session.say(banner) },
            interval: intervals.interval.map { seconds in (seconds, { try self.print(loaded) }) },
            atEnd: {
                if let baseline {
                    let records = histograms.all(loaded).map(record)
                    try Comparison(before: baseline, after: DistributionRecord.merged(records)).write(
                        to: session.output, json: session.common.json)
                } else if intervals.count.map({ printed < $0 }) ?? true {
                    try print(loaded)
                }
            })
    }

    private func print(_ object: LoadedObject) throws {
        guard options.compare.isEmpty else { return }
        let entries = histograms.new(object).sorted {
            ($0.distribution.total, $1.id) > ($1.distribution.total, $0.id)
        }
        clock.synchronize()
        try session.output.write { writer in
            if session.common.json {
                for entry in entries { writeJSON(entry, to: writer) }
            } else {
                writeText(entries, to: writer)
            }
        }
        try session.output.flush()
        printed += 1
        if let count = intervals.count, printed >= count { session.loop.stop() }
    }

    private func writeJSON(_ entry: KernelHistograms.Entry, to writer: ByteWriter) {
        record(entry).writeJSON(to: writer) { writer in
            writer.append(",\"time_ns\":")
            writer.appendNumber(clock.nowUnixNanoseconds)
        }
    }

    private func writeText(_ entries: [KernelHistograms.Entry], to writer: ByteWriter) {
        if printed > 0 { writer.append("\n") }
        if intervals.timestamp {
            writer.append(clock.nowTimeOfDay())
            writer.append("\n")
        }
        for entry in entries {
            let title = title(entry)
            if !title.isEmpty {
                writer.append("\n")
                writer.appendEscaped(title)
                writer.append("\n")
            }
            options.write(entry.distribution, unit: intervals.unit, to: writer)
        }
    }

    /// The line above a histogram, as in BCC's tools.
    private func title(_ entry: KernelHistograms.Entry) -> String {
        switch by {
        case BY_PROCESS: "pid = \(entry.process) \(entry.comm)"
        case BY_THREAD: "tid = \(entry.thread) \(entry.comm)"
        case BY_PID_NAMESPACE: "pidns = \(entry.id)"
        case BY_CGROUP: "cgroup = \(name(entry))"
        case BY_CPU: "cpu = \(entry.id)"
        default: ""
        }
    }

    private func name(_ entry: KernelHistograms.Entry) -> String {
        switch by {
        case BY_PROCESS, BY_THREAD: entry.comm
        case BY_CGROUP: cgroups.path(entry.id) ?? String(entry.id)
        case BY_NOTHING: "all"
        default: String(entry.id)
        }
    }

    private func record(_ entry: KernelHistograms.Entry) -> DistributionRecord {
        let kind: String
        let id: UInt64
        switch by {
        case BY_PROCESS: (kind, id) = ("process", UInt64(entry.process))
        case BY_THREAD: (kind, id) = ("thread", UInt64(entry.thread))
        case BY_PID_NAMESPACE: (kind, id) = ("pid_namespace", entry.id)
        case BY_CGROUP: (kind, id) = ("cgroup", entry.id)
        case BY_CPU: (kind, id) = ("cpu", entry.id)
        default: (kind, id) = ("all", 0)
        }
        return DistributionRecord(
            command: command, by: kind, id: id, name: name(entry), distribution: entry.distribution)
    }
}
