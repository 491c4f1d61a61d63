// SPDX-License-Identifier: Apache-2.0

/// The bytes of one section, decompressed, or read from the file where they are needed.
final class DWARFSection {
    private enum Storage {
        case file(DWARFFile, start: UInt64, DWARFBudget)
        case memory([UInt8])
    }

    private let storage: Storage
    let size: UInt64
    /// What was read last, because what is read next is often near.
    private var window: [UInt8] = []
    private var windowStart: UInt64 = 0
    private static let windowSize = 1 << 14

    init(_ file: DWARFFile, start: UInt64, size: UInt64, budget: DWARFBudget) {
        storage = .file(file, start: start, budget)
        self.size = size
    }

    init(_ bytes: [UInt8]) {
        storage = .memory(bytes)
        size = UInt64(bytes.count)
    }

    /// Memory that stays taken.
    var bytesHeld: Int {
        if case .memory(let bytes) = storage { bytes.count } else { 0 }
    }

    func forgetWindow() { window = [] }

    /// Reads from `offset` on at most `count` bytes, fewer if the section or its file ends before.
    func cursor(at offset: UInt64, upTo count: Int) -> DWARFCursor {
        let start = min(offset, size)
        let count = Int(min(UInt64(max(count, 0)), size - start))
        switch storage {
        case .memory(let bytes):
            return DWARFCursor(bytes, origin: 0, range: Int(start)..<Int(start) + count)
        case .file(let file, let first, let budget):
            if count > Self.windowSize / 4 {
                let bytes = Self.bytes(file, at: first &+ start, count: count, budget)
                return DWARFCursor(bytes, origin: start, range: 0..<count)
            }
            if start < windowStart || start + UInt64(count) > windowStart + UInt64(window.count) {
                // What comes before may be wanted next, too.
                windowStart = start - min(start, UInt64(Self.windowSize / 4))
                let wanted = Int(min(UInt64(Self.windowSize), size - windowStart))
                window = Self.bytes(file, at: first &+ windowStart, count: wanted, budget)
            }
            let index = Int(start - windowStart)
            return DWARFCursor(window, origin: windowStart, range: index..<index + count)
        }
    }

    private static func bytes(
        _ file: DWARFFile, at offset: UInt64, count: Int, _ budget: DWARFBudget
    ) -> [UInt8] {
        guard budget.spend(DWARFBudget.Cost.read + count / 4) else { return [] }
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = file.read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    /// An unsigned number; nil if it is not all there.
    func number(at offset: UInt64, size: Int) -> UInt64? {
        var cursor = cursor(at: offset, upTo: size)
        let number = cursor.number(size: size)
        return cursor.failed ? nil : number
    }

    /// The number `index` of an array whose first is at `base`.
    func number(base: UInt64, index: UInt64, size: Int) -> UInt64? {
        let (distance, tooFar) = index.multipliedReportingOverflow(by: UInt64(size))
        let (offset, outside) = base.addingReportingOverflow(distance)
        return tooFar || outside ? nil : number(at: offset, size: size)
    }

    /// The text at an offset, which a zero ends; nil if there is none, or a very long one.
    func text(at offset: UInt64) -> String? {
        guard offset < size else { return nil }
        for count in [256, 4096, DWARFLimits.text] {
            var cursor = cursor(at: offset, upTo: count)
            if let text = cursor.text() { return text }
        }
        return nil
    }
}
