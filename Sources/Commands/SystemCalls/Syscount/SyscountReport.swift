// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Glibc
internal import Reporting
internal import Tracing

/// The counts of one system call, or of one process.
struct SyscountCounts {
    /// What the counts are of.
    enum Subject: Hashable {
        case call(UInt32)
        /// - Parameter started: in nanoseconds of the monotonic clock.
        case process(UInt32, started: UInt64)
    }

    var subject: Subject
    var comm = ""
    var count: UInt64 = 0
    var errors: UInt64 = 0
    /// Calls that `total` has the time of.
    var timed: UInt64 = 0
    /// In nanoseconds.
    var total: UInt64 = 0
    var maximum: UInt64 = 0

    var average: UInt64 { timed == 0 ? 0 : total / timed }

    /// Adds what a CPU has counted.
    mutating func add(_ part: call_total) {
        count += part.count
        errors += part.errors
        timed += part.timed
        total += part.total_ns
        maximum = max(maximum, part.max_ns)
        comm = withUnsafeBytes(of: part.comm, taskName)
    }

    /// What has been counted since an earlier state of the same counts.
    func since(_ earlier: SyscountCounts?) -> SyscountCounts {
        guard let earlier else { return self }
        var rest = self
        rest.count -= min(earlier.count, count)
        rest.errors -= min(earlier.errors, errors)
        rest.timed -= min(earlier.timed, timed)
        rest.total -= min(earlier.total, total)
        rest.maximum = maximum > earlier.maximum ? maximum : 0
        return rest
    }
}

/// Reads and prints what syscount's programs have counted.
final class SyscountReport {
    private let session: Session
    private let display: SyscountDisplay
    private let histograms: HistogramOptions
    private var kernelHistograms: KernelHistograms
    private let clock = RowClock()
    private var earlier: [SyscountCounts.Subject: SyscountCounts] = [:]
    private let table: Table<SyscountCounts>
    private var printed = 0

    init(_ command: Syscount, _ session: Session) {
        self.session = session
        display = command.display
        histograms = command.histograms
        kernelHistograms = KernelHistograms(command.histograms.scale(command.display.unit))
        let columns = SyscountColumns(command.display, clock: clock)
        table = Table(columns.shown, fields: columns.fields, json: session.common.json)
    }

    func print(_ object: LoadedObject) throws {
        clock.wall.synchronize()
        if display.histogram { return try printHistograms(object) }
        let rows = new(object).sorted { first, second in
            display.latency
                ? (first.total, first.count) > (second.total, second.count) : first.count > second.count
        }
        let most = display.top ?? (session.common.json ? rows.count : 10)
        try session.output.write { writer in
            if !session.common.json {
                if printed > 0 { writer.append("\n") }
                writer.append("[")
                writer.append(clock.wall.nowTimeOfDay())
                writer.append("]\n")
            }
            table.writeHeading(to: writer)
            for row in rows.prefix(most) { table.write(row, to: writer) }
        }
        try session.output.flush()
        printed += 1
        if rows.count > most {
            session.explain("\(rows.count - most) more rows are not shown: -T sets how many are")
        }
    }

    /// What has been counted since the last call.
    private func new(_ object: LoadedObject) -> [SyscountCounts] {
        let map: HashMap<call_key, call_total> = object.map("totals")
        var sums: [SyscountCounts.Subject: SyscountCounts] = [:]
        map.forEach { key, total in
            let subject: SyscountCounts.Subject =
                display.byProcess ? .process(key.process, started: key.started_ns) : .call(key.call)
            sums[subject, default: SyscountCounts(subject: subject)].add(total.pointee)
        }
        let new = sums.values.map { $0.since(earlier[$0.subject]) }
        earlier = sums
        var starts = ProcessStarts()
        for counts in new {
            if case .process(let process, let started) = counts.subject { starts.note(process, started) }
        }
        // The map must have room for processes to come.
        for counts in new where counts.count == 0 {
            guard case .process(let process, let started) = counts.subject,
                starts.isOver(process, started)
            else { continue }
            var key = call_key()
            key.process = process
            key.started_ns = started
            map.remove(key)
            earlier[counts.subject] = nil
        }
        return new.filter { $0.count > 0 }
    }

    private func printHistograms(_ object: LoadedObject) throws {
        let entries = kernelHistograms.new(object).sorted { $0.distribution.total > $1.distribution.total }
        let most = display.top ?? (session.common.json ? entries.count : 10)
        try session.output.write { writer in
            if !session.common.json && printed > 0 { writer.append("\n") }
            for entry in entries.prefix(most) {
                let record = record(entry)
                if session.common.json {
                    record.writeJSON(to: writer) { writer in
                        writer.append(",\"time_ns\":")
                        writer.appendNumber(clock.wall.nowUnixNanoseconds)
                    }
                } else {
                    writer.append("\nsyscall = \(record.name)\n")
                    histograms.write(entry.distribution, unit: display.unit, to: writer)
                }
            }
        }
        try session.output.flush()
        printed += 1
    }

    /// Compares with an earlier recording of histograms.
    func compare(_ object: LoadedObject, with baseline: [DistributionRecord]) throws {
        let records = kernelHistograms.all(object).map(record).sorted { $0.name < $1.name }
        try DistributionComparison(before: baseline, after: records).write(
            to: session.output, json: session.common.json)
    }

    private func record(_ entry: KernelHistograms.Entry) -> DistributionRecord {
        DistributionRecord(
            command: session.name, by: "syscall", id: entry.id,
            name: SystemCall(code: UInt32(truncatingIfNeeded: entry.id))?.title ?? String(entry.id),
            distribution: entry.distribution)
    }
}

/// The columns of syscount, each declared once.
struct SyscountColumns {
    private let display: SyscountDisplay
    private let clock: RowClock

    init(_ display: SyscountDisplay, clock: RowClock) {
        self.display = display
        self.clock = clock
    }

    var shown: [Column<SyscountCounts>] {
        let times = display.latency ? [total, average] : []
        return (display.byProcess ? [process, comm] : [call]) + [count, errors] + times
    }

    var fields: [Column<SyscountCounts>] {
        let times = display.latency ? [timed, total, average, maximum] : []
        return [time] + (display.byProcess ? [process, start, comm] : [call]) + [count, errors] + times
    }

    private var time: Column<SyscountCounts> {
        Column("TIME", key: "time_ns") { [clock] cell, _ in cell.integer(clock.wall.nowUnixNanoseconds) }
    }

    private var call: Column<SyscountCounts> {
        Column("SYSCALL", width: 22, key: "syscall") { cell, row in
            guard case .call(let code) = row.subject, let call = SystemCall(code: code) else {
                return cell.missing()
            }
            cell.text(cell.form == .json ? call.name : call.title)
            cell.alsoField("abi") { $0.word(call.abi.name) }
            cell.alsoField("number") { $0.unsigned(UInt64(call.number)) }
        }
    }

    private var process: Column<SyscountCounts> {
        Column("PID", width: taskIDWidth, key: "pid") { cell, row in
            guard case .process(let process, _) = row.subject else { return cell.missing() }
            cell.unsigned(UInt64(process))
        }
    }

    private var start: Column<SyscountCounts> {
        Column("START", key: "start_ns") { [clock] cell, row in
            guard case .process(_, let started) = row.subject else { return cell.missing() }
            cell.integer(clock.start(started))
        }
    }

    private var comm: Column<SyscountCounts> { Column("COMM", width: 16, key: "comm") { $0.text($1.comm) } }

    private var count: Column<SyscountCounts> {
        Column("COUNT", width: 8, .right, key: "count") { $0.unsigned($1.count) }
    }

    private var errors: Column<SyscountCounts> {
        Column("ERRORS", width: 8, .right, key: "errors") { $0.unsigned($1.errors) }
    }

    private var timed: Column<SyscountCounts> { Column("TIMED", key: "timed") { $0.unsigned($1.timed) } }

    private var total: Column<SyscountCounts> {
        Column(display.milliseconds ? "TIME (ms)" : "TIME (us)", width: 16, .right, key: "total_ns") {
            [unit = display.unit] in Self.write($1.total, unit, to: &$0)
        }
    }

    private var average: Column<SyscountCounts> {
        Column(display.milliseconds ? "AVG (ms)" : "AVG (us)", width: 12, .right, key: "average_ns") {
            [unit = display.unit] in Self.write($1.average, unit, to: &$0)
        }
    }

    private var maximum: Column<SyscountCounts> {
        Column("MAX", key: "max_ns") { cell, row in
            guard row.maximum > 0 else { return cell.missing() }
            cell.unsigned(row.maximum)
        }
    }

    /// Nanoseconds in JSON; for people, thousandths of the unit.
    private static func write(_ nanoseconds: UInt64, _ unit: TimeUnit, to cell: inout Cell) {
        if cell.form == .json { return cell.unsigned(nanoseconds) }
        cell.plain { writer in
            writer.appendNumber(nanoseconds / unit.nanoseconds)
            writer.append(".")
            writer.appendNumber(nanoseconds % unit.nanoseconds * 1000 / unit.nanoseconds, minimumDigits: 3)
        }
    }
}
