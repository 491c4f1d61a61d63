// SPDX-License-Identifier: Apache-2.0
internal import Symbolization

/// What is shown of a stack's frames.
extension StackNames {
    /// Without what --no-lines and --no-inlines leave out.
    func shown(_ frames: [Frame]) -> [Frame] {
        let kept = options.inlines ? frames[...] : frames.suffix(1)
        guard !options.lines else { return Array(kept) }
        return kept.map { frame in
            var frame = frame
            frame.file = nil
            frame.line = nil
            return frame
        }
    }

    func frames(kernel addresses: [UInt64]) -> [Frame] {
        let named = addresses.enumerated().flatMap { index, address in
            symbolizer.frames(kernel: address, isReturnAddress: index > 0)
        }
        return Array(named.dropFirst(Self.tracerFrames(named.map(\.function))))
    }

    /// How many frames at the leaf belong to the tracer itself.
    static func tracerFrames(_ names: [String?]) -> Int {
        let ours = [
            "bpf_trace_run", "__bpf_trace_", "__traceiter_", "bpf_get_stack", "__bpf_prog_enter",
            "__bpf_prog_exit", "__bpf_prog_run",
        ]
        let leaf = names.prefix(12)
        // What is behind that may be another tracer's program, which an interrupt has hit.
        if let end = leaf.firstIndex(where: { $0?.hasPrefix("__traceiter_") ?? false }) { return end + 1 }
        let last = leaf.lastIndex { name in
            name.map { name in isProgram(name) || ours.contains { name.hasPrefix($0) } } ?? false
        }
        return last.map { $0 + 1 } ?? 0
    }

    /// Whether it is a program's, bpf_prog_TAG_NAME with 16 digits (kernel/bpf/core.c, bpf_get_prog_name), and not one
    /// of the kernel's own functions, such as bpf_prog_alloc.
    private static func isProgram(_ name: String) -> Bool {
        let prefix = "bpf_prog_"
        guard name.hasPrefix(prefix) else { return false }
        let tag = name.utf8.dropFirst(prefix.utf8.count).prefix { Character(UnicodeScalar($0)).isHexDigit }
        return tag.count == 16
    }

    /// A user stack without what is no address at its end: where frame pointers lead nowhere they often lead to 0.
    static func withoutEnd(_ addresses: ArraySlice<UInt64>) -> [UInt64] {
        // The first page is never mapped (vm.mmap_min_addr).
        Array(addresses[..<(addresses.lastIndex { $0 >= 4096 }.map { $0 + 1 } ?? addresses.startIndex)])
    }
}
