// SPDX-License-Identifier: Apache-2.0

/// What a function of an allocator does, by where its arguments are.
package enum AllocatorCall: UInt32, CaseIterable, Sendable {
    /// (size)
    case allocate = 0
    /// (count, size)
    case allocateArray = 1
    /// (block, size)
    case resize = 2
    /// (block, count, size)
    case resizeArray = 3
    /// (alignment, size)
    case aligned = 4
    /// (where to put the block, alignment, size), returns an error
    case alignedInto = 5
    /// (block)
    case free = 6
    /// Not of an allocator: an exception begins to take frames off the stack.
    case unwind = 7
    /// (size), and may end with an exception
    case new = 8
}

/// Which names allocators give their functions.
package struct AllocatorNames: Sendable {
    /// By name, as in the symbol table.
    private let calls: [String: AllocatorCall]

    /// C, POSIX and glibc.
    private static let standard: [String: AllocatorCall] = [
        "malloc": .allocate, "valloc": .allocate, "pvalloc": .allocate, "calloc": .allocateArray,
        "realloc": .resize, "reallocarray": .resizeArray, "aligned_alloc": .aligned, "memalign": .aligned,
        "posix_memalign": .alignedInto, "free": .free, "cfree": .free, "free_sized": .free,
        "free_aligned_sized": .free,
    ]
    /// jemalloc's own: (size, flags), (block, size, flags), (block, flags), (block, size, flags).
    private static let jemalloc: [String: AllocatorCall] = [
        "mallocx": .allocate, "rallocx": .resize, "dallocx": .free, "sdallocx": .free,
    ]
    /// mimalloc's own, beside the standard names with its prefix.
    private static let mimalloc: [String: AllocatorCall] = [
        "mi_zalloc": .allocate, "mi_malloc_small": .allocate, "mi_zalloc_small": .allocate,
        "mi_mallocn": .allocateArray, "mi_reallocn": .resizeArray, "mi_free_size": .free,
        "mi_free_size_aligned": .free, "mi_free_aligned": .free, "mi_new": .allocate,
        "mi_new_nothrow": .allocate,
    ]
    /// Itanium C++ ABI: operator new and new[] (plain, nothrow, aligned), delete and delete[] (sized as well).
    private static let operators: [String: AllocatorCall] = {
        var found: [String: AllocatorCall] = [:]
        let nothrow = "RKSt9nothrow_t"
        let alignment = "St11align_val_t"
        for name in ["_Znwm", "_Znam"] {
            for suffix in ["", nothrow, alignment, alignment + nothrow] { found[name + suffix] = .allocate }
        }
        for name in ["_ZdlPv", "_ZdaPv"] {
            for suffix in ["", "m", nothrow, alignment, "m" + alignment, alignment + nothrow] {
                found[name + suffix] = .free
            }
        }
        return found
    }()

    /// Itanium C++ ABI, exception handling, 1.3, and what libgcc adds: where the search for frames begins.
    private static let unwinding = [
        "_Unwind_RaiseException", "_Unwind_ForcedUnwind", "_Unwind_Resume_or_Rethrow",
    ]

    /// - Parameter prefix: what the functions' names begin with; nil to look for all allocators that are known.
    package init(prefix: String? = nil) {
        var calls: [String: AllocatorCall] = [:]
        for prefix in prefix.map({ [$0] }) ?? ["", "je_", "tc_", "mi_", "_rjem_", "__libc_"] {
            for (name, call) in Self.standard.merging(Self.jemalloc, uniquingKeysWith: { $1 }) {
                calls[prefix + name] = call
            }
        }
        for name in Self.unwinding { calls[name] = .unwind }
        if prefix == nil {
            calls.merge(Self.mimalloc) { $1 }
            calls.merge(Self.operators) { $1 }
        }
        self.calls = calls
    }

    func call(_ name: String) -> AllocatorCall? {
        calls[name].map { $0 == .allocate && Self.mayThrow(name) ? .new : $0 }
    }

    /// Whether it is one of C++'s operators, which many libraries make of malloc and free.
    static func isOperator(_ name: String) -> Bool { operators[name] != nil }

    /// Whether it reports by an exception that there is no memory.
    private static func mayThrow(_ name: String) -> Bool {
        (operators[name] == .allocate && !name.hasSuffix("RKSt9nothrow_t"))
            || (name.hasPrefix("mi_new") && name != "mi_new_nothrow")
    }

    /// The lengths that names have: all others need no look.
    var lengths: ClosedRange<Int> {
        let lengths = calls.keys.map(\.utf8.count)
        return (lengths.min() ?? 0)...(lengths.max() ?? 0)
    }
}
