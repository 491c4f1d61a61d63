// SPDX-License-Identifier: Apache-2.0

/// A name as rustc mangled it before v0: `_ZN`, parts with their lengths, a hash, `E`. nil if it is none.
///
/// The form is that of C++, but what the parts say is escaped (rustc's `legacy` mangling of symbol names). The
/// hash is left out.
func demangleRustLegacy(_ name: [UInt8]) -> String? {
    var rest = name.dropFirst(3)
    guard name.starts(with: "_ZN".utf8), var parts = pathParts(&rest), parts.count > 1,
        let hash = parts.popLast(),
        hash.count == 17, hash.first == UInt8(ascii: "h"), hash.dropFirst().allSatisfy(isHexDigit)
    else { return nil }
    var text: [UInt8] = []
    for part in parts {
        if !text.isEmpty { text += "::".utf8 }
        appendUnescaped(part, to: &text)
    }
    let suffix = withoutCopyNumber(rest)
    guard suffix.isEmpty || suffix.first == UInt8(ascii: ".") else { return nil }
    return String(decoding: text + suffix, as: UTF8.self)
}

/// What compilers appended to a name, but for what LLVM adds last to tell copies apart.
func withoutCopyNumber(_ suffix: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let mark = Array(".llvm.".utf8)
    let place = suffix.indices.first { suffix[$0...].starts(with: mark) }
    return suffix[..<(place ?? suffix.endIndex)]
}

/// Lengths and parts up to the `E`; nil if they do not fit.
private func pathParts(_ rest: inout ArraySlice<UInt8>) -> [ArraySlice<UInt8>]? {
    var parts: [ArraySlice<UInt8>] = []
    while let first = rest.first, first != UInt8(ascii: "E") {
        var length = 0
        while let digit = rest.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit),
            length < 1 << 16
        {
            length = length * 10 + Int(digit - UInt8(ascii: "0"))
            rest = rest.dropFirst()
        }
        guard length > 0, length <= rest.count else { return nil }
        parts.append(rest.prefix(length))
        rest = rest.dropFirst(length)
    }
    guard rest.popFirst() != nil else { return nil }
    return parts
}

private func isHexDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
}

private func appendUnescaped(_ part: ArraySlice<UInt8>, to text: inout [UInt8]) {
    var rest = part
    // A part must begin like an identifier.
    if rest.starts(with: "_$".utf8) { rest = rest.dropFirst() }
    while let byte = rest.first {
        if rest.starts(with: "..".utf8) {
            text += "::".utf8
            rest = rest.dropFirst(2)
        } else if byte == UInt8(ascii: "$"), let end = rest.dropFirst().firstIndex(of: byte),
            let meaning = meaning(
                ofEscape: String(decoding: rest[(rest.startIndex + 1)..<end], as: UTF8.self))
        {
            text += meaning.utf8
            rest = rest[(end + 1)...]
        } else {
            text.append(byte)
            rest = rest.dropFirst()
        }
    }
}

private func meaning(ofEscape name: String) -> String? {
    switch name {
    case "SP": return "@"
    case "BP": return "*"
    case "RF": return "&"
    case "LT": return "<"
    case "GT": return ">"
    case "LP": return "("
    case "RP": return ")"
    case "C": return ","
    default:
        guard name.first == "u", name.utf8.count <= 9, let value = UInt32(name.dropFirst(), radix: 16),
            let scalar = Unicode.Scalar(value), scalar.value >= 0x20, scalar.value != 0x7f
        else { return nil }
        return String(scalar)
    }
}
