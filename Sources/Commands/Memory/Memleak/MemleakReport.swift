// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Glibc
internal import Reporting
internal import Symbolization
internal import Tracing

/// The blocks that are left, by stack, and all the ways to write them down.
final class MemleakReport {
    /// What is left from one stack.
    struct Sum {
        var stack: UInt64 = 0
        var bytes: Double = 0
        var count: Double = 0
        var gainedBytes: Double = 0
        var gainedCount: Double = 0
        var total = stack_total()
    }

    let options: Memleak
    let process: Int32?
    /// Of the process and the program that it executes; 0 where no others are followed.
    let space: UInt32
    /// With --follow: of the process, and how it stands there.
    var title: Title?
    let names: StackNames
    /// Since when it has been what it is, in nanoseconds of the monotonic clock.
    private let since: UInt64
    private(set) var stacks = NamedStacks()
    private(set) var ends: [UInt64: StackEnd] = [:]
    private(set) var sums: [Sum] = []
    private var before: [UInt64: Sum] = [:]
    private(set) var history = GrowthHistory()
    private(set) var blocks: [UInt64: [(address: UInt64, bytes: UInt64)]] = [:]
    private(set) var reports = 0
    /// Since the counting began.
    private(set) var comparable = 0
    var clock = WallClock()

    /// What a report of one process among others says of it.
    struct Title {
        /// Why there is a report.
        enum Cause: String {
            case interval, exit, exec, end
        }

        var comm: String
        var cause = Cause.interval
    }

    /// - Parameter since: since when the process has executed its program, in nanoseconds of the monotonic clock.
    init(
        _ options: Memleak, process: Int32?, names: StackNames? = nil, space: UInt32 = 0, title: Title? = nil,
        since: UInt64 = 0
    ) {
        self.options = options
        self.process = process
        self.names = names ?? StackNames(options.pictures)
        self.space = space
        self.title = title
        self.since = since
    }

    /// Names all anew: they may be others by now.
    func forgetNames() { stacks = NamedStacks() }

    // MARK: - Reading

    /// Forgets what was before, for a beginning in the middle: a mark, or another program in the process.
    func begin() {
        before = [:]
        history = GrowthHistory()
        comparable = 0
    }

    /// Takes what is left.
    ///
    /// - Parameter endsInterval: whether growth is judged by it. An interval that was cut short by the end is not.
    func take(_ contents: MemleakBooks.Contents, _ object: LoadedObject, endsInterval: Bool) {
        blocks = contents.blocks
        sums = contents.sums.map { stack, sum in
            var sum = sum
            sum.stack = stack
            let last = before[stack]
            sum.gainedBytes = sum.bytes - (last?.bytes ?? 0)
            sum.gainedCount = sum.count - (last?.count ?? 0)
            return sum
        }
        if options.growth, endsInterval { history.add(contents.sums.mapValues { ($0.bytes, $0.count) }) }
        sums.sort { rank($0) < rank($1) }
        before = Dictionary(uniqueKeysWithValues: sums.map { ($0.stack, $0) })
        reports += 1
        comparable += 1
        nameStacks(object, (options.wantsAllNames ? sums[...] : shown).map(\.stack))
    }

    /// What stacks are sorted by, the first last.
    private func rank(_ sum: Sum) -> (Double, Double, UInt64) {
        if options.temporary {
            return (Double(sum.total.temporary), Double(sum.total.temporary_bytes), sum.stack)
        }
        if options.growth { return history.rank(sum.stack) }
        return options.sort == .size
            ? (sum.bytes, sum.count, sum.stack) : (sum.count, sum.bytes, sum.stack)
    }

    func isShown(_ sum: Sum) -> Bool { options.temporary ? sum.total.temporary > 0 : sum.count > 0 }

    /// A recording has all stacks, unless fewer are asked for.
    var most: Int { options.top ?? (options.common.json ? .max : 10) }

    var shown: ArraySlice<Sum> { sums.filter(isShown).suffix(most) }

    // MARK: - Names

    /// Names stacks now: the map and the process may be gone later.
    func nameStacks(_ object: LoadedObject, _ wanted: [UInt64]) {
        let store = StackStore(object, names)
        // Not for longer: an address may stand for something else when the process has mapped another file there.
        var known: [UInt64: [UInt64: NamedStacks.Part]] = [:]
        let unnamed = wanted.filter { !stacks.has($0) }
        for start in stride(from: 0, to: unnamed.count, by: 1 << 12) {
            let stored = unnamed[start..<min(start + 1 << 12, unnamed.count)].map { ($0, store[$0]) }
            // By moments, for the same reason; nearly always there is one.
            let groups = Dictionary(grouping: stored) { _, stack in
                process.flatMap { names.moment(of: $0, at: max(stack.time, since)) }
            }
            for (moment, group) in groups {
                var parts = known.removeValue(forKey: moment ?? 0) ?? [:]
                prepare(group.map(\.1.addresses), at: moment, parts)
                for (stack, (addresses, end, _)) in group where !addresses.isEmpty {
                    name(stack, addresses, end, at: moment, &parts)
                }
                known[moment ?? 0] = parts
            }
        }
    }

    private func name(
        _ stack: UInt64, _ addresses: [UInt64], _ end: StackEnd, at moment: UInt64?,
        _ known: inout [UInt64: NamedStacks.Part]
    ) {
        ends[stack] = end
        var parts = parts(addresses, at: moment, &known)
        if let marker = end.marker { parts.append(stacks.add(part: [Frame(marker: marker)])) }
        stacks.add(stack, parts)
    }

    /// Asks for the names of many addresses at once.
    private func prepare(_ stacks: [[UInt64]], at moment: UInt64?, _ known: [UInt64: NamedStacks.Part]) {
        guard let process else { return }
        let addresses = Set(stacks.joined()).filter { known[$0] == nil }
        names.symbolizer.prepare(
            addresses.map { UserAddress($0, process: process, isReturnAddress: true, at: moment) })
    }

    private func parts(
        _ addresses: [UInt64], at moment: UInt64?, _ known: inout [UInt64: NamedStacks.Part]
    ) -> [NamedStacks.Part] {
        guard let process else { return [stacks.add(part: names.frames(kernel: addresses))] }
        // Taken when the allocator returned: the innermost one is a return address as well.
        return StackNames.withoutEnd(addresses[...]).map { address in
            if let part = known[address] { return part }
            let part = stacks.add(
                part: names.shown(
                    names.symbolizer.frames(
                        user: address, process: process, isReturnAddress: true, at: moment)))
            known[address] = part
            return part
        }
    }

    var isEstimate: Bool { options.sampleBytes != nil }
}
