// SPDX-License-Identifier: Apache-2.0

/// The value of the member "Name" of a JSON object, not of the objects inside it; nil if it has none that is
/// text.
///
/// A scan rather than a parser: it follows strings and nesting and leaves the rest unchecked, so a cut or
/// damaged document costs one pass and gives a name or nil.
func topLevelName(inJSON bytes: [UInt8]) -> String? {
    var scan = JSONScan(rest: bytes[...])
    scan.skipBlanks()
    guard scan.rest.first == UInt8(ascii: "{") else { return nil }
    var depth = 0
    while let byte = scan.rest.first {
        switch byte {
        case UInt8(ascii: "\""):
            guard let text = scan.string() else { return nil }
            // Only a key is followed by a colon.
            guard depth == 1, scan.takeColon(), text == "Name" else { continue }
            return scan.string()
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
        default: break
        }
        if depth == 0 { return nil }
        scan.rest.removeFirst()
    }
    return nil
}

/// A place in a JSON document.
private struct JSONScan {
    /// What is still to be read.
    var rest: ArraySlice<UInt8>

    mutating func skipBlanks() {
        rest = rest.drop { $0 == 0x20 || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D }
    }

    /// Takes a colon and the blanks around it, if one is next.
    mutating func takeColon() -> Bool {
        skipBlanks()
        guard rest.first == UInt8(ascii: ":") else { return false }
        rest.removeFirst()
        skipBlanks()
        return true
    }

    /// Takes a string; nil if none is next or it does not end.
    mutating func string() -> String? {
        guard rest.popFirst() == UInt8(ascii: "\"") else { return nil }
        var units: [UInt8] = []
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""): return units[...].text
            case UInt8(ascii: "\\"):
                guard let scalar = escape() else { return nil }
                units.append(contentsOf: String(scalar).utf8)
            default: units.append(byte)
            }
        }
        return nil
    }

    /// Takes what follows a backslash; nil if it is no escape.
    private mutating func escape() -> Unicode.Scalar? {
        switch rest.popFirst() {
        case UInt8(ascii: "b"): "\u{8}"
        case UInt8(ascii: "f"): "\u{C}"
        case UInt8(ascii: "n"): "\n"
        case UInt8(ascii: "r"): "\r"
        case UInt8(ascii: "t"): "\t"
        case UInt8(ascii: "u"): codePoint()
        case .some(let byte): Unicode.Scalar(byte)
        case nil: nil
        }
    }

    /// Takes four digits, or two such escapes that are a surrogate pair; half a pair becomes U+FFFD.
    private mutating func codePoint() -> Unicode.Scalar? {
        guard let high = fourDigits() else { return nil }
        if let scalar = Unicode.Scalar(high) { return scalar }
        var ahead = self
        guard let next = ahead.rest.after("\\u") else { return "\u{FFFD}" }
        ahead.rest = next
        guard high < 0xDC00, let low = ahead.fourDigits(), (0xDC00...0xDFFF).contains(low) else {
            return "\u{FFFD}"
        }
        self = ahead
        return Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
    }

    private mutating func fourDigits() -> UInt32? {
        let digits = rest.prefix(4)
        guard digits.count == 4, let value: UInt32 = digits.number(radix: 16) else { return nil }
        rest = rest.dropFirst(4)
        return value
    }
}
