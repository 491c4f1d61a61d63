// SPDX-License-Identifier: Apache-2.0

/// The pieces of a byte string between separators, empty ones too, one at a time.
///
/// Unlike `split` it stores nothing, so a megabyte of newlines costs no memory.
struct Fields: Sequence, IteratorProtocol {
    private var rest: ArraySlice<UInt8>?
    private let separator: UInt8

    /// Takes `bytes` apart at each `separator`; no bytes at all are one empty piece.
    init(_ bytes: ArraySlice<UInt8>, separator: Character) {
        rest = bytes
        self.separator = separator.asciiValue ?? 0
    }

    /// The next piece; nil after the last.
    mutating func next() -> ArraySlice<UInt8>? {
        guard let bytes = rest else { return nil }
        guard let end = bytes.firstIndex(of: separator) else {
            rest = nil
            return bytes
        }
        rest = bytes[(end + 1)...]
        return bytes[..<end]
    }
}

extension ArraySlice<UInt8> {
    /// The whole slice as an unsigned number: digits only, no sign, no space; nil if it is not one or too
    /// large.
    func number<Value: FixedWidthInteger>(radix: Int = 10) -> Value? {
        // The standard parser would take a leading plus or minus.
        guard count <= 64, first != UInt8(ascii: "+"), first != UInt8(ascii: "-") else { return nil }
        return Value(String(decoding: self, as: UTF8.self), radix: radix)
    }

    /// Without the spaces and tabs at both ends.
    var trimmed: ArraySlice<UInt8> {
        let isBlank = { (byte: UInt8) in byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
        let head = drop(while: isBlank)
        guard let last = head.lastIndex(where: { !isBlank($0) }) else { return head }
        return head[...last]
    }

    /// What follows `prefix`; nil if the slice does not start with it.
    func after(_ prefix: String) -> ArraySlice<UInt8>? {
        starts(with: prefix.utf8) ? dropFirst(prefix.utf8.count) : nil
    }

    /// As text; bytes that are not UTF-8 become U+FFFD.
    var text: String { String(decoding: self, as: UTF8.self) }
}

extension StringProtocol {
    /// What follows `prefix`, compared byte by byte; nil if the text does not start with it.
    func after(_ prefix: String) -> String? {
        guard utf8.starts(with: prefix.utf8) else { return nil }
        return String(decoding: utf8.dropFirst(prefix.utf8.count), as: UTF8.self)
    }

    /// What precedes `suffix`, compared byte by byte; nil if the text does not end with it.
    func before(_ suffix: String) -> String? {
        guard utf8.suffix(suffix.utf8.count).elementsEqual(suffix.utf8) else { return nil }
        return String(decoding: utf8.dropLast(suffix.utf8.count), as: UTF8.self)
    }
}
