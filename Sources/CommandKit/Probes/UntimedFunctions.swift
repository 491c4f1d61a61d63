// SPDX-License-Identifier: Apache-2.0

/// User functions whose return must not be probed.
///
/// The kernel puts an address of its own in the place of the return address on the stack. These functions keep that
/// address and go there again later, or walk the stack with it: their programs would die of it.
enum UntimedFunctions {
    private static let names: Set<String> = [
        // They return once more, when somebody jumps back to them (setjmp(3), getcontext(3)).
        "setjmp", "_setjmp", "sigsetjmp", "__sigsetjmp", "getcontext", "swapcontext",
        // They look for the handler of an exception from their own frame on (Itanium C++ ABI, level I and II).
        "_Unwind_RaiseException", "_Unwind_ForcedUnwind", "_Unwind_Resume", "_Unwind_Resume_or_Rethrow",
        "_Unwind_Backtrace", "__cxa_throw", "__cxa_rethrow",
        "_ZSt17rethrow_exceptionNSt15__exception_ptr13exception_ptrE",
    ]

    static func contains(_ target: ProbeTargets.Target) -> Bool {
        target.kind == .uprobe && names.contains(target.name)
    }
}
