// SPDX-License-Identifier: Apache-2.0

/// How much may be read of all files together to make indexes of symbols: each is bounded, but a process can map
/// thousands that were made to cost as much as one can.
///
/// The unit is a byte of a symbol table, of which some hundred million take a second.
final class ReadingBudget {
    /// What a byte costs.
    enum Cost {
        static let symbols: UInt64 = 1
        /// Of what is decompressed.
        static let unpacked: UInt64 = 4
    }

    /// A byte that only goes into a checksum costs less than one.
    static let checksumBytesPerUnit: UInt64 = 4

    private var left: UInt64

    init(_ bytes: UInt64 = 1 << 35) { left = bytes }

    /// Whether work of that cost may be done.
    func spend(_ cost: UInt64) -> Bool {
        guard cost <= left else { return false }
        left -= cost
        return true
    }
}
