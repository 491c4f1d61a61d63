// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import TestSupport
import Testing

@testable import Commands

private func event(
    _ kind: memleak_event_kind, _ address: UInt64 = 0, _ bytes: UInt64 = 0, stack: UInt64 = 0,
    thread: UInt32 = 1, at time: UInt64 = 0
) -> memleak_event {
    var event = memleak_event()
    event.kind = kind.rawValue
    event.address = address
    event.bytes = bytes
    event.stack = stack
    event.thread = thread
    event.time_ns = time
    return event
}

extension MemleakMappings {
    fileprivate mutating func take(_ event: memleak_event) { apply(event) { _, _, _ in } }

    /// Pieces and bytes by stack.
    fileprivate var sums: [UInt64: [UInt64]] {
        var sums: [UInt64: [UInt64]] = [:]
        for block in blocks {
            let old = sums[block.stack] ?? [0, 0]
            sums[block.stack] = [old[0] + 1, old[1] + block.range.upperBound - block.range.lowerBound]
        }
        return sums
    }
}

@Suite struct MemleakMappingsTests {
    private static let everything: ClosedRange<UInt64> = 0...UInt64.max

    @Test func aHoleMakesTwo() {
        var book = MemleakMappings(sizes: Self.everything)
        book.take(event(MEMLEAK_MAPPED, 0x10000, 0xa000, stack: 7))
        book.take(event(MEMLEAK_UNMAPS, 0x12000, 0x2000))
        book.take(event(MEMLEAK_UNMAPS, 0x19000, 0x9000))
        #expect(book.sums == [7: [2, 0x7000]])
        #expect(book.totals[7]?.bytes == 0xa000)
    }

    @Test func whatFailedIsAsBefore() {
        var book = MemleakMappings(sizes: Self.everything)
        book.take(event(MEMLEAK_MAPPED, 0x10000, 0x4000, stack: 7))
        book.take(event(MEMLEAK_MAPPED, 0x14000, 0x4000, stack: 8, at: 1))
        let before = book.blocks
        book.take(event(MEMLEAK_UNMAPS, 0x11000, 0x5000, thread: 2))
        #expect(book.sums == [7: [1, 0x1000], 8: [1, 0x2000]])
        book.take(event(MEMLEAK_FAILED, thread: 1))
        #expect(book.sums == [7: [1, 0x1000], 8: [1, 0x2000]])
        book.take(event(MEMLEAK_FAILED, thread: 2))
        #expect(book.blocks == before)
    }

    /// Another thread is given what a call lets go before that call has returned.
    @Test func memoryThatGoesFromThreadToThread() {
        var book = MemleakMappings(sizes: Self.everything)
        book.take(event(MEMLEAK_MAPPED, 0x10000, 0x2000, stack: 1, thread: 1))
        book.take(event(MEMLEAK_UNMAPS, 0x10000, 0x2000, thread: 1))
        book.take(event(MEMLEAK_MAPPED, 0x10000, 0x1000, stack: 2, thread: 2))
        #expect(book.sums == [2: [1, 0x1000]])
    }

    /// munmap of an address that is none fails, and meanwhile another thread has mapped something there.
    @Test func whatFailedLeavesWhatCameMeanwhile() {
        var book = MemleakMappings(sizes: Self.everything)
        book.take(event(MEMLEAK_MAPPED, 0x10000, 0x8000, stack: 1, thread: 1))
        book.take(event(MEMLEAK_UNMAPS, 0x10000, 0x8000, thread: 1))
        book.take(event(MEMLEAK_MAPPED, 0x12000, 0x1000, stack: 2, thread: 2))
        book.take(event(MEMLEAK_MAPPED, 0x17000, 0x4000, stack: 3, thread: 2))
        book.take(event(MEMLEAK_FAILED, thread: 1))
        #expect(book.blocks.map(\.range.lowerBound) == [0x10000, 0x12000, 0x13000, 0x17000])
        #expect(book.sums == [1: [2, 0x6000], 2: [1, 0x1000], 3: [1, 0x4000]])
        book.take(event(MEMLEAK_UNMAPS, 0, UInt64.max))
        #expect(book.sums == [:])
    }

    @Test func remapping() {
        var book = MemleakMappings(sizes: Self.everything)
        book.take(event(MEMLEAK_MAPPED, 0x10000, 0x4000, stack: 1))
        book.take(event(MEMLEAK_UNMAPS, 0x11000, 0x1000))
        // Moved with its hole, and cut.
        book.take(event(MEMLEAK_UNMAPS, 0x10000, 0x4000))
        book.take(event(MEMLEAK_REMAPPED, 0x30000, 0x3000, stack: 2))
        #expect(book.blocks.map(\.range) == [0x30000..<0x31000, 0x32000..<0x33000])
        #expect(book.sums == [1: [2, 0x2000]])
        // What grows is the caller's of mremap.
        book.take(event(MEMLEAK_UNMAPS, 0x32000, 0x1000))
        book.take(event(MEMLEAK_REMAPPED, 0x40000, 0x2000, stack: 3))
        #expect(book.sums == [1: [1, 0x1000], 3: [1, 0x2000]])
        // MREMAP_DONTUNMAP leaves the old one.
        book.take(event(MEMLEAK_UNMAPS, 0x40000, 0))
        book.take(event(MEMLEAK_REMAPPED, 0x50000, 0x2000, stack: 4))
        #expect(book.sums == [1: [1, 0x1000], 3: [1, 0x2000], 4: [1, 0x2000]])
    }

    @Test func theBreak() {
        var book = MemleakMappings(sizes: Self.everything)
        func moveBreak(from: UInt64, to: UInt64, stack: UInt64) {
            book.take(event(MEMLEAK_BREAK, from))
            book.take(event(MEMLEAK_BROKEN, to, stack: stack))
        }
        moveBreak(from: 1000, to: 11_000, stack: 1)
        moveBreak(from: 11_000, to: 11_000, stack: 2)
        moveBreak(from: 11_000, to: 7000, stack: 3)
        moveBreak(from: 7000, to: 7100, stack: 4)
        #expect(book.sums == [1: [1, 6000], 4: [1, 100]])
        book.take(event(MEMLEAK_EXECUTED))
        #expect(book.sums == [:])
    }

    @Test func sizesAndNonsense() {
        var book = MemleakMappings(sizes: 0x2000...0x3000)
        book.take(event(MEMLEAK_MAPPED, 0x10000, 0x3000, stack: 1))
        book.take(event(MEMLEAK_MAPPED, 0x11000, 0x1000, stack: 2))
        #expect(book.sums == [1: [2, 0x2000]])
        book.take(event(MEMLEAK_UNMAPS, UInt64.max - 5, UInt64.max))
        book.take(event(MEMLEAK_REMAPPED, UInt64.max - 5, 10, stack: 3))
        book.take(event(MEMLEAK_UNMAPS, 0, UInt64.max))
        #expect(book.sums == [:])
    }

    /// A page table has room for 2^47 bytes, and what was mapped and given back counts as well.
    @Test func moreBytesThanNumbersGoTo() {
        var book = MemleakMappings(sizes: Self.everything)
        for _ in 0..<3 {
            book.take(event(MEMLEAK_MAPPED, 0x1000, UInt64.max - 0x2000, stack: 1))
            book.take(event(MEMLEAK_UNMAPS, 0x1000, UInt64.max - 0x2000))
        }
        #expect(book.totals[1]?.bytes == .max && book.totals[1]?.count == 3)
    }

    /// Records can be lost, and addresses be any.
    @Test func recordsInAnyOrderWithAnyNumbers() {
        var random = SeededGenerator(seed: 5)
        let kinds: [memleak_event_kind] = [
            MEMLEAK_MAPPED, MEMLEAK_UNMAPS, MEMLEAK_FAILED, MEMLEAK_REMAPPED, MEMLEAK_BREAK, MEMLEAK_BROKEN,
        ]
        var book = MemleakMappings(sizes: Self.everything)
        for _ in 0..<20_000 {
            book.take(
                event(
                    kinds[random.below(kinds.count)], random.extreme(), random.extreme(),
                    stack: UInt64(random.below(4)), thread: UInt32(random.below(3)), at: random.extreme()))
            let ranges = book.blocks.map(\.range)
            #expect(ranges.allSatisfy { !$0.isEmpty })
            #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound })
            if random.below(100) == 0 { book.take(event(MEMLEAK_EXECUTED)) }
        }
    }

    /// Against a model that has an entry for each page.
    @Test func thirtyThousandRandomCalls() {
        var random = SeededGenerator(seed: 11)
        var book = MemleakMappings(sizes: Self.everything)
        var pages: [UInt64: UInt64] = [:]
        let page: UInt64 = 4096
        for step in 0..<30_000 {
            let start = UInt64(random.below(400))
            let count = UInt64(1 + random.below(20))
            let stack = UInt64(1 + random.below(9))
            switch random.below(5) {
            case 0, 1:
                book.take(
                    event(MEMLEAK_MAPPED, start * page, count * page, stack: stack, at: UInt64(step)))
                for index in start..<start + count { pages[index] = stack }
            case 2:
                book.take(event(MEMLEAK_UNMAPS, start * page, count * page))
                for index in start..<start + count { pages[index] = nil }
            case 3:
                book.take(event(MEMLEAK_UNMAPS, start * page, count * page))
                book.take(event(MEMLEAK_FAILED))
            default:
                let size = UInt64(1 + random.below(20))
                let target = 1000 + UInt64(random.below(400))
                let moved = (start..<start + count).map { pages[$0] }
                book.take(event(MEMLEAK_UNMAPS, start * page, count * page))
                book.take(
                    event(MEMLEAK_REMAPPED, target * page, size * page, stack: stack, at: UInt64(step)))
                for index in start..<start + count { pages[index] = nil }
                for index in 0..<size {
                    pages[target + index] = size > count ? stack : moved[Int(index)]
                }
            }
        }
        var expected: [UInt64: UInt64] = [:]
        for stack in pages.values { expected[stack, default: 0] += page }
        #expect(book.sums.mapValues { $0[1] } == expected)
        let ranges = book.blocks.map(\.range)
        #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound })
        #expect(ranges.allSatisfy { !$0.isEmpty })
    }
}
