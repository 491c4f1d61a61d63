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
