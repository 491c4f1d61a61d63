// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// What Tests/Programs/producer.c knows of its producing thread, in nanoseconds.
struct ProducerTruth {
    let thread: Int32
    let cpu: Int64
    let slept: Int64
    let locked: Int64
    /// The longest wait of either kind.
    let longest: Int64

    var waited: Int64 { slept + locked }

    init(_ output: String) throws {
        let line = try #require(output.split(separator: "\n").first { $0.hasPrefix("producer ") })
        let numbers = line.split(separator: " ").compactMap { Int64($0) }
        try #require(numbers.count == 6)
        thread = Int32(numbers[0])
        (cpu, slept, locked, longest) = (numbers[2], numbers[3], numbers[4], numbers[5])
    }

    /// Whether times off the CPU add up to those that the program measured around them, which have its own work in
    /// them, and what a host takes.
    ///
    /// - Parameters:
    ///   - total: of all waits that were told.
    ///   - unreported: how many were not: see everyLateWakeUpIsReportedOnceAndBlamedOnTheHog.
    func expect(
        _ total: Int64, of truth: Int64, unreported: Int, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let least = truth - truth / 100 - cpu - Int64(unreported) * longest
        #expect(total <= truth && total >= least, "\(total) of \(truth)", sourceLocation: sourceLocation)
    }
}
