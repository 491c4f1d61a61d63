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
    private let names: StackNames
    private(set) var stacks = NamedStacks()
    private(set) var ends: [UInt64: StackEnd] = [:]
    private(set) var sums: [Sum] = []
    private var before: [UInt64: Sum] = [:]
    private(set) var history = GrowthHistory()
    /// What had been allocated and freed when the counting began.
    private var totalsBefore: [UInt64: stack_total] = [:]
    private(set) var blocks: [UInt64: [(address: UInt64, bytes: UInt64)]] = [:]
    private(set) var reports = 0
    /// Since the counting began.
    private(set) var comparable = 0
    var clock = WallClock()
    private let began = WallClock().nowUnixNanoseconds

    init(_ options: Memleak, process: Int32?) {
        self.options = options
        self.process = process
        names = StackNames(options.pictures)
    }

    /// Call while the process lives, so that its frames can be named when it is gone.
    func observe() {
        if let process { names.observeAnew(process) }
    }

    /// Keeps the unwinder up to date with what the process maps. To be called before programs are attached.
    func serve(_ unwinder: StackUnwinder?, _ session: Session) throws {
        guard let process else { return }
        try names.serve([unwinder], session, only: [process])
        observe()
    }

    /// Names all anew, with debug files from elsewhere if they are wanted: once nothing is traced any more.
    func askForDebugFiles() {
        if names.askForDebugFiles() { stacks = NamedStacks() }
    }

    /// Says what could not be had.
    func concludeNames() { names.conclude() }

    // MARK: - Reading

    /// Forgets what was before, for a beginning in the middle: a mark, or another program in the process.
    func begin(_ object: LoadedObject) throws {
        before = [:]
        history = GrowthHistory()
        comparable = 0
        guard readsTotals else { return }
        totalsBefore = [:]
        let totals: HashMap<UInt64, stack_total> = object.map("stack_totals")
        try totals.forEachInBatches { totalsBefore[$0.pointee] = $1.pointee }
    }

    /// Reads what is left.
    ///
    /// - Parameters:
    ///   - mappings: what is mapped, if that is what was traced.
    ///   - minimumAge: nanoseconds; younger blocks do not count.
    ///   - since: nanoseconds of the monotonic clock; blocks that are older do not count.
    ///   - endsInterval: whether growth is judged by it. An interval that was cut short by the end is not.
    func read(
        _ object: LoadedObject, _ mappings: MappingBook?, minimumAge: UInt64, since: UInt64,
        endsInterval: Bool
    ) throws {
        names.settle()
        var found: [UInt64: Sum] = [:]
        blocks = [:]
        let generation = try object.sharedVariable("memleak_state", as: memleak_state.self).value.generation
        let latest = monotonicTime() &- minimumAge
        if let mappings {
            mappings.forEachBlock(since: since...max(since, latest)) { add($0, $1, to: &found) }
            for (stack, total) in mappings.totals where options.pictures.pprof != nil {
                found[names.canonical(stack), default: Sum()].total.allocated += total.count
                found[names.canonical(stack), default: Sum()].total.allocated_bytes += total.bytes
            }
        } else if !options.combinedOnly {
            let times = BlockClock.reading(since)...max(BlockClock.reading(latest), BlockClock.reading(since))
            let live: HashMap<UInt64, live_block> = object.map("blocks")
            try live.forEachInBatches { address, block in
                let block = block.pointee
                guard block.isOf(generation: generation), times.contains(block.time) else {
                    return
                }
                add(address.pointee, block, to: &found)
            }
        }
        try readTotals(object, into: &found)
        sums = found.map { stack, sum in
            var sum = sum
            sum.stack = stack
            let last = before[stack]
            sum.gainedBytes = sum.bytes - (last?.bytes ?? 0)
            sum.gainedCount = sum.count - (last?.count ?? 0)
            return sum
        }
        if options.growth, endsInterval { history.add(found.mapValues { ($0.bytes, $0.count) }) }
        sums.sort { rank($0) < rank($1) }
        before = Dictionary(uniqueKeysWithValues: sums.map { ($0.stack, $0) })
        reports += 1
        comparable += 1
        nameStacks(object, (wantsAllNames ? sums[...] : shown).map(\.stack))
    }

    private func add(_ address: UInt64, _ block: live_block, to found: inout [UInt64: Sum]) {
        var weight = 1.0
        if let mean = options.sampleBytes {
            // A block of so many bytes is sampled with this chance.
            let chance = 1 - exp(-Double(block.bytes) / Double(mean))
            guard chance > 0 else { return }
            weight = 1 / chance
        }
        let stack = names.canonical(block.stack)
        found[stack, default: Sum()].bytes += weight * Double(block.bytes)
        found[stack, default: Sum()].count += weight
        if options.showBlocks { blocks[stack, default: []].append((address, block.bytes)) }
    }

    private var readsTotals: Bool {
        options.combinedOnly || options.temporary || options.pictures.pprof != nil
    }

    private func readTotals(_ object: LoadedObject, into found: inout [UInt64: Sum]) throws {
        guard readsTotals else { return }
        let totals: HashMap<UInt64, stack_total> = object.map("stack_totals")
        try totals.forEachInBatches { stack, total in
            let total = total.pointee.since(totalsBefore[stack.pointee])
            let stack = names.canonical(stack.pointee)
            found[stack, default: Sum()].total.add(total)
            guard options.combinedOnly else { return }
            // More may be freed than was allocated since.
            found[stack]?.bytes += Double(Int64(bitPattern: total.allocated_bytes &- total.freed_bytes))
            found[stack]?.count += Double(Int64(bitPattern: total.allocated &- total.freed))
        }
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

    private var wantsAllNames: Bool {
        options.pictures.flameGraph != nil || options.pictures.pprof != nil
    }

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
                process.flatMap { names.moment(of: $0, at: stack.time) }
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

    // MARK: - Files

    func writeFiles() throws {
        guard wantsAllNames else { return }
        let profile = profile()
        if let path = options.pictures.flameGraph {
            var graph = FlameGraph.Options()
            graph.title = isEstimate ? "Memory in use (estimated)" : "Memory in use"
            graph.value = profile.valueTypes.count - 1
            graph.palette = .memory
            let picture = FlameGraph(profile, graph)
            try writeFile(path) {
                path.hasSuffix(".svg") ? picture.writeSVG(to: $0) : picture.writeHTML(to: $0)
            }
        }
        if let path = options.pictures.pprof {
            try writeFile(path) { try profile.writePprof(to: $0, defaultValue: profile.valueTypes.count - 1) }
        }
    }

    /// With the value types of Go's heap profiles, which its tools know.
    private func profile() -> Profile {
        // Totals are of samples: what the rest of them was cannot be told from sums.
        let hasTotals = !isEstimate
        let types =
            (hasTotals ? [("alloc_objects", "count"), ("alloc_space", "bytes")] : [])
            + [("inuse_objects", "count"), ("inuse_space", "bytes")]
        var profile = Profile(valueTypes: types.map { Profile.ValueType(name: $0.0, unit: $0.1) })
        profile.timeNanoseconds = UInt64(max(0, began))
        let missing = profile.intern(Profile.Frame(.marker, "[stack missing]"))
        var known: [NamedStacks.Part: [Profile.FrameNumber]] = [:]
        for sum in sums {
            var frames: [Profile.FrameNumber] = []
            for part in stacks.parts(of: sum.stack) {
                if let numbers = known[part] {
                    frames += numbers
                } else {
                    let numbers = stacks[part].map { profile.intern($0.forProfile) }
                    known[part] = numbers
                    frames += numbers
                }
            }
            if frames.isEmpty { frames = [missing] }
            let inUse = [UInt64(max(0, whole(sum.count))), UInt64(max(0, whole(sum.bytes)))]
            let all = [max(sum.total.allocated, inUse[0]), max(sum.total.allocated_bytes, inUse[1])]
            profile.add(frames: frames.reversed(), values: (hasTotals ? all : []) + inUse)
        }
        return profile
    }
}

extension stack_total {
    fileprivate mutating func add(_ other: stack_total) {
        allocated_bytes &+= other.allocated_bytes
        allocated &+= other.allocated
        freed_bytes &+= other.freed_bytes
        freed &+= other.freed
        temporary &+= other.temporary
        temporary_bytes &+= other.temporary_bytes
    }

    /// What has come since an earlier count.
    fileprivate func since(_ earlier: stack_total?) -> stack_total {
        guard let earlier else { return self }
        return stack_total(
            allocated_bytes: allocated_bytes &- earlier.allocated_bytes,
            allocated: allocated &- earlier.allocated,
            freed_bytes: freed_bytes &- earlier.freed_bytes, freed: freed &- earlier.freed,
            temporary: temporary &- earlier.temporary,
            temporary_bytes: temporary_bytes &- earlier.temporary_bytes)
    }
}
