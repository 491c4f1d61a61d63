// SPDX-License-Identifier: Apache-2.0

/// Where in a function a probe costs least.
///
/// The kernel puts a breakpoint there. Some instructions it emulates; all others it has to execute out of line in
/// single steps, which costs a second trap: ten times as much in many virtual machines
/// (arch/x86/kernel/uprobes.c, branch_setup_xol_ops and push_setup_xol_ops).
package struct ProbePlacement: Equatable, Sendable {
    /// From the function's entry, in bytes. Whatever passes the entry passes here, with the arguments, the stack
    /// pointer and the frame pointer as they were there.
    package let offset: Int
    /// Whether the kernel emulates the instruction.
    package let isEmulated: Bool
    /// Whether there must be no probe. The kernel refuses instructions with a lock prefix; it says so only if a process
    /// runs the file already, and leaves the probe out in those that begin to. Some it takes for others.
    package let isRefused: Bool
    /// Whether the function may call others than itself through addresses that are not in its code.
    package let callsIndirectly: Bool
    /// Where its direct calls and jumps out of it go, as offsets from its entry.
    package let targets: Set<Int>

    /// How far from the entry an instruction is looked for: more is no prologue.
    private static let reach = 32
    /// The shortest jump that reaches another function's code is one of 128 bytes.
    private static let functionLimit = 1 << 20

    /// - Parameter code: the whole function.
    package init(_ code: ArraySlice<UInt8>) {
        let flow = FunctionFlow(code.prefix(Self.functionLimit))
        targets = flow.exits
        callsIndirectly = flow.hasIndirectCalls || flow.hasIndirectJumps || !flow.isDecoded
        let candidate = Self.candidate(code)
        isEmulated = candidate != nil
        isRefused = Instruction(code, at: code.startIndex).map { $0.prefixes.lock || $0.isMistaken } ?? false
        guard let candidate, candidate > 0 else {
            offset = 0
            return
        }
        // A table of jumps could lead anywhere.
        let isProven = flow.isDecoded && !flow.hasIndirectJumps && !flow.isEntered(in: 1...candidate)
        offset = isProven ? candidate : 0
    }

    /// The first instruction that is emulated, if those before it change nothing that matters.
    private static func candidate(_ code: ArraySlice<UInt8>) -> Int? {
        var position = code.startIndex
        while position - code.startIndex <= reach, let instruction = Instruction(code, at: position) {
            if instruction.isEmulated { return position - code.startIndex }
            guard instruction.isNeutral else { return nil }
            position += instruction.length
        }
        return nil
    }
}

/// Where control goes in one function.
private struct FunctionFlow {
    private(set) var exits: Set<Int> = []
    private(set) var inner: Set<Int> = []
    private(set) var hasIndirectCalls = false
    private(set) var hasIndirectJumps = false
    /// Whether every byte is part of an instruction.
    private(set) var isDecoded = true

    init(_ code: ArraySlice<UInt8>) {
        var position = code.startIndex
        while position < code.endIndex {
            guard let instruction = Instruction(code, at: position) else {
                isDecoded = false
                return
            }
            position += instruction.length
            switch instruction.flow {
            case .jump(let distance), .branch(let distance), .call(let distance):
                note(Int64(position - code.startIndex) + distance, size: code.count)
            case .indirectCall: hasIndirectCalls = true
            case .indirectJump: hasIndirectJumps = true
            case .next, .end: break
            }
        }
    }

    private mutating func note(_ target: Int64, size: Int) {
        if target >= 0, target < Int64(size) { inner.insert(Int(target)) } else { exits.insert(Int(target)) }
    }

    func isEntered(in range: ClosedRange<Int>) -> Bool { inner.contains { range.contains($0) } }
}

extension Instruction {
    /// Whether all kernels since 4.20 emulate it: push of a register, nop, and jumps and calls to fixed places.
    package var isEmulated: Bool {
        // 16-bit variants are refused, and so are lock prefixes.
        guard !prefixes.operandSize, !prefixes.lock, !prefixes.repeats, !prefixes.repeatsNot else {
            return false
        }
        switch (map, opcode) {
        case (0, 0x50...0x57): return prefixes.count == (prefixes.rex != 0 ? 1 : 0)
        // With REX.B it is an exchange with r8.
        case (0, 0x90): return prefixes.rex == 0
        case (0, 0x70...0x7f), (0, 0xe8), (0, 0xe9), (0, 0xeb), (1, 0x80...0x8f): return true
        default: return false
        }
    }

    /// Whether the kernel emulates another instruction in its place, and the program goes wrong: of what has a VEX, EVEX
    /// or XOP prefix it looks at the opcode alone, and sees a jump, a call or a nop, in 6.18 as in those before it
    /// (arch/x86/kernel/uprobes.c, branch_setup_xol_ops). So vpbroadcastb, with which memset begins, is left out.
    var isMistaken: Bool {
        guard map == nil else { return false }
        switch opcode {
        case 0x70...0x7f, 0x90, 0xe8, 0xe9, 0xeb: return true
        default: return false
        }
    }

    /// Whether nothing that a probe looks at differs before and after it: arguments, stack and frame pointer,
    /// and memory.
    var isNeutral: Bool {
        guard flow == .next, !prefixes.lock, !prefixes.segment || isNoOperation else { return false }
        if isNoOperation || isComparison { return true }
        guard let target = writtenRegister else { return false }
        // rax, rbx, r8 to r15: neither one of the first four arguments nor rsp or rbp.
        return target == 0 || target == 3 || target >= 8
    }

    /// endbr64, and nop in its many lengths.
    var isNoOperation: Bool {
        if map == 1, opcode == 0x1e { return prefixes.repeats && modrm == 0xfa }
        if map == 1, opcode == 0x1f { return (modrm ?? 0) >> 3 & 7 == 0 }
        return map == 0 && opcode == 0x90 && prefixes.rex & 1 == 0
    }

    /// cmp and test, with whatever operands.
    private var isComparison: Bool {
        guard map == 0 else { return false }
        let extension3 = (modrm ?? 0) >> 3 & 7
        switch opcode {
        case 0x38...0x3d, 0x84, 0x85, 0xa8, 0xa9: return true
        case 0x80, 0x81, 0x83: return extension3 == 7
        case 0xf6, 0xf7: return extension3 < 2
        default: return false
        }
    }

    /// The register that mov, lea, xor, or, and, add or sub writes, if it writes no memory; nil for all others.
    private var writtenRegister: Int? {
        guard map == 0, let number = registerNumber else { return nil }
        return number
    }

    private var registerNumber: Int? {
        let base = prefixes.rex & 1 != 0 ? 8 : 0
        if (0xb8...0xbf).contains(opcode) { return Int(opcode & 7) + base }
        guard let modrm else { return nil }
        let register = Int(modrm >> 3 & 7) + (prefixes.rex & 4 != 0 ? 8 : 0)
        let other = modrm >> 6 == 3 ? Int(modrm & 7) + base : nil
        switch opcode {
        // To a register from a register or memory: mov, lea, movsxd, and arithmetic.
        case 0x8b, 0x8d, 0x63, 0x03, 0x0b, 0x23, 0x2b, 0x33: return register
        // The other way round, if that is a register too.
        case 0x89, 0x01, 0x09, 0x21, 0x29, 0x31: return other
        // mov and arithmetic with a number
        case 0xc7, 0x81, 0x83: return other
        default: return nil
        }
    }
}
