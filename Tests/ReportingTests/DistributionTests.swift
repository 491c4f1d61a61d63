// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Reporting

@Suite struct DistributionTests {
    private func uniform(_ width: UInt64, _ counts: [UInt64], maximum: UInt64) -> Distribution {
        let buckets = counts.enumerated().map { index, count in
            Distribution.Bucket(low: UInt64(index) * width, high: UInt64(index + 1) * width, count: count)
        }
        return Distribution(buckets: buckets, total: 0, maximum: maximum)
    }

    @Test func percentilesLieInTheBucketThatHoldsTheirRank() {
        let distribution = uniform(10, [50, 0, 40, 10], maximum: 37)
        #expect(distribution.count == 100)
        #expect((0...10).contains(distribution.percentile(0.5)))
        #expect((20...30).contains(distribution.percentile(0.51)))
        #expect((20...30).contains(distribution.percentile(0.9)))
        #expect((30...37).contains(distribution.percentile(0.99)))
        #expect(distribution.percentile(1) == 37)
        #expect(Distribution().percentile(0.5) == 0)
    }

    @Test func percentilesNeverFall() {
        let distribution = uniform(7, [3, 1, 4, 1, 5, 9, 2, 6], maximum: 55)
        let values = stride(from: 0.0, through: 1.0, by: 0.01).map(distribution.percentile)
        #expect(values == values.sorted())
    }

    @Test func sumsKeepEveryCount() {
        var sum = uniform(10, [1, 2, 3], maximum: 25)
        sum.add(uniform(10, [10, 0, 5, 1], maximum: 39))
        #expect(sum.buckets.map(\.count) == [11, 2, 8, 1])
        #expect(sum.maximum == 39)
    }

    @Test func anIntervalIsWhatHasComeSince() {
        let earlier = uniform(10, [5, 5, 5], maximum: 29)
        let later = uniform(10, [6, 5, 9], maximum: 29)
        let interval = later.since(earlier)
        #expect(interval.buckets.map(\.count) == [1, 4])
        #expect(interval.maximum == 29)
        // A maximum of long ago is not the interval's.
        #expect(uniform(10, [6, 5, 5], maximum: 29).since(earlier).maximum == 10)
        #expect(later.since(later).count == 0)
    }

    @Test func printsAsBCC() {
        let writer = ByteWriter()
        Distribution(
            buckets: [
                .init(low: 0, high: 125, count: 1), .init(low: 1000, high: 1125, count: 1),
                .init(low: 4000, high: 4500, count: 4), .init(low: 7000, high: 7500, count: 4),
            ], total: 0, maximum: 7400
        ).write(to: writer, unit: .microseconds, linear: false)
        #expect(
            writer.text == """
                     usecs               : count    distribution
                         0 -> 1          : 2        |**********                              |
                         2 -> 3          : 0        |                                        |
                         4 -> 7          : 8        |****************************************|

                """)
    }

    @Test func linearRowsHaveNoGaps() {
        let distribution = Distribution(
            buckets: [.init(low: 0, high: 5000, count: 1), .init(low: 15000, high: 20000, count: 2)],
            maximum: 16000)
        #expect(
            distribution.linear(.microseconds) == [
                .init(low: 0, high: 4, count: 1), .init(low: 5, high: 9, count: 0),
                .init(low: 10, high: 14, count: 0), .init(low: 15, high: 19, count: 2),
            ])
    }
}
