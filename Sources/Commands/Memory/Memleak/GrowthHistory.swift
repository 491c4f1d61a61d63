// SPDX-License-Identifier: Apache-2.0

/// How what is left from each stack has developed from report to report.
///
/// The first report is what the others are compared with: whatever is there by then belongs to the start.
struct GrowthHistory {
    /// What a stack looks like, once there were intervals enough.
    enum Verdict: String, CaseIterable {
        /// It grew in every interval.
        case suspect
        /// It grew at first, and not in the second half of the intervals: perhaps a cache.
        case levelledOff = "levelled_off"
        /// It grew now and then.
        case irregular
        /// It never had more than at the first report.
        case constant
    }

    /// One stack, up to the last interval that counts.
    struct Course: Equatable {
        var bytes = 0.0
        var count = 0.0
        fileprivate(set) var firstBytes = 0.0
        fileprivate(set) var firstCount = 0.0
        /// The most bytes that any report had.
        fileprivate(set) var most = 0.0
        /// How many intervals ended with more bytes than any report before: a cache that replaces blocks by larger
        /// and smaller ones gains and loses, and seldom does that.
        fileprivate(set) var growths = 0
        /// The last of them; 0 if there was none.
        fileprivate(set) var lastGrowth = 0

        var gainedBytes: Double { bytes - firstBytes }
        var gainedCount: Double { count - firstCount }
    }

    /// With fewer nothing can be told from chance.
    static let fewestIntervals = 2

    private(set) var courses: [UInt64: Course] = [:]
    private(set) var intervals = 0
    private var hasBegun = false

    /// Takes the next report: what each stack has. One that is not there has nothing.
    mutating func add(_ amounts: [UInt64: (bytes: Double, count: Double)]) {
        if hasBegun { intervals += 1 }
        for stack in courses.keys where amounts[stack] == nil {
            courses[stack]?.bytes = 0
            courses[stack]?.count = 0
        }
        for (stack, amount) in amounts {
            var course = courses[stack] ?? Course()
            course.bytes = amount.bytes
            course.count = amount.count
            if !hasBegun {
                course.firstBytes = amount.bytes
                course.firstCount = amount.count
            } else if amount.bytes > course.most {
                course.growths += 1
                course.lastGrowth = intervals
            }
            course.most = max(course.most, amount.bytes)
            courses[stack] = course
        }
        hasBegun = true
    }

    /// Nil if there is nothing left, or if there were too few intervals.
    func verdict(_ course: Course) -> Verdict? {
        guard intervals >= Self.fewestIntervals, course.bytes > 0 else { return nil }
        if course.growths == intervals { return .suspect }
        if course.lastGrowth == 0 { return .constant }
        return course.lastGrowth <= intervals / 2 ? .levelledOff : .irregular
    }

    /// Stacks by what they look like, those that have gained most last.
    var verdicts: [Verdict: [UInt64]] {
        var found: [Verdict: [UInt64]] = [:]
        for (stack, course) in courses {
            guard let verdict = verdict(course) else { continue }
            found[verdict, default: []].append(stack)
        }
        return found.mapValues { stacks in
            stacks.sorted { rank($0) < rank($1) }
        }
    }

    /// By steady growth: in how many intervals, and by how much in all.
    func rank(_ stack: UInt64) -> (Double, Double, UInt64) {
        let course = courses[stack] ?? Course()
        return (Double(course.growths), course.gainedBytes, stack)
    }
}
