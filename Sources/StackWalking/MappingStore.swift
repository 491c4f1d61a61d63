// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Symbolization
internal import Tracing

/// The lists of mappings of all processes.
///
/// Processes with the same mappings, to which addresses mean the same, share a list, as after a fork. A list is never changed in place: a program may be
/// searching it. A new one is written elsewhere, and the room of the old one is used again when nobody can be searching
/// it any more: a walk takes microseconds, but a child that was just forked has its parent's list without our knowing.
final class MappingStore {
    private static let restNanoseconds: UInt64 = 500_000_000
    private static let least = 8

    private struct List {
        let place: unwind_process
        var users: Int
    }

    private let mappings: SharedArray<unwind_mapping>
    private var used = 0
    private var serial: UInt32 = 0
    private var lists: [Int: List] = [:]
    /// Of a list, by its first mapping.
    private var hashes: [UInt32: Int] = [:]
    /// By capacity, a power of two.
    private var free: [Int: [UInt32]] = [:]
    private var resting: [(since: UInt64, place: unwind_process)] = []

    init(_ mappings: SharedArray<unwind_mapping>) { self.mappings = mappings }

    func holds(_ list: [unwind_mapping], at place: unwind_process) -> Bool {
        Int(place.count) == list.count
            && list.indices.allSatisfy { index in
                let known = mappings[Int(place.first) + index]
                let other = list[index]
                return known.start == other.start && known.end == other.end && known.bias == other.bias
                    && known.first_page == other.first_page && known.pages == other.pages
            }
    }

    /// Where a list has other code than another one had.
    func replaced(_ old: unwind_process, by list: [unwind_mapping]) -> [Range<UInt64>] {
        var result: [Range<UInt64>] = []
        var next = 0
        for index in 0..<Int(old.count) {
            let before = mappings[Int(old.first) + index]
            while next < list.count, list[next].end <= before.start { next += 1 }
            var place = next
            while place < list.count, list[place].start < before.end {
                let now = list[place]
                place += 1
                guard now.bias != before.bias || now.first_page != before.first_page else { continue }
                result.append(max(now.start, before.start)..<min(now.end, before.end))
            }
        }
        return result
    }

    /// Writes a list, unless it is there already; nil if there is no room. To be given back by `retire`.
    func place(_ list: [unwind_mapping], meaning: UInt32) -> unwind_process? {
        let hash = Self.hash(list, meaning)
        if let known = lists[hash], known.place.meaning == meaning, holds(list, at: known.place) {
            lists[hash]?.users += 1
            return known.place
        }
        takeBack()
        let capacity = Self.capacity(list.count)
        let first: UInt32
        if let place = free[capacity]?.popLast() {
            first = place
        } else {
            guard used + capacity <= mappings.count else { return nil }
            first = UInt32(used)
            used += capacity
        }
        mappings.fill(Int(first)..<Int(first) + list.count) { list[$0] }
        serial += 1
        let place = unwind_process(
            first: first, count: UInt32(list.count), serial: serial, meaning: meaning,
            deferrals: Int32(UNWIND_DEFERRALS), reserved: 0)
        // Of two lists with one hash, only the first is shared.
        if lists[hash] == nil {
            lists[hash] = List(place: place, users: 1)
            hashes[first] = hash
        }
        return place
    }

    func retire(_ place: unwind_process) {
        if let hash = hashes[place.first], let list = lists[hash] {
            guard list.users == 1 else {
                lists[hash]?.users -= 1
                return
            }
            lists[hash] = nil
            hashes[place.first] = nil
        }
        resting.append((monotonicNanoseconds(), place))
    }

    private func takeBack() {
        let now = monotonicNanoseconds()
        let over = resting.prefix { now - $0.since > Self.restNanoseconds }
        for (_, place) in over { free[Self.capacity(Int(place.count)), default: []].append(place.first) }
        resting.removeFirst(over.count)
    }

    private static func hash(_ list: [unwind_mapping], _ meaning: UInt32) -> Int {
        var hasher = Hasher()
        hasher.combine(meaning)
        for mapping in list {
            hasher.combine(mapping.start)
            hasher.combine(mapping.end)
            hasher.combine(mapping.bias)
            hasher.combine(mapping.first_page)
        }
        return hasher.finalize()
    }

    private static func capacity(_ count: Int) -> Int {
        var capacity = least
        while capacity < count { capacity <<= 1 }
        return capacity
    }
}
