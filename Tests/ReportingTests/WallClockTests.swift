// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@testable import Reporting

/// UTC+5:45 as POSIX writes it, which needs no database. Set once and never back: other tests run meanwhile, and the
/// environment must not be moved under their feet.
private let zoneSeconds: Int64 = {
    setenv("TZ", "APUS-05:45", 1)
    tzset()
    return (5 * 60 + 45) * 60
}()

@Suite struct WallClockTests {
    private let second: UInt64 = 1_000_000_000

    init() { _ = zoneSeconds }

    /// The monotonic time of a Unix time, which must be after this machine's start.
    private func monotonic(_ clock: WallClock, unix: Int64) throws -> UInt64 {
        try #require(UInt64(exactly: unix - clock.unixNanoseconds(0)))
    }

    private func expected(unixSeconds: Int64) -> String {
        let time = (unixSeconds + zoneSeconds) % 86_400
        return [time / 3600, time / 60 % 60, time % 60].map { ($0 < 10 ? "0" : "") + String($0) }
            .joined(separator: ":")
    }

    @Test(
        arguments: [
            (4_102_444_800, "05:45:00"),  // 2100-01-01
            (4_102_444_799, "05:44:59"), (4_102_510_499, "23:59:59"), (4_102_510_500, "00:00:00"),
            (4_102_488_000, "17:45:00"),
        ] as [(Int64, String)])
    func timesOfDayAreLocal(unix: Int64, text: String) throws {
        #expect(expected(unixSeconds: unix) == text)
        var clock = WallClock()
        #expect(clock.timeOfDay(try monotonic(clock, unix: unix * 1_000_000_000)) == text)
    }

    @Test func theTextChangesWithTheSecondAndBack() throws {
        var clock = WallClock()
        let start = try monotonic(clock, unix: 4_102_444_800 * 1_000_000_000)
        #expect(clock.timeOfDay(start) == "05:45:00")
        #expect(clock.timeOfDay(start + second - 1) == "05:45:00")
        #expect(clock.timeOfDay(start + second) == "05:45:01")
        // Records of several CPUs do not come in order.
        #expect(clock.timeOfDay(start + 1) == "05:45:00")
        #expect(clock.timeOfDay(start + 61 * second) == "05:46:01")
    }

    @Test(arguments: 1...5 as ClosedRange<UInt64>)
    func anyTime(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var clock = WallClock()
        for _ in 0..<200 {
            let time = random.next() >> UInt64.random(in: 2...40, using: &random)
            let unix = clock.unixNanoseconds(time)
            #expect(clock.timeOfDay(time) == expected(unixSeconds: unix / 1_000_000_000))
        }
    }

    @Test func nowIsNow() {
        let clock = WallClock()
        var before = timespec()
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &before)
        clock_gettime(CLOCK_MONOTONIC, &now)
        let unix = clock.unixNanoseconds(UInt64(now.tv_sec) * second + UInt64(now.tv_nsec))
        // Hours are allowed for a machine that is slow; a wrong clock or unit is decades off.
        #expect(abs(unix / 1_000_000_000 - Int64(before.tv_sec)) < 7200)
    }

    @Test func aTimeBeyondAllClocksIsNoTrap() {
        var clock = WallClock()
        #expect(clock.timeOfDay(.max).utf8.count == 8)
    }
}
