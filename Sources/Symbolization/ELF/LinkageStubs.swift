// SPDX-License-Identifier: Apache-2.0

extension SymbolIndexBuilder {
    /// Adds the stubs by which an x86-64 file calls functions of others, which no symbol names: `function@plt`, as
    /// GDB and objdump call them.
    mutating func addLinkageStubs(_ elf: ELFFile) {
        guard elf.is64, elf.machine == 62 else { return }
        let stubs = LinkageStubs.find(in: elf)
        guard !stubs.isEmpty else { return }
        let names = LinkageStubs.names(of: Set(stubs.map(\.slot)), in: elf)
        var text: [UInt8] = []
        var found: [(stub: LinkageStubs.Stub, name: UInt32)] = []
        for stub in stubs {
            guard let name = names[stub.slot], text.count < 1 << 24 else { continue }
            found.append((stub, UInt32(text.count)))
            text += name + Array("@plt".utf8) + [0]
        }
        guard let table = add(NameTable(.memory(text), size: UInt64(text.count))) else { return }
        for (stub, name) in found {
            add(address: stub.address, size: stub.size, name: name, table: table, rank: SymbolRank.local)
        }
    }
}

/// The procedure linkage table (System V ABI, AMD64 supplement, 5.2): code that jumps through a slot, which the
/// dynamic linker fills as a relocation says.
private enum LinkageStubs {
    struct Stub {
        var address: UInt64
        var size: UInt64
        /// Where the address is that it jumps to.
        var slot: UInt64
    }

    private static let limit = 1 << 24
    /// Of all tables of relocations; a file can have any number of them.
    private static let relocationLimit = 1 << 26

    static func find(in elf: ELFFile) -> [Stub] {
        var stubs: [Stub] = []
        // Lazy ones; those of files whose indirect branches are tracked; those whose slot is shared with data.
        for name in [".plt", ".plt.sec", ".plt.got"] {
            guard let section = elf.section(named: name), section.isCode,
                let code = elf.contents(of: section, limit: limit)
            else { continue }
            for start in stride(from: 0, to: code.count, by: 8) {
                var jump = start
                if code[start...].starts(with: [0xf3, 0x0f, 0x1e, 0xfa]) { jump += 4 }  // endbr64
                if jump < code.count, code[jump] == 0xf2 { jump += 1 }  // bnd
                guard code[min(jump, code.count)...].starts(with: [0xff, 0x25]),
                    let distance = code.number(Int32.self, at: jump + 2)
                else { continue }
                // Only what is followed by a two-byte no-op at once is as short as that.
                let isShort = jump == start && code[(jump + 6)...].starts(with: [0x66, 0x90])
                let address = section.address &+ UInt64(start)
                let next = section.address &+ UInt64(jump + 6)
                stubs.append(
                    Stub(
                        address: address, size: isShort ? 8 : 16,
                        slot: next &+ UInt64(bitPattern: Int64(distance))))
            }
        }
        return stubs
    }

    /// The functions whose addresses go into the slots.
    static func names(of slots: Set<UInt64>, in elf: ELFFile) -> [UInt64: [UInt8]] {
        guard let section = elf.sections.first(where: { $0.type == 11 }),
            elf.sections.indices.contains(Int(section.link)),
            let symbols = elf.contents(of: section, limit: limit),
            let strings = elf.contents(of: elf.sections[Int(section.link)], limit: limit)
        else { return [:] }
        var held = 0
        func name(of symbol: Int) -> [UInt8]? {
            guard held < limit, let name = symbols.number(UInt32.self, at: symbol * 24) else { return nil }
            let text = strings.string(at: Int(name), limit: NameTable.maximumLength - 4)
            held += text.count
            return text.isEmpty ? nil : Array(text)
        }
        var names: [UInt64: [UInt8]] = [:]
        var choosers: [UInt64: [UInt64]] = [:]
        var left = relocationLimit
        // SHT_RELA; that of the table is the shorter one, and often has all.
        for section in elf.sections.filter({ $0.type == 4 }).sorted(by: { $0.size < $1.size })
        where names.count < slots.count {
            guard let entries = elf.contents(of: section, limit: min(limit, left)) else { continue }
            left -= entries.count
            for start in stride(from: 0, to: entries.count, by: 24) {
                guard let slot = entries.number(UInt64.self, at: start), slots.contains(slot),
                    let information = entries.number(UInt64.self, at: start + 8),
                    let addend = entries.number(UInt64.self, at: start + 16)
                else { continue }
                switch information & 0xffff_ffff {
                case 6, 7:  // R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT
                    names[slot] = name(of: Int(information >> 32))
                case 37:  // R_X86_64_IRELATIVE: the function there chooses one
                    choosers[addend, default: []].append(slot)
                    names[slot] = Array("*ABS*+0x\(String(addend, radix: 16))".utf8)
                default: break
                }
            }
        }
        guard !choosers.isEmpty else { return names }
        // Many symbols may be one function, which may choose for many slots: of the former the last one counts.
        var symbolOfChooser: [UInt64: Int] = [:]
        for symbol in 0..<symbols.count / 24 {
            guard let address = symbols.number(UInt64.self, at: symbol * 24 + 8), choosers[address] != nil
            else { continue }
            symbolOfChooser[address] = symbol
        }
        for (address, symbol) in symbolOfChooser {
            guard let name = name(of: symbol) else { continue }
            for slot in choosers[address] ?? [] { names[slot] = name }
        }
        return names
    }
}
