// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Tracing

/// Why a user stack has no more frames, and how they were found.
struct StackEnd: Hashable {
    private let code: UInt8

    /// - Parameter code: enum stack_end, with STACK_END_BY_FRAME_POINTER.
    init(_ code: UInt8) { self.code = code }

    /// Nothing is known, as of stacks that the kernel has walked.
    static let unknown = StackEnd(0)

    /// Whether a frame was found by the frame pointer.
    var byFramePointer: Bool { code & UInt8(STACK_END_BY_FRAME_POINTER) != 0 }

    private var reason: stack_end { stack_end(UInt32(code & ~UInt8(STACK_END_BY_FRAME_POINTER))) }

    var isRoot: Bool { reason == STACK_END_ROOT }
    var isKnown: Bool { reason != STACK_END_UNKNOWN }

    /// Whether to know more of the process would have helped.
    var isForWantOfMappings: Bool { reason == STACK_END_UNMAPPED || reason == STACK_END_UNKNOWN_PROCESS }

    /// In JSON.
    var name: String {
        switch reason {
        case STACK_END_ROOT: "root"
        case STACK_END_DEPTH: "depth"
        case STACK_END_UNMAPPED: "unmapped"
        case STACK_END_NO_RULE: "no rule"
        case STACK_END_UNREADABLE: "unreadable"
        case STACK_END_NONSENSE: "nonsense"
        case STACK_END_UNKNOWN_PROCESS: "unknown process"
        case STACK_END_32_BIT: "32-bit"
        case STACK_END_BUSY: "busy"
        case STACK_END_REMAPPED: "remapped"
        default: "unknown"
        }
    }

    /// A frame that stands for those that are missing; nil if none are, or nobody knows.
    var marker: String? {
        switch reason {
        case STACK_END_ROOT, STACK_END_UNKNOWN: nil
        case STACK_END_DEPTH: "[cut: deeper than --max-frames]"
        case STACK_END_UNMAPPED: "[cut: code in no known mapping]"
        case STACK_END_NO_RULE: "[cut: code without unwind information]"
        case STACK_END_UNREADABLE: "[cut: stack not in memory]"
        case STACK_END_NONSENSE: "[cut: stack pointer makes no sense]"
        case STACK_END_UNKNOWN_PROCESS: "[cut: process too new]"
        case STACK_END_32_BIT: "[cut: 32-bit code]"
        case STACK_END_REMAPPED: "[cut: code was mapped anew at that moment]"
        default: "[cut: no room to unwind]"
        }
    }
}

/// The stacks that programs have stored (bpf/lib/stacks.bpf.h).
struct StackStore {
    private let stacks: HashMap<UInt64, stack_trace>
    private let names: StackNames?

    /// - Parameter names: knows which stacks may have been walked by rules of the past.
    init(_ object: LoadedObject, _ names: StackNames? = nil) {
        stacks = object.map("stacks")
        self.names = names
    }

    /// How many sums there may be under so many stacks: a stack of the kernel goes with several of users, and with
    /// several threads.
    static func totals(for stacks: UInt32) -> UInt32 { stacks / 2 * 5 + 1 }

    /// Said of what found no room for its sum, behind a number.
    static func lostTotals(of what: String) -> String {
        "\(what) are under no stack: too many different ones; use a larger --stack-storage-size"
    }

    /// The addresses of a stack, leaf first, and when it was stored, in nanoseconds of the monotonic clock; none if it
    /// was not.
    subscript(hash: UInt64) -> (addresses: [UInt64], end: StackEnd, time: UInt64) {
        guard hash != 0, let bytes = stacks.bytes(hash) else { return ([], .unknown, 0) }
        return bytes.withUnsafeBytes { bytes in
            let head = MemoryLayout<stack_trace>.offset(of: \.addresses) ?? 0
            guard bytes.count >= head else { return ([], .unknown, 0) }
            let frames = bytes.loadUnaligned(fromByteOffset: MemoryLayout<UInt64>.size, as: UInt32.self)
            let end = bytes[MemoryLayout<stack_trace>.offset(of: \.end) ?? 0]
            let room = (bytes.count - head) / MemoryLayout<UInt64>.size
            let addresses = (0..<min(Int(frames), room)).map {
                bytes.loadUnaligned(fromByteOffset: head + $0 * 8, as: UInt64.self)
            }
            func word(_ place: Int?) -> UInt64 {
                bytes.loadUnaligned(fromByteOffset: place ?? 0, as: UInt64.self)
            }
            let time = word(MemoryLayout<stack_trace>.offset(of: \.first_ns))
            let process = word(MemoryLayout<stack_trace>.offset(of: \.process))
            guard let names, process > 0 else { return (addresses, StackEnd(end), time) }
            let trusted = names.trusted(
                addresses, StackEnd(end), of: Int32(truncatingIfNeeded: process), at: time, isShared: true)
            return (trusted.addresses, trusted.end, time)
        }
    }
}
