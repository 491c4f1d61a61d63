// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Glibc
internal import Tracing

/// Reads what programs have noted of blocks: what is left of each memory, by stack.
final class MemleakBooks {
    /// What is left in one space.
    struct Contents {
        var sums: [UInt64: MemleakReport.Sum] = [:]
        var blocks: [UInt64: [(address: UInt64, bytes: UInt64)]] = [:]
    }

    private let options: Memleak
    private let object: LoadedObject
    private let names: StackNames
    /// What had been allocated and freed when the counting began.
    private var totalsBefore: [UInt64: stack_total] = [:]

    init(_ options: Memleak, _ object: LoadedObject, _ names: StackNames) {
        self.options = options
        self.object = object
        self.names = names
    }

    private var live: HashMap<UInt64, live_block> { object.map("blocks") }
    private var totals: HashMap<UInt64, stack_total> { object.map("stack_totals") }

    /// Counts from here on, for what is counted in sums.
    func begin() throws {
        guard options.readsTotals else { return }
        totalsBefore = [:]
        try totals.forEachInBatches { totalsBefore[$0.pointee] = $1.pointee }
    }

    /// What is left in each space.
    ///
    /// - Parameters:
    ///   - mappings: what is mapped, if that is what was traced.
    ///   - minimumAge: nanoseconds; younger blocks do not count.
    ///   - since: nanoseconds of the monotonic clock; blocks that are older do not count.
    ///   - over: spaces that are over: there blocks of any age count.
    ///   - only: the spaces to read; nil for all.
    func read(
        _ mappings: MemleakMappings?, minimumAge: UInt64, since: UInt64, over: Set<UInt32> = [],
        only: Set<UInt32>? = nil
    ) throws -> [UInt32: Contents] {
        names.settle()
        var found: [UInt32: Contents] = [:]
        let latest = monotonicTime() &- minimumAge
        if let mappings {
            var contents = Contents()
            mappings.forEachBlock(since: since...max(since, latest)) { add($0, $1, to: &contents) }
            for (stack, total) in mappings.totals where options.pictures.pprof != nil {
                contents.sums[names.canonical(stack), default: .init()].total.allocated += total.count
                contents.sums[names.canonical(stack), default: .init()].total.allocated_bytes += total.bytes
            }
            found[0] = contents
        } else if !options.combinedOnly {
            try readBlocks(from: since, to: latest, over, only, into: &found)
        }
        try readTotals(only, into: &found)
        return found
    }

    private func readBlocks(
        from since: UInt64, to latest: UInt64, _ over: Set<UInt32>, _ only: Set<UInt32>?,
        into found: inout [UInt32: Contents]
    ) throws {
        let generation = try object.sharedVariable("memleak_state", as: memleak_state.self).value.generation
        let first = BlockClock.reading(since)
        let last = max(first, BlockClock.reading(latest))
        try live.forEachInBatches { key, block in
            let block = block.pointee
            let space = self.space(of: key.pointee)
            guard options.follow || block.isOf(generation: generation), only?.contains(space) ?? true,
                block.time >= first, block.time <= last || over.contains(space)
            else { return }
            add(address(in: key.pointee), block, to: &found[space, default: Contents()])
        }
    }

    private func add(_ address: UInt64, _ block: live_block, to contents: inout Contents) {
        var weight = 1.0
        if let mean = options.sampleBytes {
            // A block of so many bytes is sampled with this chance.
            let chance = 1 - exp(-Double(block.bytes) / Double(mean))
            guard chance > 0 else { return }
            weight = 1 / chance
        }
        let stack = names.canonical(block.stack)
        contents.sums[stack, default: .init()].bytes += weight * Double(block.bytes)
        contents.sums[stack, default: .init()].count += weight
        if options.showBlocks { contents.blocks[stack, default: []].append((address, block.bytes)) }
    }

    private func readTotals(_ only: Set<UInt32>?, into found: inout [UInt32: Contents]) throws {
        guard options.readsTotals else { return }
        try totals.forEachInBatches { key, total in
            let space = UInt32(truncatingIfNeeded: total.pointee.space)
            guard only?.contains(space) ?? true else { return }
            let stack = names.canonical(total.pointee.stack)
            let total = total.pointee.since(totalsBefore[key.pointee])
            var sum = found[space]?.sums[stack] ?? .init()
            sum.total.add(total)
            if options.combinedOnly {
                // More may be freed than was allocated since.
                sum.bytes += Double(Int64(bitPattern: total.allocated_bytes &- total.freed_bytes))
                sum.count += Double(Int64(bitPattern: total.allocated &- total.freed))
            }
            found[space, default: Contents()].sums[stack] = sum
        }
    }

    /// Removes all that is noted of spaces.
    func remove(_ spaces: Set<UInt32>) throws {
        var keys: [UInt64] = []
        try live.forEachInBatches { key, _ in
            if spaces.contains(space(of: key.pointee)) { keys.append(key.pointee) }
        }
        for key in keys { live.remove(key) }
        guard options.readsTotals else { return }
        keys = []
        try totals.forEachInBatches { key, total in
            if spaces.contains(UInt32(truncatingIfNeeded: total.pointee.space)) { keys.append(key.pointee) }
        }
        for key in keys {
            totals.remove(key)
            totalsBefore[key] = nil
        }
    }

    /// The kernel's blocks have addresses that leave no room for a number.
    private func space(of key: UInt64) -> UInt32 {
        options.isOfProcess ? UInt32(truncatingIfNeeded: key >> UInt64(SPACE_SHIFT)) : 0
    }

    private func address(in key: UInt64) -> UInt64 {
        options.isOfProcess ? key & ((1 << UInt64(SPACE_SHIFT)) - 1) : key
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
            stack: stack, space: space, allocated_bytes: allocated_bytes &- earlier.allocated_bytes,
            allocated: allocated &- earlier.allocated,
            freed_bytes: freed_bytes &- earlier.freed_bytes, freed: freed &- earlier.freed,
            temporary: temporary &- earlier.temporary,
            temporary_bytes: temporary_bytes &- earlier.temporary_bytes)
    }
}
