// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Which of several processes that have had one number is the last.
struct ProcessStarts {
    private var last: [UInt32: UInt64] = [:]

    /// - Parameter started: in nanoseconds of any clock.
    mutating func note(_ process: UInt32, _ started: UInt64) {
        last[process] = max(last[process] ?? 0, started)
    }

    /// Whether a process has ended: there is none of its number, or a later one.
    func isOver(_ process: UInt32, _ started: UInt64) -> Bool {
        if let last = last[process], last > started { return true }
        return kill(Int32(bitPattern: process), 0) != 0 && errno == ESRCH
    }
}
