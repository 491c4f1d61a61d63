// SPDX-License-Identifier: Apache-2.0
internal import CSymbolization

/// An executable mapping of a process: one line of /proc/PID/maps, see proc_pid_maps(5).
package struct Mapping: Hashable {
    package let start: UInt64
    package let end: UInt64
    /// Of the file, in bytes.
    private(set) var offset: UInt64
    package let device: UInt64
    /// 0 for memory without a file.
    package let inode: UInt64
    /// As the kernel has it; empty for memory without a name.
    let path: [UInt8]

    /// Reads lines, and keeps those of executable memory, in ascending order as the kernel has them.
    ///
    /// - Parameter limit: How many to keep at most.
    package static func executable(in bytes: [UInt8], limit: Int = 1 << 16) -> [Self] {
        read(bytes, limit: limit, executableOnly: true)
    }

    /// The same with memory that is not executable.
    static func all(in bytes: [UInt8], limit: Int = 1 << 17) -> [Self] {
        read(bytes, limit: limit, executableOnly: false)
    }

    private static func read(_ bytes: [UInt8], limit: Int, executableOnly: Bool) -> [Self] {
        var found: [Self] = []
        var last: UInt64 = 0
        var rest = bytes[...]
        while found.count < limit, !rest.isEmpty {
            let line = rest.prefix { $0 != UInt8(ascii: "\n") }
            rest = rest[min(line.endIndex + 1, rest.endIndex)...]
            // Lines that are no mapping, or not in order, can only come from something else than a kernel.
            guard let mapping = Self(line, executableOnly), mapping.start >= last else { continue }
            last = mapping.end
            found.append(mapping)
        }
        return found
    }

    /// As /proc would have it; nil if there can be no such mapping.
    init?(_ code: CodeMapping) {
        let (end, overflow) = code.start.addingReportingOverflow(code.length)
        guard !overflow, code.length > 0 else { return nil }
        start = code.start
        self.end = end
        offset = code.offset
        device = apus_device(code.major, code.minor)
        inode = code.inode
        let bytes = code.path == "//anon" ? [] : Array(code.path.utf8)
        // The only character that the kernel escapes there.
        path = bytes.contains(10) ? bytes.flatMap { $0 == 10 ? Array("\\012".utf8) : [$0] } : bytes
    }

    private init(start: UInt64, end: UInt64, like other: Self) {
        self.start = start
        self.end = end
        offset = other.offset &+ (start - other.start)
        device = other.device
        inode = other.inode
        path = other.path
    }

    /// The same addresses, as if a file were mapped there from an offset on, the one that another mapping shows.
    func copied(from other: Self, offset: UInt64) -> Self {
        var copy = Self(start: start, end: end, like: other)
        copy.offset = offset
        return copy
    }

    /// Whether it is memory that a program has filled itself, on small or huge pages.
    var isOwnMemory: Bool {
        inode == 0
            ? path.isEmpty || path.starts(with: "[anon".utf8) : path.starts(with: "/anon_hugepage".utf8)
    }

    /// What of it lies between two addresses that are not outside of it; nil if that is nothing.
    func part(from start: UInt64, to end: UInt64) -> Self? {
        guard start >= self.start, end <= self.end, start < end else { return nil }
        return Self(start: start, end: end, like: self)
    }

    /// nil for another form, or memory that is not executable if only such is wanted.
    private init?(_ line: ArraySlice<UInt8>, _ executableOnly: Bool) {
        var reader = FieldReader(line)
        guard let start = reader.number(radix: 16, end: "-"), let end = reader.number(radix: 16, end: " "),
            start < end, let permissions = reader.field(end: " "), permissions.count == 4,
            !executableOnly || permissions[permissions.startIndex + 2] == UInt8(ascii: "x"),
            let offset = reader.number(radix: 16, end: " "),
            let major = reader.number(radix: 16, end: ":"), let minor = reader.number(radix: 16, end: " "),
            let inode = reader.number(radix: 10, end: " ")
        else { return nil }
        self.start = start
        self.end = end
        self.offset = offset
        device = apus_device(UInt32(truncatingIfNeeded: major), UInt32(truncatingIfNeeded: minor))
        self.inode = inode
        path = Array(reader.rest.drop { $0 == UInt8(ascii: " ") })
    }

    /// Between an address and the place in the file that it shows.
    var bias: UInt64 { start &- offset }

    func isOfSameFile(as other: Self) -> Bool {
        device == other.device && inode == other.inode && path == other.path
    }

    /// The path without what the kernel adds and escapes: " (deleted)" behind a file that has no name any more,
    /// and `\012` for a newline.
    package var cleanPath: String {
        var bytes = path
        let deleted = Array(" (deleted)".utf8)
        if inode != 0, bytes.count > deleted.count, bytes.suffix(deleted.count).elementsEqual(deleted) {
            bytes.removeLast(deleted.count)
        }
        let text = String(decoding: bytes, as: UTF8.self)
        guard bytes.contains(UInt8(ascii: "\\")) else { return text }
        return text.split(separator: "\\012", omittingEmptySubsequences: false).joined(separator: "\n")
    }

    /// The name of the link in /proc/PID/map_files.
    package var linkName: String { String(start, radix: 16) + "-" + String(end, radix: 16) }
}

/// Takes a line apart from the front.
struct FieldReader {
    private(set) var rest: ArraySlice<UInt8>

    init(_ line: ArraySlice<UInt8>) { rest = line }

    /// What is before the next `end`, which is dropped; nil if there is none.
    mutating func field(end: Unicode.Scalar) -> ArraySlice<UInt8>? {
        guard let place = rest.firstIndex(of: UInt8(ascii: end)) else { return nil }
        defer { rest = rest[(place + 1)...] }
        return rest[..<place]
    }

    /// A number before the next `end`; nil if it is none, or does not fit.
    mutating func number(radix: UInt64, end: Unicode.Scalar) -> UInt64? {
        guard let digits = field(end: end) else { return nil }
        return Self.number(digits, radix: radix)
    }

    /// Digits only, without a sign; nil if there are none or too many.
    static func number(_ digits: ArraySlice<UInt8>, radix: UInt64) -> UInt64? {
        var value: UInt64 = 0
        for byte in digits {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: return nil
            }
            let (shifted, overflow) = value.multipliedReportingOverflow(by: radix)
            guard digit < radix, !overflow, shifted <= .max - UInt64(digit) else { return nil }
            value = shifted + UInt64(digit)
        }
        return digits.isEmpty ? nil : value
    }
}
