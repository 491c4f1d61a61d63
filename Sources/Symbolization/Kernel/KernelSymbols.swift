// SPDX-License-Identifier: Apache-2.0
internal import Processes

/// The kernel's functions, with those of its modules and BPF programs, from /proc/kallsyms.
///
/// Addresses are those of the running kernel, wherever it was put at boot.
final class KernelSymbols {
    private let root: String
    private var index: SymbolIndex?
    /// When they were last read, in nanoseconds of the monotonic clock.
    private var readAt: UInt64 = 0
    private var names: [Int: (name: String, module: String)] = [:]

    /// Set by the owner at each use.
    var lastUse: UInt64 = 0

    /// Reads from a /proc at `root`.
    init(root: String) { self.root = root }

    /// Bytes of memory that it holds.
    var bytesHeld: Int { (index?.bytesHeld ?? 0) + names.count * 96 }

    /// Why the kernel's functions cannot be named, in one sentence; nil if they can.
    func hiddenReason() -> String? {
        guard let beginning = readFile(root + "/kallsyms", limit: 1 << 12), !beginning.isEmpty else {
            return "Kernel functions cannot be named, because \(root)/kallsyms cannot be read: "
                + "the kernel may have been built without CONFIG_KALLSYMS."
        }
        let lines = beginning.split(separator: UInt8(ascii: "\n")).dropLast()
        // The offsets of per-CPU data, which may come first, are small, but not all 0.
        let isHidden = lines.allSatisfy { line in
            line.prefix { $0 != UInt8(ascii: " ") }.allSatisfy { $0 == UInt8(ascii: "0") }
        }
        guard isHidden, !lines.isEmpty else { return nil }
        let setting = readFile(root + "/sys/kernel/kptr_restrict", limit: 16) ?? []
        let value = String(decoding: setting.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        let remedy =
            switch value {
            case "2": "set kernel.kptr_restrict to 1 or 0"
            case "0": "run as root, or set kernel.perf_event_paranoid to 1"
            default: "run as root"
            }
        return "Kernel functions cannot be named, because the kernel hides its addresses "
            + "(kernel.kptr_restrict is \(value.isEmpty ? "unknown" : value)): \(remedy)."
    }

    /// The function at an address, and the module it is in, such as "[kernel]".
    func function(
        at address: UInt64, _ reader: SymbolReading
    ) -> (name: String, module: String, offset: UInt64)? {
        if index == nil { read(reader) }
        if let found = find(address, reader.demangler), !isDoubtful(found.module, found.offset) {
            return found
        }
        // A module or a program that was loaded since. Reading takes tens of milliseconds.
        if monotonicNanoseconds() - readAt >= 1_000_000_000 { read(reader) }
        return find(address, reader.demangler)
    }

    /// Gives up what can be read again.
    func drop() {
        index = nil
        names = [:]
    }

    /// The sizes of BPF programs are not listed, and new ones take the room behind.
    private func isDoubtful(_ module: String, _ offset: UInt64) -> Bool {
        module == "[bpf]" && offset >= 1 << 12
    }

    private func find(_ address: UInt64, _ demangler: Demangler?) -> (
        name: String, module: String, offset: UInt64
    )? {
        guard let index, let number = index.find(address) else { return nil }
        let offset = address - index.symbols[number].address
        if let known = names[number] { return (known.name, known.module, offset) }
        guard let line = index.name(of: number) else { return nil }
        let parts = line.split(separator: UInt8(ascii: "\t"), maxSplits: 1)
        guard let first = parts.first else { return nil }
        // Only functions written in Rust have mangled names.
        let name = demangler?.text(of: Array(first)) ?? String(decoding: first, as: UTF8.self)
        let module = parts.count > 1 ? String(decoding: parts[1], as: UTF8.self) : "[kernel]"
        names[number] = (name, module)
        return (name, module, offset)
    }

    private func read(_ reader: SymbolReading) {
        names = [:]
        let made = KernelSymbols.index(
            readFile(root + "/kallsyms", limit: 1 << 26) ?? [], limit: reader.symbolLimit)
        readAt = monotonicNanoseconds()
        index = made
        reader.indexed(made.symbols.count)
    }

    /// Reads lines of an address, a letter for the type, a name, and for modules a tab and their name in
    /// brackets (proc_kallsyms(5), nm(1)).
    static func index(_ bytes: [UInt8], limit: Int) -> SymbolIndex {
        var lines = KallsymsLines()
        // No function of the kernel is as large as 256 KiB: what is farther from any is not listed.
        var builder = SymbolIndexBuilder(limit: limit, code: [], maximumExtent: 1 << 18)
        bytes.withUnsafeBufferPointer { buffer in
            var place = 0
            while place < buffer.count {
                let end = buffer[place...].firstIndex(of: UInt8(ascii: "\n")) ?? buffer.count
                lines.add(buffer[place..<end], to: &builder)
                place = end + 1
            }
        }
        guard builder.add(lines.table) != nil else { return .empty }
        return builder.finish()
    }
}

/// The names of kallsyms, without its addresses and its data.
private struct KallsymsLines {
    private var names: [UInt8] = []

    var table: NameTable {
        NameTable(.memory(names), size: UInt64(names.count), terminator: UInt8(ascii: "\n"))
    }

    mutating func add(_ line: Slice<UnsafeBufferPointer<UInt8>>, to builder: inout SymbolIndexBuilder) {
        // 16 digits, or 8 on 32 bits, a space, a letter, a space.
        guard let space = line.firstIndex(of: UInt8(ascii: " ")), line.endIndex - space > 3,
            let address = Self.number(line[..<space]), address > 0, names.count < 1 << 27
        else { return }
        let rank: UInt8
        switch Unicode.Scalar(line[space + 1]) {
        case "T": rank = SymbolRank.global
        case "W", "w": rank = SymbolRank.weak
        case "t": rank = SymbolRank.local
        // Absolute ones are numbers, and offsets of per-CPU data.
        case "A", "a": return
        default: rank = SymbolRank.boundary
        }
        let name = UInt32(names.count)
        if rank != SymbolRank.boundary {
            names.append(contentsOf: line[(space + 3)...].prefix(512))
            names.append(UInt8(ascii: "\n"))
        }
        builder.add(address: address, size: 0, name: name, table: 0, rank: rank)
    }

    private static func number(_ digits: Slice<UnsafeBufferPointer<UInt8>>) -> UInt64? {
        guard !digits.isEmpty, digits.count <= 16 else { return nil }
        var value: UInt64 = 0
        for byte in digits {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"):
                value = value << 4 | UInt64(byte - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return value
    }
}
