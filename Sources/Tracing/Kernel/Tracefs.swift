// SPDX-License-Identifier: Apache-2.0
internal import CSupport
internal import Glibc
internal import Processes

/// What a tracepoint's record holds.
package struct TracepointField: Equatable, Sendable {
    package let name: String
    package let type: String
    /// In the record, in bytes.
    package let offset: Int
    package let size: Int
    package let isSigned: Bool
    /// What values, or bits of them, stand for: pairs of the kernel's text, such as "0x00000001" and "S".
    package var meanings: [(value: String, name: String)] = []
    /// Whether those are bits.
    package var areFlags = false

    package static func == (first: Self, second: Self) -> Bool {
        first.name == second.name && first.type == second.type && first.offset == second.offset
            && first.size == second.size && first.isSigned == second.isSigned
            && first.areFlags == second.areFlags && first.meanings.elementsEqual(second.meanings, by: ==)
    }
}

/// The kernel's own list of tracepoints and of functions that can be traced.
package struct Tracefs: Sendable {
    private let root: String
    /// How it is reached: "mounted at /sys/kernel/tracing".
    package let access: String

    /// This machine's, looked for once; nil if it cannot be reached.
    package static let system: Tracefs? = find()

    private init(root: String, access: String? = nil) {
        self.root = root
        self.access = access ?? "mounted at \(root)"
    }

    /// Where it is mounted and can be read, or else a mount of our own that nobody else sees.
    ///
    /// A further mount sets options such as `gid=` back that another has (tracefs_reconfigure in the kernel's
    /// fs/tracefs/inode.c), so it comes behind those that are there, process 1's among them: containers may see that.
    /// Last comes the folder of debugfs, for looking into it mounts tracefs there for all.
    private static func find() -> Tracefs? {
        let usual = "/sys/kernel/tracing"
        if canRead(usual) { return Tracefs(root: usual) }
        if let other = ProcFS().tracefs(), canRead(other) { return Tracefs(root: other) }
        if canRead("/proc/1/root" + usual) { return Tracefs(root: "/proc/1/root" + usual) }
        let mount = apus_mount_tracefs()
        if mount >= 0 {
            // Never closed: it is for as long as the process.
            return Tracefs(
                root: "/proc/self/fd/\(mount)", access: "by a mount of our own that others do not see")
        }
        let debugfs = "/sys/kernel/debug/tracing"
        return canRead(debugfs) ? Tracefs(root: debugfs) : nil
    }

    private static func canRead(_ root: String) -> Bool { Glibc.access(root + "/events", R_OK | X_OK) == 0 }

    /// What to do where it cannot be reached.
    package static var remedy: String {
        let kernel = readFile("/proc/filesystems") ?? []
        if !kernel.split(separator: UInt8(ascii: "\n")).contains(where: {
            $0.elementsEqual("nodev\ttracefs".utf8)
        }) {
            return "this kernel has none: it needs CONFIG_FTRACE=y"
        }
        return geteuid() == 0
            ? "it takes CAP_SYS_ADMIN or, in a container, the host's: -v /sys/kernel/tracing:/sys/kernel/tracing:ro"
            : "only root can read it: run it with sudo"
    }

    /// All tracepoints, in no order; those of the tracer itself (ftrace) cannot be traced and are left out.
    package func tracepoints() -> [(category: String, name: String)] {
        guard let bytes = readFile(root + "/available_events", limit: 1 << 24) else { return [] }
        return bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return nil }
            let category = String(decoding: line[..<colon], as: UTF8.self)
            return category == "ftrace"
                ? nil : (category, String(decoding: line[(colon + 1)...], as: UTF8.self))
        }
    }

    /// The number that perf_event_open knows a tracepoint by; nil if there is none of that name.
    package func id(category: String, name: String) -> UInt64? {
        guard !category.contains("/"), !name.contains("/"),
            let bytes = readFile("\(root)/events/\(category)/\(name)/id", limit: 64)
        else { return nil }
        return UInt64(String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self))
    }

    /// The fields that a tracepoint has besides those that all have; empty if there is no such tracepoint.
    package func fields(category: String, name: String) -> [TracepointField] {
        guard !category.contains("/"), !name.contains("/"),
            let bytes = readFile("\(root)/events/\(category)/\(name)/format", limit: 1 << 20)
        else { return [] }
        return Self.fields(format: String(decoding: bytes, as: UTF8.self))
    }

    /// The functions that the kernel lets be traced, one a line, each with its module behind a space if it has one;
    /// nil if it does not say.
    package func functions() -> [UInt8]? { readFile(root + "/available_filter_functions", limit: 1 << 26) }

    /// Reads a format file: lines such as "field:int fd;\toffset:16;\tsize:8;\tsigned:0;", then the text that prints
    /// a record (Documentation/trace/events.rst).
    static func fields(format: String) -> [TracepointField] {
        var fields: [TracepointField] = []
        var printing = Substring()
        for line in format.split(separator: "\n") {
            if let field = field(line) {
                fields.append(field)
            } else if line.hasPrefix("print fmt: ") {
                printing = line.dropFirst(11)
            }
        }
        // The first have the names of all tracepoints' common fields.
        fields.removeAll { $0.name.hasPrefix("common_") }
        for index in fields.indices {
            let found = FieldMeanings(fields[index].name, in: printing)
            fields[index].meanings = found.pairs
            fields[index].areFlags = found.areFlags
        }
        return fields
    }

    private static func field(_ line: Substring) -> TracepointField? {
        let trimmed = line.drop { $0 == "\t" || $0 == " " }
        guard trimmed.hasPrefix("field:") else { return nil }
        var values: [Substring: Substring] = [:]
        for part in trimmed.split(separator: ";") {
            let part = part.drop { $0 == "\t" || $0 == " " }
            guard let colon = part.firstIndex(of: ":") else { continue }
            values[part[..<colon]] = part[part.index(after: colon)...]
        }
        guard let declaration = values["field"], let offset = values["offset"].flatMap({ Int($0) }),
            let size = values["size"].flatMap({ Int($0) })
        else { return nil }
        // "char comm[16]", "const char * filename", "__data_loc char[] name"
        guard let space = declaration.lastIndex(of: " ") else { return nil }
        var name = declaration[declaration.index(after: space)...]
        var type = String(declaration[..<space])
        if let bracket = name.firstIndex(of: "[") {
            type += name[bracket...]
            name = name[..<bracket]
        }
        return TracepointField(
            name: String(name), type: type, offset: offset, size: size, isSigned: values["signed"] == "1")
    }
}

/// What the text that prints a record says about the values of a field: __print_flags and __print_symbolic.
struct FieldMeanings {
    private(set) var pairs: [(value: String, name: String)] = []
    private(set) var areFlags = false

    init(_ field: String, in printing: Substring) {
        let text = Array(printing.utf8)
        var place = 0
        while let (start, flags) = Self.next(text, from: place) {
            let arguments = Self.split(text, from: start)
            place = start
            guard let first = arguments.first, Self.reads(first, field) else { continue }
            areFlags = flags
            pairs = arguments.dropFirst(flags ? 2 : 1).compactMap(Self.pair)
            return
        }
    }

    /// Where the arguments of the next list of names begin.
    private static func next(_ text: [UInt8], from start: Int) -> (Int, flags: Bool)? {
        let marks: [(name: [UInt8], flags: Bool)] = [
            (Array("__print_flags(".utf8), true), (Array("__print_symbolic(".utf8), false),
        ]
        var place = start
        while place < text.count {
            if text[place] == UInt8(ascii: "_") {
                for mark in marks where text[place...].starts(with: mark.name) {
                    return (place + mark.name.count, mark.flags)
                }
            }
            place += 1
        }
        return nil
    }

    /// The arguments of a call, up to the bracket that closes it.
    private static func split(_ text: [UInt8], from start: Int) -> [String] {
        var found: [String] = []
        var depth = 0
        var begin = start
        var place = start
        var quoted = false
        while place < text.count {
            switch text[place] {
            case UInt8(ascii: "\\") where quoted: place += 1
            case UInt8(ascii: "\""): quoted.toggle()
            case _ where quoted: break
            case UInt8(ascii: "("), UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: ")") where depth == 0, UInt8(ascii: ",") where depth == 0:
                found.append(trimmed(text[begin..<place]))
                begin = place + 1
                if text[place] == UInt8(ascii: ")") { return found }
            case UInt8(ascii: ")"), UInt8(ascii: "}"): depth -= 1
            default: break
            }
            place += 1
        }
        return found
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> String {
        let front = bytes.drop { $0 == 32 }
        let end = front.lastIndex { $0 != 32 } ?? front.startIndex
        return front.isEmpty ? "" : String(decoding: front[...end], as: UTF8.self)
    }

    /// Whether an expression is about a field: "REC->prev_state & 0xff" is about prev_state.
    private static func reads(_ expression: String, _ field: String) -> Bool {
        let text = Array(expression.utf8)
        let wanted = Array("REC->\(field)".utf8)
        guard text.count >= wanted.count else { return false }
        for start in 0...text.count - wanted.count where text[start...].starts(with: wanted) {
            let end = start + wanted.count
            guard end < text.count else { return true }
            let next = text[end]
            let isName =
                next == UInt8(ascii: "_") || (next | 0x20 >= 0x61 && next | 0x20 <= 0x7a)
                || (next >= 0x30 && next <= 0x39)
            if !isName { return true }
        }
        return false
    }

    /// "{ 0x1, "S" }"
    private static func pair(_ text: String) -> (value: String, name: String)? {
        guard text.hasPrefix("{"), text.hasSuffix("}") else { return nil }
        let parts = split(Array(text.dropFirst().dropLast().utf8) + [UInt8(ascii: ")")], from: 0)
        guard parts.count == 2, parts[1].hasPrefix("\""), parts[1].hasSuffix("\""), parts[1].count > 1 else {
            return nil
        }
        return (parts[0], String(parts[1].dropFirst().dropLast()))
    }
}
