// SPDX-License-Identifier: Apache-2.0
internal import Reporting

/// The time of day for the rows of a command, which share its offset and its cache.
final class RowClock {
    var wall: WallClock

    /// Of what tells processes apart: the same in all rows, whoever sets the clock meanwhile.
    private let starts = WallClock()

    init(isUTC: Bool = false) { wall = WallClock(isUTC: isUTC) }

    /// Unix time in nanoseconds of the start of a process.
    ///
    /// - Parameter monotonic: as the kernel has it.
    func start(_ monotonic: UInt64) -> Int64 { starts.unixNanoseconds(monotonic) }
}
