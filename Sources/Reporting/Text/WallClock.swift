// SPDX-License-Identifier: Apache-2.0
internal import CSupport
internal import Glibc

/// Turns the kernel's time stamps into the time of day: nanoseconds of CLOCK_MONOTONIC, as it is outside of time
/// namespaces.
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
        var real = timespec()
        let monotonic = Self.monotonicNow
        clock_gettime(CLOCK_REALTIME, &real)
        offset = Self.nanoseconds(real) - Int64(clamping: monotonic)
    }

    private static func nanoseconds(_ time: timespec) -> Int64 {
        Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// Nanoseconds since 1970 (UTC) of a time stamp of the kernel.
    package func unixNanoseconds(_ monotonic: UInt64) -> Int64 { Int64(clamping: monotonic) &+ offset }

    /// What the kernel would now put as a time stamp.
    package static var monotonicNow: UInt64 { apus_kernel_time() }

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
