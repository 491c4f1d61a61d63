// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Symbolization

/// The machine whose files are read: all that is particular to it is in its file.
typealias CallFrameMachine = X86CallFrames

/// What is particular to x86: numbers of registers, code that has special rules. The 64-bit machine (System V psABI for
/// AMD64, figure 3.36) and the 32-bit one (System V psABI for Intel386, table 2.14) have the same rules.
struct X86CallFrames: Sendable {
    /// Bytes of a word of the stack.
    let word: Int
    /// rbp or ebp.
    let framePointer: UInt64
    private let stackPointer: UInt64
    /// The numbers that the programs know registers by, which are those of the 64-bit machine.
    private let registers: [UInt8]
    /// How code that returns from a signal handler looks: to the C libraries, to GDB and to the kernel.
    let signalReturns: [SignalReturn]

    struct SignalReturn: Sendable {
        let code: [UInt8]
        /// From which instruction on, by its offset, the saved registers are at the stack pointer plus what.
        let steps: [(offset: UInt64, registers: Int32)]
    }

    static let amd64 = X86CallFrames(
        word: 8, framePointer: 6, stackPointer: 7, registers: Array(0..<16),
        signalReturns: [
            // mov $15, %rax; syscall. Behind flags, link and stack of the ucontext.
            SignalReturn(
                code: [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05], steps: [(0, 40)])
        ])

    static let i386 = X86CallFrames(
        word: 4, framePointer: 5, stackPointer: 4, registers: [0, 2, 1, 3, 7, 6, 4, 5],
        signalReturns: [
            // pop %eax; mov $119, %eax; int $0x80. Behind the signal's number.
            SignalReturn(code: [0x58, 0xb8, 0x77, 0, 0, 0, 0xcd, 0x80], steps: [(0, 4), (1, 0)]),
            // mov $173, %eax; int $0x80. Behind number, two pointers, siginfo; flags, link and stack of the ucontext.
            SignalReturn(code: [0xb8, 0xad, 0, 0, 0, 0xcd, 0x80], steps: [(0, 12 + 128 + 20)]),
        ])

    /// EM_X86_64 and EM_386; nil for others, and for x32, whose stack has words of 8 bytes in a file of 32 bits.
    static func of(_ elf: ELFFile) -> X86CallFrames? {
        switch (elf.machine, elf.is64) {
        case (62, true): amd64
        case (3, false): i386
        default: nil
        }
    }

    /// Where the kernel saves registers for a handler (asm/sigcontext.h): r8 to r15, di, si, bp, bx, dx, ax, cx, sp, ip,
    /// or gs, fs, es, ds, di, si, bp, sp, bx, dx, cx, ax, two others, ip.
    static func signalRegisters(is32Bit: Bool) -> (fp: UInt64, sp: UInt64, pc: UInt64) {
        is32Bit ? (24, 28, 56) : (80, 120, 128)
    }

    /// The rule of a state; nil if none can say that.
    func rule(_ state: CallFrameState) -> unwind_rule? {
        if state.returnAddress == .undefined { return rule(CFA_ROOT) }
        guard case .offset(let distance) = state.returnAddress, let place = Int16(exactly: distance),
            var rule = address(state.address)
        else { return nil }
        rule.ra_offset = place
        switch state.framePointer {
        case .same: break
        case .offset(let offset): save(&rule, FRAME_POINTER_SAVED, offset)
        case .frameOffset(let offset): save(&rule, FRAME_POINTER_AT_FRAME, offset)
        default: rule.fp = UInt8(FRAME_POINTER_UNKNOWN.rawValue)
        }
        return rule
    }

    /// Of code that has pushed nothing: only the return address is on the stack.
    var stubs: unwind_rule {
        var rule = rule(CFA_STACK)
        rule.cfa_offset = Int32(word)
        rule.ra_offset = -Int16(word)
        return rule
    }

    /// Of code of Go, which has so many bytes on the stack above the return address; nil if it cannot have.
    ///
    /// The frame pointer is saved behind the return address as soon as there is a frame.
    func goRule(depth: Int64) -> unwind_rule? {
        guard word == 8, depth >= 0, depth % 8 == 0, let offset = Int32(exactly: depth + 8) else {
            return nil
        }
        var rule = rule(CFA_STACK)
        rule.cfa_offset = offset
        rule.ra_offset = -8
        if depth > 0 { save(&rule, FRAME_POINTER_SAVED, -16) }
        return rule
    }

    func rule(_ kind: unwind_cfa) -> unwind_rule {
        var rule = unwind_rule()
        rule.cfa = UInt8(kind.rawValue)
        rule.is_32_bit = word == 4 ? 1 : 0
        return rule
    }

    /// Of code that returns from a signal handler.
    func signalRule(registers: Int32) -> unwind_rule {
        var rule = rule(CFA_SIGNAL)
        rule.cfa_offset = registers
        return rule
    }

    private func save(_ rule: inout unwind_rule, _ kind: unwind_frame_pointer, _ offset: Int64) {
        guard let offset = Int32(exactly: offset) else {
            rule.fp = UInt8(FRAME_POINTER_UNKNOWN.rawValue)
            return
        }
        rule.fp = UInt8(kind.rawValue)
        rule.fp_offset = offset
    }

    private func address(_ address: CallFrameState.Address) -> unwind_rule? {
        switch address {
        case .none, .other: return nil
        case .linkageTable(let threshold):
            var rule = rule(CFA_PLT)
            rule.cfa_offset = Int32(truncatingIfNeeded: threshold)
            return rule
        case .register(let register, let offset):
            guard let offset = Int32(exactly: offset), register < UInt64(registers.count) else {
                return nil
            }
            var rule = rule(
                register == stackPointer ? CFA_STACK : register == framePointer ? CFA_FRAME : CFA_REGISTER)
            rule.cfa_offset = offset
            if rule.cfa == UInt8(CFA_REGISTER.rawValue) { rule.cfa_register = registers[Int(register)] }
            return rule
        case .dereferenced(let register, let offset, let addend):
            guard register == stackPointer || register == framePointer, let offset = Int32(exactly: offset),
                let addend = Int16(exactly: addend)
            else { return nil }
            var rule = rule(register == stackPointer ? CFA_STACK_DEREFERENCED : CFA_FRAME_DEREFERENCED)
            rule.cfa_offset = offset
            rule.cfa_addend = addend
            return rule
        }
    }

    /// What an expression says of the canonical frame address.
    func address(of expression: CallFrameReader) -> CallFrameState.Address {
        var reader = expression
        guard let (register, offset) = Self.registerAndOffset(&reader) else { return .other }
        if reader.isAtEnd { return .register(register, offset: offset) }
        let rest = reader
        guard reader.byte() == 0x06 else { return linkageTable(register, offset, rest) }  // deref
        var addend: Int64 = 0
        while !reader.isAtEnd {
            guard let more = Self.addition(&reader) else { return .other }
            addend &+= more
        }
        return reader.failed ? .other : .dereferenced(register, offset: offset, addend: addend)
    }

    /// The expression that linkers write for .plt: rsp + 8 + ((rip & 15) >= n ? 8 : 0), or the same with 4.
    private func linkageTable(
        _ register: UInt64, _ offset: Int64, _ rest: CallFrameReader
    ) -> CallFrameState.Address {
        var reader = rest
        // breg16 0 or breg8 0; lit15; and
        guard register == stackPointer, offset == Int64(word), reader.byte() == (word == 8 ? 0x80 : 0x78),
            reader.signed() == 0,
            reader.byte() == 0x3f, reader.byte() == 0x1a
        else { return .other }
        let literal = reader.byte()
        // ge; lit3 or lit2; shl; plus
        guard 0x30...0x3f ~= literal, reader.byte() == 0x2a, reader.byte() == (word == 8 ? 0x33 : 0x32),
            reader.byte() == 0x24,
            reader.byte() == 0x22, reader.isAtEnd, !reader.failed
        else { return .other }
        return .linkageTable(threshold: Int64(literal - 0x30))
    }

    /// Where an expression says that a register is saved.
    func place(by expression: CallFrameReader) -> CallFrameState.Saved {
        var reader = expression
        guard let (register, offset) = Self.registerAndOffset(&reader), reader.isAtEnd, !reader.failed,
            register == framePointer
        else { return .other }
        return .frameOffset(offset)
    }

    /// DW_OP_breg0 to 31, or DW_OP_bregx; nil if something else is next.
    private static func registerAndOffset(_ reader: inout CallFrameReader) -> (UInt64, Int64)? {
        let code = reader.byte()
        let register: UInt64
        switch code {
        case 0x70...0x8f: register = UInt64(code - 0x70)
        case 0x92: register = reader.unsigned()
        default: return nil
        }
        let offset = reader.signed()
        return reader.failed ? nil : (register, offset)
    }

    /// DW_OP_plus_uconst, or a constant and DW_OP_plus or DW_OP_minus; nil if something else is next.
    private static func addition(_ reader: inout CallFrameReader) -> Int64? {
        let code = reader.byte()
        let constant: Int64
        switch code {
        case 0x23: return Int64(bitPattern: reader.unsigned())
        case 0x30...0x4f: constant = Int64(code - 0x30)
        case 0x08: constant = Int64(reader.byte())
        case 0x09: constant = Int64(reader.number(Int8.self))
        case 0x0a: constant = Int64(reader.number(UInt16.self))
        case 0x0b: constant = Int64(reader.number(Int16.self))
        case 0x10: constant = Int64(bitPattern: reader.unsigned())
        case 0x11: constant = reader.signed()
        default: return nil
        }
        switch reader.byte() {
        case 0x22: return constant
        case 0x1c: return 0 &- constant
        default: return nil
        }
    }
}
