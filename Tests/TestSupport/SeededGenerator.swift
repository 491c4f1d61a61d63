// SPDX-License-Identifier: Apache-2.0

/// The same numbers in every run (SplitMix64), so that a failure can be looked at again.
package struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    package mutating func below(_ end: Int) -> Int { Int.random(in: 0..<end, using: &self) }

    /// A number at which something ends: a type, a page, a sign, or a bit; or close to such a one; or any.
    package mutating func extreme(near places: [UInt64] = []) -> UInt64 {
        let ends: [UInt64] = [
            0, 0x7f, 0x80, 0xff, 0x1000, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
            1 << 46, 1 << 47, .max / 2, .max / 2 + 1, .max,
        ]
        let nearby = UInt64(bitPattern: Int64(below(17) - 8))
        switch below(8) {
        case 0: return 1 << UInt64(below(64))
        case 1: return (1 << UInt64(below(64))) &+ nearby
        case 2: return next()
        case 3: return next() >> UInt64(below(64))
        case 4 where !places.isEmpty, 5 where !places.isEmpty: return places[below(places.count)] &+ nearby
        case 6: return ends[below(ends.count)] &+ nearby
        default: return ends[below(ends.count)]
        }
    }

    /// Changes bytes as a broken disk, a cut download or somebody with bad intentions would. There must be some.
    package mutating func damage(_ bytes: inout [UInt8]) {
        let place = below(3) == 0 ? below(min(bytes.count, 512)) : below(bytes.count)
        switch below(7) {
        case 0: bytes[place] ^= 1 << UInt8(below(8))
        case 1: bytes[place] = UInt8(below(256))
        case 2: bytes.removeSubrange(place...)
        case 3: bytes.removeSubrange(place..<min(place + 1 + below(16), bytes.count))
        case 4:
            let end = min(place + 1 + below(32), bytes.count)
            bytes.insert(contentsOf: bytes[place..<end], at: below(bytes.count))
        case 5:
            // Numbers at which sums overflow and ranges end.
            let numbers: [UInt64] = [
                0, 1, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 62, .max - 7, .max, UInt64(bytes.count),
            ]
            let number = numbers[below(numbers.count)]
            for index in 0..<min(8, bytes.count - place) {
                bytes[place + index] = UInt8(number >> (8 * UInt64(index)) & 0xff)
            }
        default: bytes.swapAt(place, below(bytes.count))
        }
    }
}
