// SPDX-License-Identifier: Apache-2.0

/// Prints names of Rust's v0 mangling (RFC 2603) as c++filt and rustc do without hashes and types of constants.
///
/// Back references let few bytes stand for much: depth, work and length of the text are limited.
struct RustV0Demangler {
    var parser: RustV0Parser
    var text: [UInt8] = []
    /// How many lifetimes the binders around bind.
    var boundLifetimes: UInt64 = 0
    /// Parse what is not shown.
    private var isSilent = false
    private var depth = 0
    private var work = 0

    private init(_ bytes: ArraySlice<UInt8>) {
        parser = RustV0Parser(bytes: Array(bytes))
    }

    /// The text; nil if `name`, which begins with `_R`, does not follow the grammar or stands for too much.
    static func demangle(_ name: [UInt8]) -> String? {
        // What is behind the first dot, compilers append; ".llvm." and a number only tell copies apart.
        let mangled = name.dropFirst(2).prefix { $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: "$") }
        let suffix = name[mangled.endIndex...]
        var demangler = Self(mangled)
        // A number here is the version of a later encoding.
        guard let first = mangled.first, (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(first),
            (try? demangler.wholeName()) != nil
        else { return nil }
        return String(decoding: demangler.text + withoutCopyNumber(suffix), as: UTF8.self)
    }

    private mutating func wholeName() throws(RustV0Error) {
        try path(inValue: true)
        if !parser.isAtEnd {
            // The crate that instantiated it.
            try silently { (demangler) throws(RustV0Error) in try demangler.path(inValue: false) }
        }
        guard parser.isAtEnd else { throw .invalid }
    }

    mutating func add(_ piece: some Sequence<UInt8>) throws(RustV0Error) {
        guard !isSilent else { return }
        text.append(contentsOf: piece)
        guard text.count <= 1 << 14 else { throw .tooLarge }
    }

    mutating func add(_ piece: String) throws(RustV0Error) { try add(piece.utf8) }

    /// Counts one more level while `body` runs.
    mutating func nested(_ body: (inout Self) throws(RustV0Error) -> Void) throws(RustV0Error) {
        depth += 1
        work += 1
        defer { depth -= 1 }
        guard depth <= 200, work <= 1 << 15 else { throw .tooLarge }
        try body(&self)
    }

    private mutating func silently(
        _ body: (inout Self) throws(RustV0Error) -> Void
    ) throws(RustV0Error) {
        let before = isSilent
        isSilent = true
        defer { isSilent = before }
        try body(&self)
    }

    /// Goes where the back reference just begun leads, for `body`, and comes back.
    mutating func followed(_ body: (inout Self) throws(RustV0Error) -> Void) throws(RustV0Error) {
        let target = try parser.backReference(from: parser.position - 1)
        // What is not shown was parsed there already.
        guard !isSilent else { return }
        let after = parser.position
        parser.position = target
        defer { parser.position = after }
        try body(&self)
    }

    /// Elements up to an `E`, with something between. Returns how many.
    @discardableResult
    mutating func list(
        separator: String, _ body: (inout Self) throws(RustV0Error) -> Void
    ) throws(RustV0Error) -> Int {
        var count = 0
        while !parser.take("E") {
            if count > 0 { try add(separator) }
            try body(&self)
            count += 1
        }
        return count
    }
}

extension RustV0Demangler {
    /// path. In a value, generic arguments follow `::`.
    mutating func path(inValue: Bool) throws(RustV0Error) {
        try nested { (demangler) throws(RustV0Error) in try demangler.pathBody(inValue: inValue) }
    }

    private mutating func pathBody(inValue: Bool) throws(RustV0Error) {
        switch try parser.next() {
        case UInt8(ascii: "C"):
            try add(parser.identifier().text)
        case UInt8(ascii: "N"):
            try nestedPath(inValue: inValue)
        case UInt8(ascii: "M"):
            try implementationPath()
            try add("<")
            try type()
            try add(">")
        case UInt8(ascii: "X"):
            try implementationPath()
            try traitPath()
        case UInt8(ascii: "Y"):
            try traitPath()
        case UInt8(ascii: "I"):
            try path(inValue: inValue)
            try add(inValue ? "::<" : "<")
            try list(separator: ", ") { (demangler) throws(RustV0Error) in try demangler.genericArgument() }
            try add(">")
        case UInt8(ascii: "B"):
            try followed { (demangler) throws(RustV0Error) in try demangler.path(inValue: inValue) }
        default:
            throw .invalid
        }
    }

    /// A path, a part of it, and what kind of part: in capitals those that have no name in the source.
    private mutating func nestedPath(inValue: Bool) throws(RustV0Error) {
        let kind = try parser.next()
        try path(inValue: inValue)
        let part = try parser.identifier()
        switch kind {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"):
            try add("::{")
            switch kind {
            case UInt8(ascii: "C"): try add("closure")
            case UInt8(ascii: "S"): try add("shim")
            default: try add(CollectionOfOne(kind))
            }
            if !part.text.isEmpty {
                try add(":")
                try add(part.text)
            }
            try add("#" + String(part.disambiguator) + "}")
        case UInt8(ascii: "a")...UInt8(ascii: "z"):
            guard !part.text.isEmpty else { return }
            try add("::")
            try add(part.text)
        default:
            throw .invalid
        }
    }

    /// impl-path: where an implementation stands, which is not shown.
    private mutating func implementationPath() throws(RustV0Error) {
        _ = try parser.optionalBase62("s")
        try silently { (demangler) throws(RustV0Error) in try demangler.path(inValue: false) }
    }

    private mutating func traitPath() throws(RustV0Error) {
        try add("<")
        try type()
        try add(" as ")
        try path(inValue: false)
        try add(">")
    }

    mutating func genericArgument() throws(RustV0Error) {
        if parser.take("L") {
            try lifetime(parser.base62())
        } else if parser.take("K") {
            try constant(inValue: false)
        } else {
            try type()
        }
    }

    /// A lifetime by how far out its binder is; 0 is none of them.
    mutating func lifetime(_ index: UInt64) throws(RustV0Error) {
        guard index > 0 else { return try add("'_") }
        guard index <= boundLifetimes else { throw .invalid }
        let depth = boundLifetimes - index
        if depth < 26 {
            try add([UInt8(ascii: "'"), UInt8(ascii: "a") + UInt8(depth)])
        } else {
            try add("'_" + String(depth))
        }
    }

    /// A binder, if there is one, around what `body` reads.
    mutating func bound(_ body: (inout Self) throws(RustV0Error) -> Void) throws(RustV0Error) {
        let count = try parser.optionalBase62("G")
        // Nobody writes as many, and all would be printed.
        guard count <= 256 else { throw .tooLarge }
        let before = boundLifetimes
        defer { boundLifetimes = before }
        if count > 0 {
            try add("for<")
            for index in 0..<count {
                if index > 0 { try add(", ") }
                boundLifetimes += 1
                try lifetime(1)
            }
            try add("> ")
        }
        try body(&self)
    }
}
