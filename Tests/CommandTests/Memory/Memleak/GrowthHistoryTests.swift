// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Commands

/// The verdict on a stack that has so many bytes at each report.
private func verdict(_ bytes: [Double]) -> GrowthHistory.Verdict? {
    var history = GrowthHistory()
    for amount in bytes { history.add(amount > 0 ? [1: (amount, amount / 10)] : [:]) }
    return history.courses[1].flatMap(history.verdict)
}

@Suite struct GrowthHistoryTests {
    @Test func whatGrowsInEveryIntervalIsSuspect() {
        #expect(verdict([10, 20, 30, 31]) == .suspect)
        // It was not there at the first report: that is where the intervals begin.
        #expect(verdict([0, 20, 30, 31]) == .suspect)
        #expect(verdict([0, 20, 30, 30]) == .irregular)
    }

    @Test func aCacheGrowsAtFirst() {
        #expect(verdict([10, 20, 20]) == .levelledOff)
        #expect(verdict([10, 20, 30, 30, 30]) == .levelledOff)
        #expect(
            verdict([0, 50, 40, 45, 50]) == .levelledOff, "it replaces blocks, and has no more than before")
        #expect(verdict([10, 20, 30, 40, 40]) == .irregular, "too early to say")
    }

    @Test func whatWasThereFromTheStartIsConstant() {
        #expect(verdict([10, 10, 10]) == .constant)
        #expect(verdict([10, 5, 9]) == .constant)
    }

    @Test func aLeakNowAndThenIsNoCache() {
        #expect(verdict([10, 10, 20, 20, 30]) == .irregular)
    }

    @Test func nothingIsSaidTooEarlyOrOfWhatIsGone() {
        #expect(verdict([10, 20]) == nil)
        #expect(verdict([10, 20, 30, 0]) == nil)
    }

    @Test func ranksBySteadinessThenBySize() {
        var history = GrowthHistory()
        history.add([1: (0, 0), 2: (5, 1), 3: (5, 1)])
        history.add([1: (1, 1), 2: (900, 1), 3: (7, 2)])
        history.add([1: (2, 2), 2: (900, 1), 3: (9, 3)])
        #expect([1, 2, 3].sorted { history.rank($0) < history.rank($1) } == [2, 1, 3])
        #expect(history.verdicts[.suspect] == [1, 3])
        #expect(history.verdicts[.levelledOff] == [2])
        #expect(history.courses[3]?.gainedBytes == 4)
        #expect(history.courses[3]?.gainedCount == 2)
    }
}
