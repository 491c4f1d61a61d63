// SPDX-License-Identifier: Apache-2.0
import TestSupport

extension SeededGenerator {
    /// A character of any plane; controls and other troublemakers more often than chance has it.
    mutating func scalar() -> Unicode.Scalar {
        let troublesome: [ClosedRange<UInt32>] = [
            0...0x7f, 0x80...0x9f, 0x22...0x22, 0x5c...0x5c, 0x200b...0x200f, 0x2028...0x202e,
            0xfeff...0xfeff,
            0xd7ff...0xd7ff, 0xe000...0xe000, 0xfffd...0xffff, 0xe0000...0xe007f, 0x10ffff...0x10ffff,
        ]
        let everything: [ClosedRange<UInt32>] = [0...0xd7ff, 0xe000...0xffff, 0x10000...0x10ffff]
        let ranges = Bool.random(using: &self) ? troublesome : everything
        let value = UInt32.random(in: ranges[Int.random(in: ranges.indices, using: &self)], using: &self)
        return Unicode.Scalar(value) ?? "x"
    }

    /// Text of up to `most` characters.
    mutating func text(most: Int) -> String {
        var text = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0...most, using: &self) { text.append(scalar()) }
        return String(text)
    }

    /// Well-formed characters with pieces of broken ones between them.
    mutating func bytes(most: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<Int.random(in: 0...most, using: &self) {
            switch Int.random(in: 0..<4, using: &self) {
            case 0: bytes.append(UInt8.random(in: 0...255, using: &self))
            case 1: bytes.append(UInt8.random(in: 0x80...255, using: &self))
            case 2: bytes += Array(String(scalar()).utf8).dropLast()
            default: bytes += Array(String(scalar()).utf8)
            }
        }
        return bytes
    }
}

/// The bytes as one character if they are a well-formed sequence for exactly one: the standard library's opinion.
func soleScalar(_ bytes: some Collection<UInt8>) -> Unicode.Scalar? {
    guard let text = String(validating: bytes, as: UTF8.self), text.unicodeScalars.count == 1 else {
        return nil
    }
    return text.unicodeScalars.first
}

/// Well-formed characters, and each byte between them that is part of none.
func pieces(_ bytes: [UInt8]) -> [(scalar: Unicode.Scalar?, byte: UInt8)] {
    var found: [(Unicode.Scalar?, UInt8)] = []
    var rest = bytes[...]
    while let first = rest.first {
        let length = (1...4).first { $0 <= rest.count && soleScalar(rest.prefix($0)) != nil }
        found.append((length.flatMap { soleScalar(rest.prefix($0)) }, first))
        rest = rest.dropFirst(length ?? 1)
    }
    return found
}
