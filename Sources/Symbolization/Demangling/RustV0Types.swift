// SPDX-License-Identifier: Apache-2.0

extension RustV0Demangler {
    /// type.
    mutating func type() throws(RustV0Error) {
        try nested { (demangler) throws(RustV0Error) in try demangler.typeBody() }
    }

    private mutating func typeBody() throws(RustV0Error) {
        let tag = try parser.next()
        if let name = Self.basicType(tag) { return try add(name) }
        switch tag {
        case UInt8(ascii: "R"), UInt8(ascii: "Q"):
            try add("&")
            if parser.take("L"), case let index = try parser.base62(), index > 0 {
                try lifetime(index)
                try add(" ")
            }
            if tag == UInt8(ascii: "Q") { try add("mut ") }
            try type()
        case UInt8(ascii: "P"), UInt8(ascii: "O"):
            try add(tag == UInt8(ascii: "P") ? "*const " : "*mut ")
            try type()
        case UInt8(ascii: "A"), UInt8(ascii: "S"):
            try add("[")
            try type()
            if tag == UInt8(ascii: "A") {
                try add("; ")
                try constant(inValue: true)
            }
            try add("]")
        case UInt8(ascii: "T"):
            try add("(")
            let count = try list(separator: ", ") { (demangler) throws(RustV0Error) in try demangler.type() }
            try add(count == 1 ? ",)" : ")")
        case UInt8(ascii: "F"):
            try bound { (demangler) throws(RustV0Error) in try demangler.functionSignature() }
        case UInt8(ascii: "D"):
            try traitObject()
        case UInt8(ascii: "B"):
            try followed { (demangler) throws(RustV0Error) in try demangler.type() }
        default:
            // Not a type's own letter: a path.
            parser.position -= 1
            try path(inValue: false)
        }
    }

    private mutating func functionSignature() throws(RustV0Error) {
        if parser.take("U") { try add("unsafe ") }
        if parser.take("K") {
            try add("extern \"")
            if parser.take("C") {
                try add("C")
            } else {
                try add(parser.plainIdentifier().map { $0 == UInt8(ascii: "_") ? UInt8(ascii: "-") : $0 })
            }
            try add("\" ")
        }
        try add("fn(")
        try list(separator: ", ") { (demangler) throws(RustV0Error) in try demangler.type() }
        try add(")")
        // `()` is not written.
        if parser.take("u") { return }
        try add(" -> ")
        try type()
    }

    private mutating func traitObject() throws(RustV0Error) {
        try add("dyn ")
        try bound { (demangler) throws(RustV0Error) in
            try demangler.list(separator: " + ") { (demangler) throws(RustV0Error) in
                try demangler.traitWithBindings()
            }
        }
        guard parser.take("L") else { throw .invalid }
        let index = try parser.base62()
        guard index > 0 else { return }
        try add(" + ")
        try lifetime(index)
    }

    /// dyn-trait: a path, and the trait's associated types behind its generic arguments.
    private mutating func traitWithBindings() throws(RustV0Error) {
        var isOpen = try openPath()
        while parser.take("p") {
            try add(isOpen ? ", " : "<")
            isOpen = true
            try add(parser.plainIdentifier())
            try add(" = ")
            try type()
        }
        if isOpen { try add(">") }
    }

    /// A path; if it ends with generic arguments, without the bracket behind them. Returns whether that is so.
    private mutating func openPath() throws(RustV0Error) -> Bool {
        var isOpen = false
        try nested { (demangler) throws(RustV0Error) in
            if demangler.parser.take("B") {
                try demangler.followed { (demangler) throws(RustV0Error) in isOpen = try demangler.openPath()
                }
            } else if demangler.parser.take("I") {
                try demangler.path(inValue: false)
                try demangler.add("<")
                try demangler.list(separator: ", ") { (demangler) throws(RustV0Error) in
                    try demangler.genericArgument()
                }
                isOpen = true
            } else {
                try demangler.path(inValue: false)
            }
        }
        return isOpen
    }

    private static func basicType(_ tag: UInt8) -> String? {
        switch Unicode.Scalar(tag) {
        case "a": "i8"
        case "b": "bool"
        case "c": "char"
        case "d": "f64"
        case "e": "str"
        case "f": "f32"
        case "h": "u8"
        case "i": "isize"
        case "j": "usize"
        case "l": "i32"
        case "m": "u32"
        case "n": "i128"
        case "o": "u128"
        case "p": "_"
        case "s": "i16"
        case "t": "u16"
        case "u": "()"
        case "v": "..."
        case "x": "i64"
        case "y": "u64"
        case "z": "!"
        default: nil
        }
    }
}
