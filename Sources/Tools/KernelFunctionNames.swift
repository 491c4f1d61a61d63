// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import Processes
internal import Tracing

/// Names of the kernel's functions.
enum KernelFunctionNames {
    /// Those that a test accepts, sorted, each once: those that the kernel says can be traced, or, if it does not say
    /// so or there are none, all that it has.
    static func matching(_ isWanted: (UnsafeRawBufferPointer) -> Bool) -> [String] {
        var names: Set<String> = []
        if let lines = Tracefs()?.functions(), !lines.isEmpty {
            // "vfs_read", "nf_log [nf_log_syslog]"
            forEachLine(lines) { line in
                let name = UnsafeRawBufferPointer(rebasing: line[..<(line.firstIndex(of: 32) ?? line.count)])
                if !name.isEmpty, isWanted(name) { names.insert(String(decoding: name, as: UTF8.self)) }
            }
        }
        // A function that has several names is in that list under one of them.
        if names.isEmpty {
            forEachLine(readFile("/proc/kallsyms", limit: 1 << 26) ?? []) { line in
                if let name = name(line), isWanted(name) {
                    names.insert(String(decoding: name, as: UTF8.self))
                }
            }
        }
        return names.sorted()
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

    private static func forEachLine(_ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) -> Void) {
        bytes.withUnsafeBytes { bytes in
            var place = 0
            while place < bytes.count, let start = bytes.baseAddress {
                let end =
                    memchr(start + place, 10, bytes.count - place).map { start.distance(to: $0) }
                    ?? bytes.count
                body(UnsafeRawBufferPointer(rebasing: bytes[place..<end]))
                place = end + 1
            }
        }
    }
}
