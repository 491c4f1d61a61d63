// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import Processes
internal import Tracing

/// Names of the kernel's functions.
enum KernelFunctionNames {
    /// Those that a test accepts: those that the kernel says can be traced, or, if it does not say so or there are
    /// none, all that it has.
    static func matching(_ isWanted: (UnsafeRawBufferPointer) -> Bool) -> SortedNames {
        if let lines = Tracefs.system?.functions(), !lines.isEmpty {
            // "vfs_read", "nf_log [nf_log_syslog]"
            let names = SortedNames(lines: lines) { line in
                let name = UnsafeRawBufferPointer(rebasing: line[..<(line.firstIndex(of: 32) ?? line.count)])
                return !name.isEmpty && isWanted(name) ? name : nil
            }
            // A function that has several names is in that list under one of them.
            if !names.isEmpty { return names }
        }
        return SortedNames(lines: readFile("/proc/kallsyms", limit: 1 << 26) ?? []) { line in
            name(line).flatMap { isWanted($0) ? $0 : nil }
        }
    }

    /// The function of a line such as "ffffffff81000000 T _stext" or "… t f\t[module]"; nil for data and programs.
    private static func name(_ line: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard let space = line.firstIndex(of: 32), line.count > space + 3 else { return nil }
        // T, t, W, w
        guard [0x54, 0x74, 0x57, 0x77].contains(line[space + 1]) else { return nil }
        let rest = line[(space + 3)...]
        let end = rest.firstIndex(of: 9) ?? rest.endIndex
        if rest[end...].elementsEqual("\t[bpf]".utf8) { return nil }
        let name = UnsafeRawBufferPointer(rebasing: rest[..<end])
        // Room in front of functions, where no code of theirs is (CONFIG_FUNCTION_PADDING_CFI), and static calls.
        let isNoFunction = ["__pfx_", "__cfi_", "__SCT__"].contains { name.starts(with: $0.utf8) }
        return name.isEmpty || isNoFunction ? nil : name
    }
}

/// Names out of the lines of a file, in the order of their bytes, each once. There may be a hundred thousand, so they
/// stay where they are.
struct SortedNames {
    private struct Place {
        /// The first bytes, the first of them highest: most comparisons need no more.
        let prefix: UInt64
        let start: Int
        let count: Int
    }

    private let lines: [UInt8]
    private var places: [Place] = []

    /// - Parameter name: the name in a line, as a part of it; nil for none.
    init(lines: [UInt8], _ name: (UnsafeRawBufferPointer) -> UnsafeRawBufferPointer?) {
        self.lines = lines
        places = lines.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return [] }
            var places: [Place] = []
            var start = 0
            while start < bytes.count {
                let end = memchr(base + start, 10, bytes.count - start).map { base.distance(to: $0) }
                if let name = name(UnsafeRawBufferPointer(rebasing: bytes[start..<(end ?? bytes.count)])),
                    let address = name.baseAddress
                {
                    places.append(
                        Place(prefix: Self.prefix(name), start: base.distance(to: address), count: name.count)
                    )
                }
                start = (end ?? bytes.count) + 1
            }
            places.sort { Self.order($0, $1, base) < 0 }
            return Self.unique(places, base)
        }
    }

    private static func prefix(_ name: UnsafeRawBufferPointer) -> UInt64 {
        var bytes: UInt64 = 0
        withUnsafeMutableBytes(of: &bytes) { $0.copyMemory(from: .init(rebasing: name.prefix(8))) }
        return UInt64(bigEndian: bytes)
    }

    /// As memcmp, and a name that another begins with comes first.
    private static func order(_ first: Place, _ second: Place, _ base: UnsafeRawPointer) -> Int {
        if first.prefix != second.prefix { return first.prefix < second.prefix ? -1 : 1 }
        let common = Int(memcmp(base + first.start, base + second.start, min(first.count, second.count)))
        return common == 0 ? first.count - second.count : common
    }

    private static func unique(_ places: [Place], _ base: UnsafeRawPointer) -> [Place] {
        var kept: [Place] = []
        kept.reserveCapacity(places.count)
        for place in places {
            if let last = kept.last, order(last, place, base) == 0 { continue }
            kept.append(place)
        }
        return kept
    }

    var count: Int { places.count }
    var isEmpty: Bool { places.isEmpty }

    func forEach(_ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        try lines.withUnsafeBytes { bytes in
            for place in places {
                try body(UnsafeRawBufferPointer(rebasing: bytes[place.start..<place.start + place.count]))
            }
        }
    }

    var strings: [String] {
        var strings: [String] = []
        strings.reserveCapacity(count)
        forEach { strings.append(String(decoding: $0, as: UTF8.self)) }
        return strings
    }
}
