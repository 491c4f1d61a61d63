// SPDX-License-Identifier: Apache-2.0

/// Why a name cannot be demangled.
enum RustV0Error: Error {
    /// It does not follow the grammar.
    case invalid
    /// It is too deep, or stands for too much.
    case tooLarge
}

/// Reads the terminals of Rust's v0 mangling (RFC 2603, "Syntax of mangled names").
struct RustV0Parser {
    /// What follows `_R`; positions in it are those that back references name.
    let bytes: [UInt8]
    var position = 0

    /// A name's part, and what tells it from others of that name.
    struct Identifier {
        var text: [UInt8]
        var disambiguator: UInt64
    }

    var isAtEnd: Bool { position >= bytes.count }

    /// The next byte without taking it; 0 at the end.
    var peek: UInt8 { isAtEnd ? 0 : bytes[position] }

    mutating func next() throws(RustV0Error) -> UInt8 {
        guard !isAtEnd else { throw .invalid }
        defer { position += 1 }
        return bytes[position]
    }

    /// Takes the next byte if it is this.
    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: character), !isAtEnd else { return false }
        position += 1
        return true
    }

    /// base-62-number: digits that end with `_`; none are 0, others one more than they say.
    mutating func base62() throws(RustV0Error) -> UInt64 {
        if take("_") { return 0 }
        var value: UInt64 = 0
        while !take("_") {
            let byte = try next()
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = byte - UInt8(ascii: "A") + 36
            default: throw .invalid
            }
            value = try Self.append(UInt64(digit), to: value, base: 62)
        }
        return try Self.append(1, to: value, base: 1)
    }

    /// A base-62-number behind a letter, plus 1; 0 without the letter.
    mutating func optionalBase62(_ letter: Unicode.Scalar) throws(RustV0Error) -> UInt64 {
        guard take(letter) else { return 0 }
        return try Self.append(1, to: base62(), base: 1)
    }

    /// decimal-number: no zeros in front.
    mutating func decimal() throws(RustV0Error) -> Int {
        let first = try next()
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { throw .invalid }
        var value = UInt64(first - UInt8(ascii: "0"))
        guard value > 0 else { return 0 }
        while (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(peek) {
            value = try Self.append(UInt64(next() - UInt8(ascii: "0")), to: value, base: 10)
        }
        guard let number = Int(exactly: value) else { throw .invalid }
        return number
    }

    /// identifier, with its disambiguator.
    mutating func identifier() throws(RustV0Error) -> Identifier {
        let disambiguator = try optionalBase62("s")
        return Identifier(text: try plainIdentifier(), disambiguator: disambiguator)
    }

    /// undisambiguated-identifier.
    mutating func plainIdentifier() throws(RustV0Error) -> [UInt8] {
        let isPunycode = take("u")
        let length = try decimal()
        // It divides the length from a name that begins with a digit or `_`.
        _ = take("_")
        guard length <= bytes.count - position else { throw .invalid }
        let text = Array(bytes[position..<position + length])
        position += length
        return isPunycode ? Self.decodedPunycode(text) : text
    }

    /// Hexadecimal digits that end with `_`, as they are.
    mutating func hexDigits() throws(RustV0Error) -> [UInt8] {
        var digits: [UInt8] = []
        while !take("_") {
            let byte = try next()
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"):
                digits.append(byte)
            default: throw .invalid
            }
        }
        return digits
    }

    /// Where a back reference leads, behind its `B` at `start`: always to what came before.
    mutating func backReference(from start: Int) throws(RustV0Error) -> Int {
        guard let target = Int(exactly: try base62()), target < start else { throw .invalid }
        return target
    }

    private static func append(_ digit: UInt64, to value: UInt64, base: UInt64) throws(RustV0Error) -> UInt64
    {
        let (shifted, first) = value.multipliedReportingOverflow(by: base)
        let (sum, second) = shifted.addingReportingOverflow(digit)
        guard !first, !second else { throw .invalid }
        return sum
    }
}

extension RustV0Parser {
    /// Undoes Punycode (RFC 3492, 6.2) with `_` for `-`; text that is none comes back as `punycode{…}`.
    private static func decodedPunycode(_ text: [UInt8]) -> [UInt8] {
        let failed = Array("punycode{".utf8) + text + Array("}".utf8)
        let split = text.lastIndex(of: UInt8(ascii: "_"))
        var scalars = text[..<(split ?? 0)].map { Unicode.Scalar($0) }
        var rest = text[(split.map { $0 + 1 } ?? 0)...]
        var (code, place, bias) = (0x80, 0, 72)
        var isFirst = true
        while !rest.isEmpty {
            guard let delta = punycodeDelta(&rest, bias: bias), scalars.count < 256 else { return failed }
            let count = scalars.count + 1
            place += delta
            code += place / count
            place %= count
            guard let value = UInt32(exactly: code), let scalar = Unicode.Scalar(value) else { return failed }
            scalars.insert(scalar, at: place)
            place += 1
            var scaled = isFirst ? delta / 700 : delta / 2
            isFirst = false
            scaled += scaled / count
            bias = 0
            while scaled > 455 {
                scaled /= 35
                bias += 36
            }
            bias += 36 * scaled / (scaled + 38)
        }
        return scalars.flatMap { Array(String($0).utf8) }
    }

    /// One number of variable length; nil if it is cut or large.
    private static func punycodeDelta(_ rest: inout ArraySlice<UInt8>, bias: Int) -> Int? {
        var (delta, weight, threshold) = (0, 1, 36)
        while let byte = rest.popFirst() {
            let digit: Int
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = Int(byte - UInt8(ascii: "a"))
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = Int(byte - UInt8(ascii: "0")) + 26
            default: return nil
            }
            let least = min(max(threshold - bias, 1), 26)
            delta += digit * weight
            if digit < least { return delta }
            weight *= 36 - least
            threshold += 36
            // More than all of Unicode at 256 places.
            guard delta < 1 << 30, weight < 1 << 30 else { return nil }
        }
        return nil
    }
}
