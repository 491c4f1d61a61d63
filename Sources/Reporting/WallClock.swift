// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Turns the kernel's monotonic time stamps into the time of day.
package struct WallClock {
    /// Unix time minus monotonic time, in nanoseconds.
    private var offset: Int64 = 0
    private var cachedSecond = Int.min
    private var cachedText = ""
    private let isUTC: Bool

    /// - Parameter isUTC: times of day are in UTC, not in local time.
    package init(isUTC: Bool = false) {
        self.isUTC = isUTC
        synchronize()
    }

    /// Takes the offset anew: somebody may have set the clock. Call once a round of rows.
    package mutating func synchronize() {
        var monotonic = timespec()
        var real = timespec()
        clock_gettime(CLOCK_MONOTONIC, &monotonic)
        clock_gettime(CLOCK_REALTIME, &real)
        offset = Self.nanoseconds(real) - Self.nanoseconds(monotonic)
    }

    private static func nanoseconds(_ time: timespec) -> Int64 {
        Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// Nanoseconds since 1970 (UTC) of a CLOCK_MONOTONIC time in nanoseconds.
    package func unixNanoseconds(_ monotonic: UInt64) -> Int64 { Int64(clamping: monotonic) &+ offset }

    /// CLOCK_MONOTONIC in nanoseconds.
    package static var monotonicNow: UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(max(0, nanoseconds(now)))
    }

    /// Nanoseconds since 1970 (UTC) of this moment.
    package var nowUnixNanoseconds: Int64 { unixNanoseconds(Self.monotonicNow) }

    /// HH:MM:SS of this moment.
    package mutating func nowTimeOfDay() -> String { timeOfDay(Self.monotonicNow) }

    /// HH:MM:SS, in local time unless UTC was asked for.
    package mutating func timeOfDay(_ monotonic: UInt64) -> String {
        let second = Int(unixNanoseconds(monotonic) / 1_000_000_000)
        if second != cachedSecond {
            var time = second
            var parts = tm()
            if isUTC { gmtime_r(&time, &parts) } else { localtime_r(&time, &parts) }
            let writer = ByteWriter()
            for (index, part) in [parts.tm_hour, parts.tm_min, parts.tm_sec].enumerated() {
                if index > 0 { writer.append(UInt8(ascii: ":")) }
                writer.appendNumber(UInt64(max(0, part)), minimumDigits: 2)
            }
            cachedSecond = second
            cachedText = writer.text
        }
        return cachedText
    }
}
