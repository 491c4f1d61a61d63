// SPDX-License-Identifier: Apache-2.0
internal import Arithmetic
internal import CBPFPrograms

/// The memory that a process has mapped since it is traced, to the byte, with the calls that have mapped it.
///
/// Made of the records of `--mmap` in their order (bpf/include/memleak.h). A part of a mapping that is left when the
/// rest was unmapped still belongs to the call that has mapped it.
struct MemleakMappings {
    /// A piece of memory that one call has mapped.
    struct Block: Equatable {
        let range: Range<UInt64>
        let stack: UInt64
        /// Nanoseconds of the monotonic clock.
        let since: UInt64
        let thread: UInt32

        fileprivate func part(_ range: Range<UInt64>) -> Block {
            Block(range: range, stack: stack, since: since, thread: thread)
        }
    }

    /// What one stack has mapped in all: memory may be mapped that nobody has, and so the sum may be more than any.
    struct Total {
        var count: UInt64 = 0
        var bytes: UInt64 = 0

        fileprivate mutating func add(_ more: UInt64) {
            count = count.addingClamped(1)
            bytes = bytes.addingClamped(more)
        }
    }

    /// What a call under way lets go.
    private struct Released {
        let range: Range<UInt64>
        let blocks: [Block]
    }

    /// Sorted, without overlaps.
    private(set) var blocks: [Block] = []
    /// By stack.
    private(set) var totals: [UInt64: Total] = [:]
    private let sizes: ClosedRange<UInt64>
    private var released: [UInt32: Released] = [:]
    private var breaks: [UInt32: UInt64] = [:]

    /// - Parameter sizes: of the calls that count, in bytes.
    init(sizes: ClosedRange<UInt64>) { self.sizes = sizes }

    /// Applies a record.
    ///
    /// - Parameter note: called with each piece that comes or goes, in this order: address, bytes.
    mutating func apply(
        _ event: memleak_event, note: (memleak_event_kind, UInt64, UInt64) throws -> Void
    ) rethrows {
        let range = Self.range(event.address, event.bytes)
        switch memleak_event_kind(event.kind) {
        case MEMLEAK_EXECUTED: self = MemleakMappings(sizes: sizes)
        case MEMLEAK_MAPPED: try map(range, event, note)
        case MEMLEAK_UNMAPS:
            released[event.thread] = Released(range: range, blocks: try unmap(range, note))
        case MEMLEAK_FAILED:
            for block in released.removeValue(forKey: event.thread)?.blocks ?? [] {
                try putBack(block, note)
            }
        case MEMLEAK_REMAPPED: try remap(range, event, note)
        case MEMLEAK_BREAK: breaks[event.thread] = event.address
        case MEMLEAK_BROKEN:
            guard let before = breaks.removeValue(forKey: event.thread) else { return }
            if event.address > before {
                try map(before..<event.address, event, note)
            } else {
                _ = try unmap(event.address..<before, note)
            }
        default: break
        }
    }

    private static func range(_ start: UInt64, _ bytes: UInt64) -> Range<UInt64> {
        let end = start.addingReportingOverflow(bytes)
        return start..<(end.overflow ? UInt64.max : end.partialValue)
    }

    private mutating func map(
        _ range: Range<UInt64>, _ event: memleak_event,
        _ note: (memleak_event_kind, UInt64, UInt64) throws -> Void
    ) rethrows {
        _ = try unmap(range, note)
        guard !range.isEmpty, sizes.contains(range.bytes) else { return }
        totals[event.stack, default: Total()].add(range.bytes)
        try put(
            Block(range: range, stack: event.stack, since: event.time_ns, thread: event.thread), note)
    }

    /// What has grown is a new block, as with realloc; what has only moved, or lost its end, is the old one.
    private mutating func remap(
        _ range: Range<UInt64>, _ event: memleak_event,
        _ note: (memleak_event_kind, UInt64, UInt64) throws -> Void
    ) rethrows {
        guard let old = released.removeValue(forKey: event.thread), old.range.bytes >= range.bytes else {
            return try map(range, event, note)
        }
        _ = try unmap(range, note)
        for block in old.blocks {
            // In the old range, which is at least as long.
            let start = range.lowerBound.addingClamped(block.range.lowerBound - old.range.lowerBound)
            let moved = (start..<start.addingClamped(block.range.bytes)).clamped(to: range)
            guard !moved.isEmpty else { continue }
            try put(block.part(moved), note)
        }
    }

    private mutating func put(
        _ block: Block, _ note: (memleak_event_kind, UInt64, UInt64) throws -> Void
    ) rethrows {
        blocks.insert(block, at: place(of: block.range.lowerBound))
        try note(MEMLEAK_ALLOCATED, block.range.lowerBound, block.range.bytes)
    }

    /// What a call has not let go after all is there as before, but where another thread has mapped something meanwhile.
    private mutating func putBack(
        _ block: Block, _ note: (memleak_event_kind, UInt64, UInt64) throws -> Void
    ) rethrows {
        var free: [Range<UInt64>] = []
        var start = block.range.lowerBound
        var index = place(of: start)
        while index < blocks.count, blocks[index].range.lowerBound < block.range.upperBound {
            let other = blocks[index].range
            if start < other.lowerBound { free.append(start..<other.lowerBound) }
            start = other.upperBound
            index += 1
        }
        if start < block.range.upperBound { free.append(start..<block.range.upperBound) }
        for range in free {
            try put(block.part(range), note)
            joinNeighbours(of: block.part(range))
        }
    }

    /// Makes one of what was cut in vain.
    private mutating func joinNeighbours(of block: Block) {
        var index = place(of: block.range.lowerBound)
        if index > 0 { index -= 1 }
        while index + 1 < blocks.count, blocks[index].range.lowerBound <= block.range.upperBound {
            let (first, second) = (blocks[index], blocks[index + 1])
            let whole = first.range.lowerBound..<second.range.upperBound
            guard first.range.upperBound == second.range.lowerBound, first.part(whole) == second.part(whole)
            else {
                index += 1
                continue
            }
            blocks.replaceSubrange(index...index + 1, with: [first.part(whole)])
        }
    }

    /// Takes a range out of all blocks that it touches.
    ///
    /// - Returns: what was in it.
    private mutating func unmap(
        _ range: Range<UInt64>, _ note: (memleak_event_kind, UInt64, UInt64) throws -> Void
    ) rethrows -> [Block] {
        guard !range.isEmpty else { return [] }
        let first = place(of: range.lowerBound)
        var end = first
        var taken: [Block] = []
        var kept: [Block] = []
        while end < blocks.count, blocks[end].range.lowerBound < range.upperBound {
            let block = blocks[end]
            let gone = block.range.clamped(to: range)
            taken.append(block.part(gone))
            for rest in [
                block.range.lowerBound..<gone.lowerBound, gone.upperBound..<block.range.upperBound,
            ] where !rest.isEmpty { kept.append(block.part(rest)) }
            try note(MEMLEAK_FREED, gone.lowerBound, gone.bytes)
            end += 1
        }
        blocks.replaceSubrange(first..<end, with: kept)
        return taken
    }

    /// Calls `body` with the address of every block that is as old as wanted, as if an allocator had given it out; but
    /// for its time.
    ///
    /// - Parameter times: nanoseconds of the monotonic clock.
    func forEachBlock(since times: ClosedRange<UInt64>, _ body: (UInt64, live_block) -> Void) {
        for block in blocks where times.contains(block.since) {
            body(
                block.range.lowerBound,
                live_block(bytes: block.range.bytes, stack: block.stack, born: 0))
        }
    }

    /// Of the first block that ends behind an address.
    private func place(of address: UInt64) -> Int {
        var low = 0
        var high = blocks.count
        while low < high {
            let middle = (low + high) / 2
            if blocks[middle].range.upperBound > address { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

extension Range<UInt64> {
    fileprivate var bytes: UInt64 { upperBound - lowerBound }
}
