// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import Processes

/// What /proc says of a process beside its mappings.
struct ProcessStatus {
    /// Its ID in the innermost PID namespace that it is in: what it takes for its own.
    let innerID: Int32
    /// The effective user ID; nil if unknown.
    let user: UInt32?
    /// When it was started, in clock ticks since boot: tells it from a later one with the same ID.
    let startTime: UInt64?

    /// The same in nanoseconds of the monotonic clock, to some 10 milliseconds.
    var began: UInt64? {
        guard let startTime, case let ticks = sysconf(Int32(_SC_CLK_TCK)), ticks > 0 else { return nil }
        var sinceBoot = timespec()
        clock_gettime(CLOCK_BOOTTIME, &sinceBoot)
        let now = UInt64(sinceBoot.tv_sec) * 1_000_000_000 + UInt64(sinceBoot.tv_nsec)
        let (start, overflow) = startTime.multipliedReportingOverflow(by: 1_000_000_000 / UInt64(ticks))
        guard !overflow, start <= now, case let age = now - start, case let clock = monotonicNanoseconds()
        else {
            return nil
        }
        return clock > age ? clock - age : 0
    }

    init(process: Int32, root: String) {
        let lines = readFile("\(root)/\(process)/status", limit: 1 << 16) ?? []
        var innerID = process
        var user: UInt32?
        for line in lines.split(separator: UInt8(ascii: "\n")) {
            let fields = line.split { $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: " ") }
            if line.starts(with: "NStgid:".utf8), let last = fields.last {
                innerID = FieldReader.number(last, radix: 10).flatMap(Int32.init(exactly:)) ?? process
            } else if line.starts(with: "Uid:".utf8), fields.count > 2 {
                user = FieldReader.number(fields[2], radix: 10).flatMap(UInt32.init(exactly:))
            }
        }
        self.innerID = innerID
        self.user = user
        startTime = Self.startTime(of: process, root: root)
    }

    /// Field 22 of /proc/PID/stat (proc_pid_stat(5)): the second is a name in parentheses, with anything in it.
    static func startTime(of process: Int32, root: String) -> UInt64? {
        guard let bytes = readFile("\(root)/\(process)/stat", limit: 1 << 12),
            let close = bytes.lastIndex(of: UInt8(ascii: ")"))
        else { return nil }
        let fields = bytes[(close + 1)...].split(separator: UInt8(ascii: " "))
        return fields.count > 19 ? FieldReader.number(fields[19], radix: 10) : nil
    }
}
