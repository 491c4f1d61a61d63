// SPDX-License-Identifier: Apache-2.0
package import CBPFPrograms

/// A walk of a stack of which we have a copy: what bpf/lib/unwind.bpf.h does with one that is in memory.
package struct StackWalk {
    /// What is at an address.
    package enum Code {
        /// No code that is known.
        case nothing
        /// Code, with CFA_NO_RULE if nothing says how it uses the stack.
        case rule(unwind_rule)
    }

    /// Of the frame in hand.
    package private(set) var pc: UInt64
    private var sp: UInt64
    private var fp: UInt64
    /// Whether `pc` is no return address.
    private var isExact: Bool
    package private(set) var byFramePointer: Bool
    /// Whether the frame pointer led to the frame in hand.
    private var wasByFramePointer = false
    private var jumps = 0
    private let word: Int
    private let stack: [UInt8]
    private let start: UInt64

    /// - Parameters:
    ///   - head: the registers in the frame to begin with.
    ///   - stack: a copy of the memory from `head.start` on.
    package init(_ head: deferred_stack, stack: [UInt8]) {
        pc = head.pc
        sp = head.sp
        fp = head.fp
        isExact = head.is_exact != 0
        byFramePointer = head.by_frame_pointer != 0
        word = head.is_32_bit != 0 ? 4 : 8
        start = head.start
        self.stack = stack
    }

    private static let frameReach: UInt64 = 1 << 20
    private static let mostFrameBytes: UInt64 = 8 << 20
    private static let mostJumps = 16

    /// Starts again where the walk began that came to `head`.
    package mutating func restart(_ head: deferred_stack) {
        pc = head.leaf_pc
        sp = head.leaf_sp
        fp = head.leaf_fp
        isExact = head.leaf_is_exact != 0
        byFramePointer = false
    }

    /// The frames above the one in hand, at most `limit`, and why there are no more.
    package mutating func run(limit: Int, _ code: (UInt64) -> Code) -> (addresses: [UInt64], end: stack_end) {
        var found: [UInt64] = []
        while true {
            guard found.count < limit else { return (found, STACK_END_DEPTH) }
            if let end = step(code) { return (found, end) }
            found.append(pc)
        }
    }

    /// Goes on to the caller; why not, if there is none.
    private mutating func step(_ code: (UInt64) -> Code) -> stack_end? {
        guard case .rule(let rule) = code(isExact ? pc : pc &- 1) else { return STACK_END_UNMAPPED }
        guard rule.cfa != UInt8(CFA_NO_RULE.rawValue), (rule.is_32_bit != 0) == (word == 4) else {
            return stepByFramePointer(code)
        }
        switch unwind_cfa(UInt32(rule.cfa)) {
        case CFA_SIGNAL: return leaveSignal(rule)
        case CFA_ROOT: return STACK_END_ROOT
        case CFA_REGISTER: return STACK_END_NO_RULE
        default: break
        }
        guard let cfa = address(rule), let ra = read(cfa &+ UInt64(bitPattern: Int64(rule.ra_offset))) else {
            return STACK_END_UNREADABLE
        }
        if cfa &- sp &- 1 >= Self.mostFrameBytes,
            rule.cfa != UInt8(CFA_STACK.rawValue) || Int64(bitPattern: cfa &- sp) <= 0
        {
            jumps += 1
            guard jumps <= Self.mostJumps, ra == 0 || isCode(ra, code) else { return STACK_END_NONSENSE }
        }
        switch unwind_frame_pointer(UInt32(rule.fp)) {
        case FRAME_POINTER_SAVED, FRAME_POINTER_AT_FRAME:
            let base = rule.fp == UInt8(FRAME_POINTER_SAVED.rawValue) ? cfa : fp
            guard let saved = read(base &+ UInt64(bitPattern: Int64(rule.fp_offset))) else {
                return STACK_END_UNREADABLE
            }
            fp = saved
        case FRAME_POINTER_UNKNOWN: fp = 0
        default: break
        }
        go(to: ra, sp: cfa)
        return ra == 0 ? STACK_END_ROOT : nil
    }

    private func address(_ rule: unwind_rule) -> UInt64? {
        let offset = UInt64(bitPattern: Int64(rule.cfa_offset))
        let addend = UInt64(bitPattern: Int64(rule.cfa_addend))
        switch unwind_cfa(UInt32(rule.cfa)) {
        case CFA_STACK: return sp &+ offset
        case CFA_FRAME: return fp &+ offset
        case CFA_STACK_DEREFERENCED: return read(sp &+ offset).map { $0 &+ addend }
        case CFA_FRAME_DEREFERENCED: return read(fp &+ offset).map { $0 &+ addend }
        case CFA_PLT: return sp &+ UInt64(word) &+ (pc & 15 >= offset ? UInt64(word) : 0)
        default: return nil
        }
    }

    private mutating func stepByFramePointer(_ code: (UInt64) -> Code) -> stack_end? {
        let why = word == 8 ? STACK_END_NO_RULE : STACK_END_32_BIT
        if fp == 0, wasByFramePointer { return STACK_END_ROOT }
        guard fp % UInt64(word) == 0, fp &- sp < Self.frameReach, let next = read(fp),
            let ra = read(fp &+ UInt64(word))
        else { return why }
        if ra == 0, wasByFramePointer { return STACK_END_ROOT }
        guard isCode(ra, code) else { return why }
        let frame = fp
        fp = next
        go(to: ra, sp: frame &+ UInt64(2 * word))
        byFramePointer = true
        wasByFramePointer = true
        return nil
    }

    /// The registers that the kernel has saved, see bpf/lib/unwind_x86.bpf.h.
    private mutating func leaveSignal(_ rule: unwind_rule) -> stack_end? {
        let registers = sp &+ UInt64(bitPattern: Int64(rule.cfa_offset))
        let saved = CallFrameMachine.signalRegisters(is32Bit: rule.is_32_bit != 0)
        guard let ip = read(registers &+ saved.pc), let bp = read(registers &+ saved.fp),
            let above = read(registers &+ saved.sp)
        else { return STACK_END_UNREADABLE }
        fp = bp
        go(to: ip, sp: above)
        isExact = true
        return nil
    }

    private mutating func go(to address: UInt64, sp: UInt64) {
        pc = address
        self.sp = sp
        isExact = false
        wasByFramePointer = false
    }

    private func isCode(_ address: UInt64, _ code: (UInt64) -> Code) -> Bool {
        if case .rule = code(address &- 1) { true } else { false }
    }

    private func read(_ address: UInt64) -> UInt64? {
        let (place, overflow) = address.subtractingReportingOverflow(start)
        guard !overflow, place < UInt64(stack.count), stack.count - Int(place) >= word else { return nil }
        return stack.withUnsafeBytes { bytes in
            word == 8
                ? bytes.loadUnaligned(fromByteOffset: Int(place), as: UInt64.self)
                : UInt64(bytes.loadUnaligned(fromByteOffset: Int(place), as: UInt32.self))
        }
    }
}
