// SPDX-License-Identifier: Apache-2.0
internal import CSymbolization
internal import Glibc

/// How long an answer is waited for: as long as the other process computes, up to a limit, and somewhat longer when it
/// does not get the CPU, or waits for a file that does not come.
package struct Patience {
    /// Nanoseconds of CPU time.
    private let work: UInt64
    /// In nanoseconds of the monotonic clock.
    private let end: UInt64
    private let process: Int32
    private let before: UInt64

    /// - Parameters:
    ///   - work: nanoseconds of CPU time that the process may use.
    ///   - slowness: how many times as long as that it may take.
    package init(_ process: Int32, work: UInt64, slowness: UInt64 = 6) {
        self.process = process
        self.work = work
        end = monotonicNanoseconds() + work * slowness
        before = apus_cpu_time(process)
    }

    var isOver: Bool {
        monotonicNanoseconds() >= end || apus_cpu_time(process) &- before >= work
    }

    /// Waits until there is something to read.
    /// - Returns: Whether there is, before the time is over.
    package func waitUntilReadable(_ descriptor: Int32) -> Bool {
        var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while true {
            let status = poll(&wait, 1, 250)
            if status > 0 || status < 0 && errno != EINTR { return true }
            if isOver { return false }
        }
    }
}
