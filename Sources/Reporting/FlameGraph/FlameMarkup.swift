// SPDX-License-Identifier: Apache-2.0

extension ByteWriter {
    /// Appends foreign text as text of HTML or XML, also inside a quoted attribute.
    ///
    /// What comes out is ASCII: the characters that mean something to a parser, and all others, are references.
    /// What XML has no way to say (most control characters, U+FFFE, U+FFFF) becomes U+FFFD.
    func appendMarkup(_ text: String) {
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22, 0x26, 0x27, 0x3c, 0x3e, 0x60, 0x7f...:
                append("&#")
                appendNumber(UInt64(isCharacter(scalar) ? scalar.value : 0xfffd))
                append(";")
            case 0x20..<0x7f, 0x09, 0x0a:
                append(UInt8(truncatingIfNeeded: scalar.value))
            default:
                append("&#65533;")
            }
        }
    }

    /// Appends foreign text as a JSON string that is harmless inside a script element of HTML and of XML:
    /// ASCII, with `<`, `>`, `&`, quotes and everything beyond as escapes.
    func appendScriptString(_ text: String) {
        append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22, 0x26, 0x27, 0x3c, 0x3e, 0x5c, 0x60:
                appendUnit(scalar.utf16.first ?? 0)
            case 0x20..<0x7f:
                append(UInt8(truncatingIfNeeded: scalar.value))
            default:
                for unit in scalar.utf16 { appendUnit(unit) }
            }
        }
        append(UInt8(ascii: "\""))
    }

    private func appendUnit(_ unit: UInt16) {
        append("\\u")
        appendNumber(UInt64(unit), radix: 16, minimumDigits: 4)
    }
}

/// Whether XML allows it, and HTML has no other idea of the number (128 to 159 are Windows-1252's there).
private func isCharacter(_ scalar: Unicode.Scalar) -> Bool {
    !(0x7f..<0xa0).contains(scalar.value) && scalar.value & 0xfffe != 0xfffe
}
