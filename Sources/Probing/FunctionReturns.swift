// SPDX-License-Identifier: Apache-2.0
internal import Symbolization

/// Finds the instructions with which a function returns, wherever its jumps lead.
///
/// A function that ends by a jump to another one returns where that one does. Jumps are followed, calls are not: what
/// lies behind a call that does not return may be other code, whose returns are then found as well, and do no harm.
struct FunctionReturns {
    private let code: CodeOfFile
    private let starts: Set<UInt64>
    private let linkage: LinkageTable

    private static let mostInstructions = 1 << 15
    private static let mostReturns = 256
    private static let window: UInt64 = 1 << 12

    init(_ elf: ELFFile, _ code: CodeOfFile) {
        self.code = code
        starts = Self.starts(elf)
        linkage = LinkageTable(elf)
    }

    /// A last jump to an address that is handed in as an argument is not followed: tcmalloc has one to what it does when
    /// there is no memory, which throws.
    ///
    /// - Returns: addresses as the file counts, sorted; nil if there may be more than can be found, because of a table
    ///   of jumps, or a last jump out of the file.
    func find(from entry: UInt64) -> [UInt64]? {
        var returns: Set<UInt64> = []
        var seen: Set<UInt64> = []
        var waiting = [entry]
        var (bytes, first): ([UInt8], UInt64) = ([], 0)
        while var address = waiting.popLast() {
            var takesDownFrame = false
            var isBehindCall = false
            while seen.insert(address).inserted {
                if address < first || address - first + UInt64(Instruction.longest) > UInt64(bytes.count) {
                    (bytes, first) = (code.bytes(address, Self.window), address)
                }
                guard seen.count <= Self.mostInstructions, returns.count <= Self.mostReturns,
                    let instruction = Instruction(bytes[...], at: Int(address - first))
                else { return nil }
                let next = address &+ UInt64(instruction.length)
                switch instruction.flow {
                case .next, .call, .indirectCall: break
                case .indirectJump: if !takesDownFrame { return nil }
                case .jump(let distance), .branch(let distance):
                    let target = next &+ UInt64(bitPattern: distance)
                    guard !code.isLinkage(target) else {
                        guard let function = linkage.function(at: target, code) else { return nil }
                        waiting.append(function)
                        break
                    }
                    waiting.append(target)
                case .end: if instruction.isReturn { returns.insert(address) }
                }
                isBehindCall = instruction.isCall || isBehindCall && instruction.isNoOperation
                // A call that does not return is the last of its function, but for what fills up.
                guard instruction.goesOn, !(isBehindCall && starts.contains(next)) else { break }
                takesDownFrame = instruction.takesDownFrame
                address = next
            }
        }
        return returns.isEmpty ? nil : returns.sorted()
    }

    /// Where functions begin, by the table that is there to find frames.
    ///
    /// Format: Linux Standard Base Core 5.0, 10.6.2, .eh_frame_hdr.
    static func starts(_ elf: ELFFile) -> Set<UInt64> {
        guard let section = elf.section(named: ".eh_frame_hdr"),
            let bytes = elf.contents(of: section, limit: 1 << 26), bytes.count >= 12,
            // Version 1; the count has 4 bytes; pairs of 4 bytes each, from the section's start.
            bytes[0] == 1, bytes[1] & 0x0f == 0x0b || bytes[1] & 0x0f == 0x03, bytes[2] == 0x03,
            bytes[3] == 0x3b
        else { return [] }
        return bytes.withUnsafeBytes { bytes in
            let count = min(
                Int(bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)), (bytes.count - 12) / 8)
            return Set(
                (0..<count).map { index in
                    let distance = bytes.loadUnaligned(fromByteOffset: 12 + 8 * index, as: Int32.self)
                    return section.address &+ UInt64(bitPattern: Int64(distance))
                })
        }
    }
}

/// The functions of a file that it calls through its own procedure linkage table, since others might replace them.
///
/// Format: System V ABI, AMD64 supplement, 5.2, and ELF's Elf64_Rela and Elf64_Sym.
struct LinkageTable {
    /// By the address of the word that the stub jumps through.
    private var functions: [UInt64: UInt64] = [:]

    private static let mostBytes = 1 << 24

    init(_ elf: ELFFile) {
        guard let table = elf.section(named: ".dynsym"),
            let symbols = elf.contents(of: table, limit: Self.mostBytes)
        else { return }
        for name in [".rela.plt", ".rela.dyn"] {
            guard let section = elf.section(named: name),
                let bytes = elf.contents(of: section, limit: Self.mostBytes)
            else { continue }
            for start in stride(from: 0, through: bytes.count - 24, by: 24) {
                let information: UInt64 = Self.number(bytes, start + 8)
                let symbol = Int(information >> 32) * 24
                // R_X86_64_GLOB_DAT and R_X86_64_JUMP_SLOT, of a symbol that this file defines.
                guard [6, 7].contains(information & 0xffff_ffff), symbol + 24 <= symbols.count,
                    Self.number(symbols, symbol + 6, as: UInt16.self) != 0
                else { continue }
                functions[Self.number(bytes, start)] = Self.number(symbols, symbol + 8)
            }
        }
    }

    private static func number<Number: FixedWidthInteger & BitwiseCopyable>(
        _ bytes: [UInt8], _ offset: Int, as: Number.Type = Number.self
    ) -> Number {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Number.self) }
    }

    /// The function that a stub jumps to: jmp through a word, perhaps behind endbr64 and with a prefix.
    func function(at stub: UInt64, _ code: CodeOfFile) -> UInt64? {
        let bytes = code.bytes(stub, 16)
        guard bytes.count == 16,
            let jump = (0..<10).first(where: { bytes[$0] == 0xff && bytes[$0 + 1] == 0x25 })
        else { return nil }
        let distance: Int32 = Self.number(bytes, jump + 2)
        return functions[stub &+ UInt64(jump + 6) &+ UInt64(bitPattern: Int64(distance))]
    }
}

extension Instruction {
    /// Whether it is what a function does last before it returns, or jumps to another one: pop, leave, add to rsp.
    var takesDownFrame: Bool {
        guard map == 0 else { return false }
        return (0x58...0x5f).contains(opcode) || opcode == 0xc9
            || ((opcode == 0x83 || opcode == 0x81) && modrm == 0xc4 && prefixes.wide)
    }

    var isCall: Bool {
        switch flow {
        case .call, .indirectCall: true
        default: false
        }
    }

    /// Whether the instruction behind it may be the next one.
    var goesOn: Bool {
        switch flow {
        case .next, .branch, .call, .indirectCall: true
        case .jump, .indirectJump, .end: false
        }
    }
}
