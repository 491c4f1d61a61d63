// SPDX-License-Identifier: Apache-2.0

extension RustV0Demangler {
    /// const. Outside of a value (as a generic argument) all but literals stand in braces.
    mutating func constant(inValue: Bool) throws(RustV0Error) {
        try nested { (demangler) throws(RustV0Error) in try demangler.constantBody(inValue: inValue) }
    }

    private mutating func constantBody(inValue: Bool) throws(RustV0Error) {
        let tag = try parser.next()
        switch Unicode.Scalar(tag) {
        case "p": try add("_")
        case "h", "t", "m", "y", "o", "j": try integer()
        case "a", "s", "l", "x", "n", "i":
            if parser.take("n") { try add("-") }
            try integer()
        case "b": try boolean()
        case "c": try character()
        case "B":
            try followed { (demangler) throws(RustV0Error) in try demangler.constant(inValue: inValue) }
        case "e", "R", "Q", "A", "T", "V":
            if !inValue { try add("{") }
            try compound(Unicode.Scalar(tag))
            if !inValue { try add("}") }
        default: throw .invalid
        }
    }

    /// Literals of more than one number (rust-lang/rust: "v0 Symbol Format", "Const").
    private mutating func compound(_ tag: Unicode.Scalar) throws(RustV0Error) {
        switch tag {
        case "e":
            // A `str` itself, behind no reference.
            try add("*")
            try stringLiteral()
        case "R" where parser.take("e"):
            try stringLiteral()
        case "R", "Q":
            try add(tag == "R" ? "&" : "&mut ")
            try constant(inValue: true)
        case "A":
            try add("[")
            try constants()
            try add("]")
        case "T":
            try add("(")
            try add(constants() == 1 ? ",)" : ")")
        default:
            try structure()
        }
    }

    @discardableResult
    private mutating func constants() throws(RustV0Error) -> Int {
        try list(separator: ", ") { (demangler) throws(RustV0Error) in try demangler.constant(inValue: true) }
    }

    private mutating func structure() throws(RustV0Error) {
        try path(inValue: true)
        switch Unicode.Scalar(try parser.next()) {
        case "U": return
        case "T":
            try add("(")
            try constants()
            try add(")")
        case "S":
            try add(" { ")
            try list(separator: ", ") { (demangler) throws(RustV0Error) in
                try demangler.add(demangler.parser.identifier().text)
                try demangler.add(": ")
                try demangler.constant(inValue: true)
            }
            try add(" }")
        default: throw .invalid
        }
    }

    /// In decimal if it fits 64 bits, else in hexadecimal.
    private mutating func integer() throws(RustV0Error) {
        let digits = try parser.hexDigits().drop { $0 == UInt8(ascii: "0") }
        if digits.count <= 16 {
            try add(String(Self.value(digits)))
        } else {
            try add("0x")
            try add(digits)
        }
    }

    private mutating func boolean() throws(RustV0Error) {
        switch try parser.hexDigits() {
        case [UInt8(ascii: "0")]: try add("false")
        case [UInt8(ascii: "1")]: try add("true")
        default: throw .invalid
        }
    }

    private mutating func character() throws(RustV0Error) {
        let digits = try parser.hexDigits().drop { $0 == UInt8(ascii: "0") }
        guard digits.count <= 8, let value = UInt32(exactly: Self.value(digits)),
            let scalar = Unicode.Scalar(value)
        else { throw .invalid }
        try add("'" + Self.escaped(scalar, quote: "'") + "'")
    }

    /// UTF-8, two digits a byte.
    private mutating func stringLiteral() throws(RustV0Error) {
        let digits = try parser.hexDigits()
        guard digits.count.isMultiple(of: 2) else { throw .invalid }
        let bytes = stride(from: 0, to: digits.count, by: 2).map { UInt8(Self.value(digits[$0..<$0 + 2])) }
        guard let string = String(validating: bytes, as: UTF8.self) else { throw .invalid }
        try add("\"" + string.unicodeScalars.map { Self.escaped($0, quote: "\"") }.joined() + "\"")
    }

    /// As Rust's `escape_debug`, but with all that is not ASCII as it is.
    private static func escaped(_ scalar: Unicode.Scalar, quote: Unicode.Scalar) -> String {
        switch scalar {
        case "\0": "\\0"
        case "\t": "\\t"
        case "\r": "\\r"
        case "\n": "\\n"
        case "\\", quote: "\\" + String(scalar)
        case _ where scalar.value < 0x20 || scalar.value == 0x7f:
            "\\u{" + String(scalar.value, radix: 16) + "}"
        default: String(scalar)
        }
    }

    /// At most 16 hexadecimal digits as a number.
    private static func value(_ digits: ArraySlice<UInt8>) -> UInt64 {
        digits.reduce(0) { value, digit in
            value << 4
                | UInt64(
                    digit >= UInt8(ascii: "a") ? digit - UInt8(ascii: "a") + 10 : digit - UInt8(ascii: "0"))
        }
    }
}
