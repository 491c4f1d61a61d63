// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Processes
internal import Reporting
internal import Tracing

/// When histograms are printed, and in which unit.
struct HistogramSchedule {
    let unit: TimeUnit
    var interval: Double?
    var count: Int?
    var timestamp = false
}

/// Whose histograms they are.
protocol HistogramNames {
    /// The line above a histogram; empty for none.
    func title(_ entry: KernelHistograms.Entry) -> String
    /// What is put on record of a histogram, to be compared with others.
    func record(_ entry: KernelHistograms.Entry) -> DistributionRecord
    /// Writes what is in JSON only, each with a comma in front.
    func writeMore(_ entry: KernelHistograms.Entry, to writer: ByteWriter)
    /// Writes what is below a histogram in text.
    func writeFooter(_ entry: KernelHistograms.Entry, _ unit: TimeUnit, to writer: ByteWriter)
}

extension HistogramNames {
    func writeMore(_ entry: KernelHistograms.Entry, to writer: ByteWriter) {}
    func writeFooter(_ entry: KernelHistograms.Entry, _ unit: TimeUnit, to writer: ByteWriter) {}
}

/// One run of a command that prints histograms, now and then or once at the end.
final class HistogramRun {
    private let session: Session
    private let what: String
    private let options: HistogramOptions
    private let schedule: HistogramSchedule
    private let names: any HistogramNames
    private var histograms: KernelHistograms
    private var clock = WallClock()
    private var printed = 0

    /// - Parameter what: the events, in the plural, for messages.
    init(
        _ session: Session, what: String, options: HistogramOptions, schedule: HistogramSchedule,
        names: any HistogramNames
    ) {
        self.session = session
        self.what = what
        self.options = options
        self.schedule = schedule
        self.names = names
        histograms = KernelHistograms(options.scale(schedule.unit))
    }

    /// The same for a command of the scheduler.
    convenience init(
        _ session: Session, what: String, options: HistogramOptions, intervals: IntervalOptions,
        by: histogram_by
    ) {
        self.init(
            session, what: what, options: options,
            schedule: HistogramSchedule(
                unit: intervals.unit, interval: intervals.interval, count: intervals.count,
                timestamp: intervals.timestamp),
            names: TaskHistogramNames(command: session.name, by: by))
    }

    /// Configures an open object that has been given its `sched_config`, and runs it to the end.
    func run(_ object: consuming OpenObject, banner: String) throws {
        try configure(object)
        try run(try session.load(object), ready: { session.say(banner) })
    }

    /// Sets how an open object counts, and how much.
    func configure(_ object: borrowing OpenObject) throws {
        histograms.scale.configure(object)
        try object.resize("histograms", to: options.maxKeys)
    }

    /// Runs a loaded object to the end.
    func run(_ loaded: LoadedObject, ready: () -> Void, detach: () -> Void = {}) throws {
        let baseline = try options.compare.first.map(DistributionRecord.read)
        try session.run(
            loaded, of: what,
            ready: ready,
            interval: schedule.interval.map { seconds in (seconds, { try self.print(loaded) }) },
            detach: detach,
            atEnd: {
                if let baseline {
                    let records = histograms.all(loaded).map(names.record)
                    let after = DistributionRecord.merged(records)
                    try DistributionComparison(before: baseline, after: after).write(
                        to: session.output, json: session.common.json)
                } else if schedule.count.map({ printed < $0 }) ?? true {
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
        if let count = schedule.count, printed >= count { session.loop.stop() }
    }

    private func writeJSON(_ entry: KernelHistograms.Entry, to writer: ByteWriter) {
        names.record(entry).writeJSON(to: writer) { writer in
            names.writeMore(entry, to: writer)
            writer.append(",\"time_ns\":")
            writer.appendNumber(clock.nowUnixNanoseconds)
        }
    }

    private func writeText(_ entries: [KernelHistograms.Entry], to writer: ByteWriter) {
        if printed > 0 { writer.append("\n") }
        if schedule.timestamp {
            writer.append(clock.nowTimeOfDay())
            writer.append("\n")
        }
        for entry in entries {
            let title = names.title(entry)
            if !title.isEmpty {
                writer.append("\n")
                writer.appendEscaped(title)
                writer.append("\n")
            }
            options.write(entry.distribution, unit: schedule.unit, to: writer)
            names.writeFooter(entry, schedule.unit, to: writer)
        }
    }
}

/// Histograms of tasks, or of what they are parts of.
private struct TaskHistogramNames: HistogramNames {
    let command: String
    let by: histogram_by
    private let cgroups = CgroupNames()

    init(command: String, by: histogram_by) {
        self.command = command
        self.by = by
    }

    /// As in BCC's tools.
    func title(_ entry: KernelHistograms.Entry) -> String {
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

    func record(_ entry: KernelHistograms.Entry) -> DistributionRecord {
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
