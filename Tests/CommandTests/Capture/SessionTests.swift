// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Commands

@Suite struct RingSizeTests {
    private let page = UInt64(getpagesize())

    @Test func sizesAreRoundedUpToAPowerOfTwoOfPages() {
        #expect(UInt64(Session.ringBytes(0)) == page)
        #expect(UInt64(Session.ringBytes(1)) == page)
        #expect(UInt64(Session.ringBytes(page)) == page)
        #expect(UInt64(Session.ringBytes(page + 1)) == 2 * page)
        #expect(UInt64(Session.ringBytes(3 * page)) == 4 * page)
        #expect(Session.ringBytes(64 << 20) == 64 << 20)
        #expect(Session.ringBytes(64 << 20 | 1) == 128 << 20)
    }

    @Test(arguments: [1 << 31, (1 << 31) + 1, 1 << 32, 1 << 63, .max] as [UInt64])
    func whatIsTooLargeIsTheLargestThereIs(wanted: UInt64) {
        #expect(Session.ringBytes(wanted) == 1 << 31)
    }
}

@Suite struct LossReportTests {
    private final class Messages {
        var all: [String] = []
    }

    private let messages = Messages()

    private func report() -> LossReport {
        LossReport(what: "opens") { [messages] in messages.all.append($0) }
    }

    @Test func nothingLostIsNothingSaid() {
        var report = report()
        report.update(Losses())
        report.finish(Losses())
        #expect(messages.all == [])
    }

    @Test func recordsLostAreSaidAtOnceWithTheRemedy() {
        var report = report()
        report.update(Losses(records: 5))
        #expect(
            messages.all == ["5 opens lost so far: the buffer is full; a larger --buffer-size holds more"])
    }

    @Test func theSameLossIsNotSaidAgain() {
        var report = report()
        for _ in 0..<3 { report.update(Losses(records: 5)) }
        #expect(messages.all.count == 1)
    }

    @Test func otherLossesWaitForTheEnd() {
        var report = report()
        report.update(Losses(state: 1, targets: 1, skipped: 1))
        #expect(messages.all == [])
    }

    @Test func theEndTellsTotalsOfEachCause() {
        var report = report()
        report.update(Losses(records: 5))
        messages.all = []
        report.finish(Losses(records: 7, state: 2, targets: 3, skipped: 4))
        #expect(
            messages.all == [
                "7 opens lost because the buffer was full: use a larger --buffer-size",
                "2 opens lost because too many were under way at once",
                "up to 4 opens or filter updates lost because the BPF program was already running on that CPU",
                "3 child processes were not followed: too many at once",
            ])
    }

    @Test func countsWithoutRoomHaveASentenceOfTheirOwn() {
        report().finish(Losses(totals: 6))
        #expect(messages.all == ["6 opens lost because there were too many different ones"])
        let other = LossReport(what: "names", totals: "reads are in no row") { [messages] in
            messages.all.append($0)
        }
        other.finish(Losses(records: 1, totals: 2))
        #expect(
            messages.all.suffix(2) == [
                "1 names lost because the buffer was full: use a larger --buffer-size",
                "2 reads are in no row",
            ])
    }

    @Test func theEndRepeatsTheTotalOfWhatWasSaidBefore() {
        var report = report()
        report.update(Losses(records: 5))
        report.finish(Losses(records: 5))
        #expect(messages.all.last == "5 opens lost because the buffer was full: use a larger --buffer-size")
    }
}

@Suite struct PrivilegesTests {
    @Test(
        arguments: [
            (0, ["CAP_BPF", "CAP_PERFMON"]), (1 << 39, ["CAP_PERFMON"]), (1 << 38, ["CAP_BPF"]),
            (1 << 38 | 1 << 39, []), (1 << 21, []), (.max, []),
            (1 << 12 | 1 << 19, ["CAP_BPF", "CAP_PERFMON"]),
        ] as [(UInt64, [String])])
    func namesWhatIsMissing(effective: UInt64, missing: [String]) {
        #expect(Privileges.missing(effective) == missing)
    }
}
