// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Probing
internal import Processes
internal import Tracing

/// The memories that memleak looks at: that of the process, and with --follow those of its children, each with a report
/// of its own. Processes that share their memory are in one.
final class MemleakProcesses {
    /// One memory, from the fork or exec that it begins with to the end of those that have it.
    final class Space {
        let report: MemleakReport
        fileprivate(set) var users: Set<Int32>
        let finder: AllocatorFinder?

        fileprivate init(_ report: MemleakReport, users: Set<Int32>, finder: AllocatorFinder?) {
            self.report = report
            self.users = users
            self.finder = finder
        }
    }

    private let options: Memleak
    private let names: StackNames
    private let finder: (Int32) -> AllocatorFinder?
    private var spaces: [UInt32: Space] = [:]
    /// In the order in which they began.
    private var order: [UInt32] = []
    /// Those that nobody has any more, and that are to be reported.
    private(set) var over: [Space] = []
    /// How many were followed in all.
    private(set) var followed = 0

    /// - Parameter finder: makes one for a process.
    init(_ options: Memleak, names: StackNames, finder: @escaping (Int32) -> AllocatorFinder?) {
        self.options = options
        self.names = names
        self.finder = finder
    }

    /// Those that somebody has.
    var living: [Space] { order.compactMap { spaces[$0] } }

    /// The first, of the process that was chosen or launched, or of the kernel.
    func begin(_ report: MemleakReport) {
        add(report, finder: report.process.flatMap(finder))
    }

    private func add(_ report: MemleakReport, finder: AllocatorFinder?) {
        spaces[report.space] = Space(
            report, users: Set([report.process].compactMap { $0 }), finder: finder)
        order.append(report.space)
    }

    /// Begins one of a process that has been forked or has executed a program.
    ///
    /// - Parameters:
    ///   - comm: the process's name as far as it is known.
    ///   - time: when, in nanoseconds of the monotonic clock.
    /// - Returns: nil if it is known.
    @discardableResult
    func begin(_ number: UInt32, _ process: Int32, comm: String, at time: UInt64) -> Space? {
        guard spaces[number] == nil else { return nil }
        followed += 1
        let report = MemleakReport(
            options, process: process, names: names, space: number, title: .init(comm: comm), since: time)
        add(report, finder: finder(process))
        return spaces[number]
    }

    /// A process that shares the memory.
    func join(_ number: UInt32, _ process: Int32) { spaces[number]?.users.insert(process) }

    /// A process has the memory no more; the last one ends it.
    ///
    /// - Parameter cause: of a report; nil for none.
    func leave(_ number: UInt32, _ process: Int32, _ cause: MemleakReport.Title.Cause?) {
        guard let space = spaces[number] else { return }
        space.users.remove(process)
        guard space.users.isEmpty, space.report.title != nil else { return }
        spaces[number] = nil
        order.removeAll { $0 == number }
        guard let cause else { return }
        space.report.title?.cause = cause
        over.append(space)
    }

    func takeOver() -> [Space] {
        defer { over = [] }
        return over
    }

    func has(_ number: UInt32, _ process: Int32) -> Bool { spaces[number]?.users.contains(process) ?? false }
}
