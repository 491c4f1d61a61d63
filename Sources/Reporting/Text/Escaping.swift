// SPDX-License-Identifier: Apache-2.0

/// One step through bytes that may or may not be UTF-8.
private enum Piece {
    case scalar(Unicode.Scalar, length: Int)
    /// A byte that is part of no well-formed sequence.
    case invalid(UInt8)
}

private func nextPiece(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Piece {
    let first = bytes[index]
    if first < 0x80 { return .scalar(Unicode.Scalar(first), length: 1) }
    let length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0
    guard length > 0, first < 0xf5, index + length <= bytes.count else { return .invalid(first) }
    var value = UInt32(first) & (0xff >> UInt32(length + 1))
    for offset in 1..<length {
        let next = bytes[index + offset]
        guard next & 0xc0 == 0x80 else { return .invalid(first) }
        value = value << 6 | UInt32(next & 0x3f)
    }
    let least: UInt32 = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80
    // Unicode.Scalar refuses surrogates and what lies above U+10FFFF.
    guard value >= least, let scalar = Unicode.Scalar(value) else { return .invalid(first) }
    return .scalar(scalar, length: length)
}

/// Whether a terminal could act on it, or show something else than what is there.
private func mustEscape(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7f..<0xa0: true  // C0, DEL, C1
    // Default_Ignorable_Code_Point of Unicode without the variation selectors that emoji need, line separators,
    // and interlinear annotation.
    case 0xad, 0x034f, 0x061c, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x180b...0x180f, 0x200b...0x200f: true
    case 0x2028...0x202e, 0x2060...0x206f, 0x3164, 0xfeff, 0xffa0, 0xfff0...0xfffb: true
    case 0x1bca0...0x1bca3, 0x1d173...0x1d17a, 0xe0000...0xe0fff: true
    default: false
    }
}

/// Whether it is printable ASCII without a backslash and without one more character.
private func isPlain(_ text: UnsafeRawBufferPointer, besides special: UInt8) -> Bool {
    for byte in text where byte < 0x20 || byte >= 0x7f || byte == UInt8(ascii: "\\") || byte == special {
        return false
    }
    return true
}

extension ByteWriter {
    /// Appends foreign text for a person to read: no control character, no invisible or direction-changing one,
    /// nothing that is not UTF-8 gets through; each becomes an escape as in C (`\n`, `\x1b`, `\u202e`; `\x80` and above is a byte that is not UTF-8), and a
    /// backslash is doubled, so that the result can be read back.
    ///
    /// - Returns: the number of characters appended.
    @discardableResult
    package func appendEscaped(_ text: UnsafeRawBufferPointer) -> Int {
        let start = count
        if isPlain(text, besides: UInt8(ascii: "\\")) {
            append(text)
            return count - start
        }
        var index = 0
        var width = 0
        while index < text.count {
            let before = count
            switch nextPiece(text, at: index) {
            case .invalid(let byte):
                append("\\x")
                appendNumber(UInt64(byte), radix: 16, minimumDigits: 2)
                index += 1
                width += count - before
            case .scalar(let scalar, let length):
                if scalar == "\\" || mustEscape(scalar) {
                    appendEscape(scalar)
                    width += count - before
                } else {
                    append(UnsafeRawBufferPointer(rebasing: text[index..<index + length]))
                    width += 1
                }
                index += length
            }
        }
        return width
    }

    private func appendEscape(_ scalar: Unicode.Scalar) {
        switch scalar {
        case "\\": append("\\\\")
        case "\n": append("\\n")
        case "\t": append("\\t")
        case "\r": append("\\r")
        case _ where scalar.value < 0x80:
            append("\\x")
            appendNumber(UInt64(scalar.value), radix: 16, minimumDigits: 2)
        case _ where scalar.value < 0x10000:
            append("\\u")
            appendNumber(UInt64(scalar.value), radix: 16, minimumDigits: 4)
        default:
            append("\\U")
            appendNumber(UInt64(scalar.value), radix: 16, minimumDigits: 8)
        }
    }

    /// Appends foreign text as a JSON string (RFC 8259) with its quotes. What is not UTF-8 becomes U+FFFD.
    ///
    /// - Returns: whether all of it was UTF-8, that is, whether the string says everything.
    @discardableResult
    package func appendJSONString(_ text: UnsafeRawBufferPointer) -> Bool {
        append(UInt8(ascii: "\""))
        defer { append(UInt8(ascii: "\"")) }
        if isPlain(text, besides: UInt8(ascii: "\"")) {
            append(text)
            return true
        }
        var index = 0
        var faithful = true
        while index < text.count {
            switch nextPiece(text, at: index) {
            case .invalid:
                append("\u{fffd}")
                faithful = false
                index += 1
            case .scalar(let scalar, let length):
                if scalar == "\"" || scalar == "\\" {
                    append(UInt8(ascii: "\\"))
                    append(UInt8(truncatingIfNeeded: scalar.value))
                } else if mustEscape(scalar) && scalar.value < 0x10000 {
                    // JSON lines may be read on a terminal too.
                    append("\\u")
                    appendNumber(UInt64(scalar.value), radix: 16, minimumDigits: 4)
                } else {
                    append(UnsafeRawBufferPointer(rebasing: text[index..<index + length]))
                }
                index += length
            }
        }
        return faithful
    }

    @discardableResult
    package func appendJSONString(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { appendJSONString(UnsafeRawBufferPointer($0)) }
    }

    @discardableResult
    package func appendEscaped(_ text: String) -> Int {
        var text = text
        return text.withUTF8 { appendEscaped(UnsafeRawBufferPointer($0)) }
    }
}

/// Foreign text inside a message of ours.
package func escaped(_ text: String) -> String {
    let writer = ByteWriter()
    writer.appendEscaped(text)
    return writer.text
}
