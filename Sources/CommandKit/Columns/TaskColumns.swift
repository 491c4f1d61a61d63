// SPDX-License-Identifier: Apache-2.0
internal import Reporting

/// What a row about a task has in common with others of its kind.
protocol TaskRow {
    /// CLOCK_MONOTONIC.
    var timeNanoseconds: UInt64 { get }
    var user: UInt32 { get }
    var process: UInt32 { get }
    var thread: UInt32 { get }
    var parent: UInt32 { get }
    /// cgroup v2 ID.
    var cgroup: UInt64 { get }
}

/// The columns that commands about processes share, each declared once.
struct TaskColumns<Row: TaskRow> {
    let clock: RowClock
    private let cgroups = CgroupNames()

    init(clock: RowClock) { self.clock = clock }

    var time: Column<Row> {
        Column("TIME", width: 8, key: "time_ns") { [clock] cell, row in
            switch cell.form {
            case .json: cell.integer(clock.wall.unixNanoseconds(row.timeNanoseconds))
            case .text:
                let text = clock.wall.timeOfDay(row.timeNanoseconds)
                cell.plain { $0.append(text) }
            }
        }
    }

    /// Seconds since `start` (CLOCK_MONOTONIC).
    func elapsed(since start: UInt64) -> Column<Row> {
        Column("TIME(s)", width: 8, key: nil) { cell, row in
            let passed = row.timeNanoseconds - min(start, row.timeNanoseconds)
            cell.plain { $0.appendSeconds(passed, decimals: 3) }
        }
    }

    var user: Column<Row> { Column("UID", width: 7, key: "uid") { $0.integer(Int64($1.user)) } }

    var parent: Column<Row> {
        Column("PPID", width: taskIDWidth, key: "ppid") { $0.integer(Int64($1.parent)) }
    }

    var process: Column<Row> {
        Column("PID", width: taskIDWidth, key: "pid") { $0.integer(Int64($1.process)) }
    }

    var thread: Column<Row> {
        Column("TID", width: taskIDWidth, key: "tid") { $0.integer(Int64($1.thread)) }
    }

    var cgroupID: Column<Row> { Column("CGROUP", key: "cgroup_id") { $0.unsigned($1.cgroup) } }

    var cgroup: Column<Row> {
        Column("CGROUP", width: 24, key: "cgroup") { [cgroups] cell, row in
            guard let path = cgroups.path(row.cgroup) else { return cell.missing() }
            cell.text(path)
        }
    }

    var container: Column<Row> {
        Column("CONTAINER", width: 16, key: "container") { [cgroups] cell, row in
            guard let name = cgroups.container(row.cgroup, process: Int32(bitPattern: row.process)) else {
                return cell.missing()
            }
            cell.text(name)
        }
    }
}

extension TaskColumns {
    /// Where the process belongs, as far as that is to be shown.
    func places(_ display: TaskDisplay) -> [Column<Row>] {
        (display.cgroup ? [cgroup] : []) + (display.container ? [container] : [])
    }
}

extension ByteWriter {
    /// Seconds with 2 or 3 decimals, cut and not rounded: nobody is older than they are.
    func appendSeconds(_ nanoseconds: UInt64, decimals: Int) {
        appendNumber(nanoseconds / 1_000_000_000)
        append(UInt8(ascii: "."))
        let rest = nanoseconds % 1_000_000_000
        appendNumber(decimals == 2 ? rest / 10_000_000 : rest / 1_000_000, minimumDigits: decimals)
    }
}
