// SPDX-License-Identifier: Apache-2.0
internal import Reporting

/// The time of day for the rows of a command, which share its offset and its cache.
final class RowClock {
    var wall: WallClock

    init(isUTC: Bool = false) { wall = WallClock(isUTC: isUTC) }
}
