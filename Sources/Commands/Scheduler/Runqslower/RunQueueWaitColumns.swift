// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Reporting

/// The columns of runqslower, each declared once.
struct RunQueueWaitColumns {
    let clock = RowClock()
    /// Thread IDs as the thread itself sees them.
    let ownIDs: Bool

    func shown(previous: Bool, who: Bool) -> [Column<RunQueueWaitEvent>] {
        var columns = [time, comm, thread, latency]
        if previous { columns += [previousComm, previousThread] }
        if who { columns += [cpu, priority, runnerComm, runnerThread, runnerTime, cause] }
        return columns
    }

    var fields: [Column<RunQueueWaitEvent>] {
        [
            kindOfRow, time, comm, process, thread, ownThread, latency, kind, cpu, fromCPU, priority, policy,
            previousComm, previousThread, cause, throttled, interrupts, runners,
        ]
    }

    private var kindOfRow: Column<RunQueueWaitEvent> {
        Column("TYPE", key: "type") { cell, _ in cell.text("wait") }
    }

    private var time: Column<RunQueueWaitEvent> {
        Column("TIME", width: 8, key: "time_ns") { [clock] cell, row in
            switch cell.form {
            case .json: cell.integer(clock.wall.unixNanoseconds(row.head.time_ns))
            case .text:
                let text = clock.wall.timeOfDay(row.head.time_ns)
                cell.plain { $0.append(text) }
            }
        }
    }

    private var comm: Column<RunQueueWaitEvent> {
        Column("COMM", width: 16, key: "comm") { $0.text($1.comm) }
    }

    private var process: Column<RunQueueWaitEvent> {
        Column("PID", width: taskIDWidth, key: "pid") { $0.integer(Int64($1.head.process)) }
    }

    private var thread: Column<RunQueueWaitEvent> {
        Column("TID", width: taskIDWidth, key: "tid") { [ownIDs] cell, row in
            cell.integer(Int64(ownIDs && cell.form == .text ? row.head.own_thread : row.head.thread))
        }
    }

    private var ownThread: Column<RunQueueWaitEvent> {
        Column("OWN TID", key: "own_tid") { $0.integer(Int64($1.head.own_thread)) }
    }

    private var latency: Column<RunQueueWaitEvent> {
        Column("LAT(us)", width: 14, .right, key: "wait_ns") { cell, row in
            cell.unsigned(cell.form == .json ? row.head.wait_ns : row.head.wait_ns / 1000)
        }
    }

    private var kind: Column<RunQueueWaitEvent> {
        Column("KIND", key: "kind") { $0.text($1.kindName.description) }
    }

    private var cpu: Column<RunQueueWaitEvent> {
        Column("CPU", width: 3, .right, key: "cpu") { $0.integer(Int64($1.head.cpu)) }
    }

    private var fromCPU: Column<RunQueueWaitEvent> {
        Column("FROM", key: "from_cpu") { $0.integer(Int64($1.head.from_cpu)) }
    }

    private var priority: Column<RunQueueWaitEvent> {
        Column("PRIO", width: 4, .right, key: "priority") { $0.integer(Int64($1.head.priority)) }
    }

    private var policy: Column<RunQueueWaitEvent> {
        Column("POLICY", key: "policy") { $0.text(RunQueueWaitEvent.policyName($1.head.policy)) }
    }

    private var previousComm: Column<RunQueueWaitEvent> {
        Column("PREV COMM", width: 16, key: "previous_comm") { $0.text($1.previousComm) }
    }

    private var previousThread: Column<RunQueueWaitEvent> {
        Column("PREV TID", width: max(8, taskIDWidth), key: "previous_tid") {
            $0.integer(Int64($1.head.previous))
        }
    }

    private var runnerComm: Column<RunQueueWaitEvent> {
        Column("RAN INSTEAD", width: 16, key: nil) { cell, row in
            guard let runner = row.runners.first else { return cell.missing() }
            cell.text(runner.isIdle ? "(idle)" : runner.comm)
        }
    }

    private var runnerThread: Column<RunQueueWaitEvent> {
        Column("ITS TID", width: max(7, taskIDWidth), key: nil) { cell, row in
            guard let runner = row.runners.first else { return cell.missing() }
            cell.integer(Int64(runner.thread))
        }
    }

    private var runnerTime: Column<RunQueueWaitEvent> {
        Column("FOR(us)", width: 10, .right, key: nil) { cell, row in
            guard let runner = row.runners.first else { return cell.missing() }
            cell.unsigned(runner.held / 1000)
        }
    }

    private var cause: Column<RunQueueWaitEvent> {
        Column("CAUSE", width: 10, key: "cause") { $0.text($1.cause.rawValue) }
    }

    private var throttled: Column<RunQueueWaitEvent> {
        Column("THROTTLED", key: "throttled_ns") { $0.unsigned($1.head.throttled_ns) }
    }

    private var interrupts: Column<RunQueueWaitEvent> {
        Column("INTERRUPTS", key: "interrupt_ns") { $0.unsigned($1.head.interrupt_ns) }
    }

    private var runners: Column<RunQueueWaitEvent> {
        Column("RUNNERS", key: "ran_instead") { cell, row in
            let runners = row.runners
            let cut = row.head.runs_cut != 0
            cell.plain { writer in Self.writeRunners(runners, to: writer) }
            cell.alsoField("ran_instead_complete") { json in json.plain { $0.append(cut ? "false" : "true") }
            }
        }
    }

    private static func writeRunners(_ runners: [RunQueueWaitEvent.Runner], to writer: ByteWriter) {
        writer.append("[")
        for (index, runner) in runners.enumerated() {
            writer.append(index == 0 ? "{\"tid\":" : ",{\"tid\":")
            writer.appendNumber(UInt64(runner.thread))
            writer.append(",\"comm\":")
            writer.appendJSONString(runner.comm)
            writer.append(",\"held_ns\":")
            writer.appendNumber(runner.held)
            writer.append(",\"priority\":")
            writer.appendNumber(Int64(runner.priority))
            writer.append(",\"policy\":")
            writer.appendJSONString(RunQueueWaitEvent.policyName(runner.policy))
            writer.append("}")
        }
        writer.append("]")
    }
}
