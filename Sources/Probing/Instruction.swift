// SPDX-License-Identifier: Apache-2.0

/// One x86-64 instruction: how long it is, and where it goes.
///
/// Format: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2 and appendix A.
/// Only lengths and what bears on probes are decoded.
package struct Instruction: Equatable, Sendable {
    /// Where control goes.
    package enum Flow: Equatable, Sendable {
        case next
        /// A jump, a conditional jump or a call, by this many bytes from the end of the instruction.
        case jump(Int64)
        case branch(Int64)
        case call(Int64)
        /// To an address in a register or in memory.
        case indirectJump
        case indirectCall
        /// A return, a trap, or nothing that comes back.
        case end
    }

    package let length: Int
    package let flow: Flow
    /// The opcode map: 0 for one byte, 1 for 0F, 2 for 0F 38, 3 for 0F 3A; nil for VEX, EVEX and XOP.
    let map: Int?
    let opcode: UInt8
    /// The byte behind the opcode that names operands, if there is one.
    let modrm: UInt8?
    let prefixes: Prefixes

    struct Prefixes: Equatable, Sendable {
        var operandSize = false
        var addressSize = false
        var repeats = false
        var repeatsNot = false
        var lock = false
        var segment = false
        var rex: UInt8 = 0
        /// How many bytes, REX among them.
        var count = 0

        var wide: Bool { rex & 8 != 0 }
    }

    /// The longest that a CPU takes.
    static let longest = 15
}

extension Instruction {
    /// Decodes the instruction at `start`; nil if there is none, or it is cut.
    package init?(_ code: ArraySlice<UInt8>, at start: Int) {
        var reader = CodeReader(code, start)
        var prefixes = Prefixes()
        guard let first = reader.skipPrefixes(&prefixes) else { return nil }
        if first == 0xc4 || first == 0xc5 || first == 0x62 {
            self.init(vector: first, &reader, prefixes)
        } else if first == 0x8f, let next = reader.peek, next & 0x1f >= 8 {
            self.init(extended: &reader, prefixes)
        } else {
            self.init(first, &reader, prefixes)
        }
        guard length <= Self.longest else { return nil }
    }

    private init?(_ first: UInt8, _ reader: inout CodeReader, _ prefixes: Prefixes) {
        var map = 0
        var opcode = first
        if first == 0x0f {
            guard let second = reader.byte() else { return nil }
            (map, opcode) = (1, second)
            if second == 0x38 || second == 0x3a {
                guard let third = reader.byte() else { return nil }
                (map, opcode) = (second == 0x38 ? 2 : 3, third)
            }
        }
        guard let operands = OperandForm(map: map, opcode: opcode) else { return nil }
        var modrm: UInt8?
        if operands.hasModRM {
            guard let byte = reader.operand() else { return nil }
            modrm = byte
        }
        let size = operands.immediateBytes(opcode: opcode, map: map, modrm: modrm, prefixes)
        guard let immediate = reader.immediate(size) else { return nil }
        self.map = map
        self.opcode = opcode
        self.modrm = modrm
        self.prefixes = prefixes
        length = reader.consumed
        flow = Self.flow(map: map, opcode: opcode, modrm: modrm, immediate)
    }

    /// VEX with two or three bytes, and EVEX (volume 2, 2.3 and 2.7).
    private init?(vector first: UInt8, _ reader: inout CodeReader, _ prefixes: Prefixes) {
        var map: UInt8 = 1
        guard let payload = reader.byte() else { return nil }
        if first == 0xc4 {
            map = payload & 0x1f
            guard reader.byte() != nil else { return nil }
        } else if first == 0x62 {
            map = payload & 0x7
            guard reader.byte() != nil, reader.byte() != nil else { return nil }
        }
        guard (1...3).contains(map) || first == 0x62 && (map == 5 || map == 6), let opcode = reader.byte()
        else { return nil }
        var modrm: UInt8?
        // vzeroupper has no operands
        if first == 0x62 || map != 1 || opcode != 0x77 {
            guard let byte = reader.operand() else { return nil }
            modrm = byte
        }
        let withImmediate: Set<UInt8> = [0x70, 0x71, 0x72, 0x73, 0xc2, 0xc4, 0xc5, 0xc6]
        if map == 3 || map == 1 && withImmediate.contains(opcode) {
            guard reader.byte() != nil else { return nil }
        }
        self.init(length: reader.consumed, opcode: opcode, modrm: modrm, prefixes)
    }

    /// XOP (AMD64 Architecture Programmer's Manual, volume 6).
    private init?(extended reader: inout CodeReader, _ prefixes: Prefixes) {
        guard let payload = reader.byte(), reader.byte() != nil, let opcode = reader.byte(),
            let modrm = reader.operand()
        else { return nil }
        let sizes: [UInt8: Int] = [8: 1, 9: 0, 10: 4]
        guard let size = sizes[payload & 0x1f], reader.immediate(size) != nil else { return nil }
        self.init(length: reader.consumed, opcode: opcode, modrm: modrm, prefixes)
    }

    private init(length: Int, opcode: UInt8, modrm: UInt8?, _ prefixes: Prefixes) {
        map = nil
        flow = .next
        self.length = length
        self.opcode = opcode
        self.modrm = modrm
        self.prefixes = prefixes
    }

    /// Whether it is a near return.
    package var isReturn: Bool { map == 0 && (opcode == 0xc3 || opcode == 0xc2) }

    private static func flow(map: Int, opcode: UInt8, modrm: UInt8?, _ immediate: Int64) -> Flow {
        switch (map, opcode) {
        case (0, 0xe8): return .call(immediate)
        case (0, 0xe9), (0, 0xeb): return .jump(immediate)
        case (0, 0x70...0x7f), (0, 0xe0...0xe3), (1, 0x80...0x8f): return .branch(immediate)
        case (0, 0xc2), (0, 0xc3), (0, 0xca), (0, 0xcb), (0, 0xcf), (0, 0xf4), (0, 0xcc), (1, 0x0b):
            return .end
        case (0, 0xff):
            switch (modrm ?? 0) >> 3 & 7 {
            case 2, 3: return .indirectCall
            case 4, 5: return .indirectJump
            default: return .next
            }
        default: return .next
        }
    }
}

/// What follows an opcode.
private struct OperandForm {
    let hasModRM: Bool

    /// nil for an opcode that 64-bit code does not have.
    init?(map: Int, opcode: UInt8) {
        switch map {
        case 0:
            guard !Self.absent.contains(opcode) else { return nil }
            hasModRM = Self.oneByteHasModRM(opcode)
        case 1:
            guard !Self.absentTwoByte.contains(opcode) else { return nil }
            hasModRM = !Self.twoByteWithout.contains(opcode) && !(0x80...0x8f).contains(opcode)
        default: hasModRM = true
        }
    }

    private static let absent: Set<UInt8> = [
        0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4,
        0xd5, 0xd6, 0xea,
    ]
    private static let absentTwoByte: Set<UInt8> = [
        0x04, 0x0a, 0x0c, 0x24, 0x25, 0x26, 0x27, 0x36, 0x39, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x7a, 0x7b, 0xa6,
        0xa7,
    ]
    private static let twoByteWithout: Set<UInt8> = [
        0x05, 0x06, 0x07, 0x08, 0x09, 0x0b, 0x0e, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x37, 0x77, 0xa0, 0xa1,
        0xa2, 0xa8, 0xa9, 0xaa, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf,
    ]

    private static func oneByteHasModRM(_ opcode: UInt8) -> Bool {
        switch opcode {
        case 0x00...0x3f: opcode & 7 < 4
        case 0x63, 0x69, 0x6b, 0x80...0x8f, 0xc0, 0xc1, 0xc6, 0xc7, 0xd0...0xd3, 0xd8...0xdf, 0xf6, 0xf7,
            0xfe, 0xff:
            true
        default: false
        }
    }

    func immediateBytes(opcode: UInt8, map: Int, modrm: UInt8?, _ prefixes: Instruction.Prefixes) -> Int {
        switch map {
        case 0: Self.oneByteImmediate(opcode, modrm, prefixes)
        case 1: Self.twoByteImmediate(opcode, prefixes)
        default: map == 3 ? 1 : 0
        }
    }

    private static func oneByteImmediate(_ opcode: UInt8, _ modrm: UInt8?, _ prefixes: Instruction.Prefixes)
        -> Int
    {
        // REX.W wins over 66.
        let full = prefixes.operandSize && !prefixes.wide ? 2 : 4
        switch opcode {
        case 0x00...0x3f: return opcode & 7 == 4 ? 1 : opcode & 7 == 5 ? full : 0
        case 0x68, 0x69, 0x81, 0xa9, 0xc7: return full
        case 0x6a, 0x6b, 0x70...0x7f, 0x80, 0x83, 0xa8, 0xb0...0xb7, 0xc0, 0xc1, 0xc6, 0xcd, 0xe0...0xe7,
            0xeb:
            return 1
        case 0xa0...0xa3: return prefixes.addressSize ? 4 : 8
        case 0xb8...0xbf: return prefixes.wide ? 8 : full
        case 0xc2, 0xca: return 2
        case 0xc8: return 3
        case 0xe8, 0xe9: return 4
        case 0xf6: return (modrm ?? 0) >> 3 & 7 < 2 ? 1 : 0
        case 0xf7: return (modrm ?? 0) >> 3 & 7 < 2 ? full : 0
        default: return 0
        }
    }

    private static func twoByteImmediate(_ opcode: UInt8, _ prefixes: Instruction.Prefixes) -> Int {
        switch opcode {
        case 0x0f, 0x70...0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6: 1
        case 0x80...0x8f: 4
        // extrq and insertq of SSE4a
        case 0x78: prefixes.operandSize || prefixes.repeatsNot ? 2 : 0
        default: 0
        }
    }
}

/// Takes code apart from the front.
private struct CodeReader {
    private let code: ArraySlice<UInt8>
    private let start: Int
    private var position: Int

    init(_ code: ArraySlice<UInt8>, _ start: Int) {
        self.code = code
        self.start = start
        position = start
    }

    var consumed: Int { position - start }
    var peek: UInt8? { code.indices.contains(position) ? code[position] : nil }

    mutating func byte() -> UInt8? {
        guard let value = peek else { return nil }
        position += 1
        return value
    }

    /// The first byte that is no prefix. A REX counts only right before it.
    mutating func skipPrefixes(_ prefixes: inout Instruction.Prefixes) -> UInt8? {
        while let next = byte() {
            switch next {
            case 0x66: prefixes.operandSize = true
            case 0x67: prefixes.addressSize = true
            case 0xf2: prefixes.repeatsNot = true
            case 0xf3: prefixes.repeats = true
            case 0xf0: prefixes.lock = true
            case 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65: prefixes.segment = true
            case 0x40...0x4f:
                prefixes.rex = next
                prefixes.count += 1
                continue
            default: return next
            }
            prefixes.rex = 0
            prefixes.count += 1
        }
        return nil
    }

    /// The ModRM byte; what belongs to it (SIB, displacement) is passed over.
    mutating func operand() -> UInt8? {
        guard let modrm = byte() else { return nil }
        let mode = modrm >> 6
        guard mode != 3 else { return modrm }
        var displacement = mode == 1 ? 1 : mode == 2 ? 4 : 0
        if modrm & 7 == 4 {
            guard let sib = byte() else { return nil }
            if mode == 0, sib & 7 == 5 { displacement = 4 }
        } else if mode == 0, modrm & 7 == 5 {
            displacement = 4
        }
        return skip(displacement) ? modrm : nil
    }

    private mutating func skip(_ count: Int) -> Bool {
        guard position + count <= code.endIndex else { return false }
        position += count
        return true
    }

    /// A little-endian number with a sign.
    mutating func immediate(_ count: Int) -> Int64? {
        guard position + count <= code.endIndex else { return nil }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(code[position + index]) << (8 * UInt64(index)) }
        position += count
        guard count > 0, count < 8 else { return Int64(bitPattern: value) }
        let shift = UInt64(64 - 8 * count)
        return Int64(bitPattern: value << shift) >> Int64(shift)
    }
}
