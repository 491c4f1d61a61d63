// SPDX-License-Identifier: Apache-2.0

extension SymbolIndexBuilder {
    /// Adds the functions of an ELF file's .symtab and .dynsym, whatever their sections are called.
    ///
    /// - Parameter bias: What to add to its addresses.
    mutating func add(_ elf: ELFFile, bias: UInt64 = 0) {
        // SHT_SYMTAB and SHT_DYNSYM; there is at most one of each.
        for type in [2, 11] as [UInt32] {
            guard let section = elf.sections.first(where: { $0.type == type }),
                elf.sections.indices.contains(Int(section.link))
            else { continue }
            let strings = elf.sections[Int(section.link)]
            // SHT_STRTAB
            guard strings.type == 3 else { continue }
            let names = NameTable(elf.source, at: strings.offset, size: strings.size)
            guard let table = add(names) else { return }
            add(section, of: elf, table: table, bias: bias)
        }
    }

    private mutating func add(_ section: ELFFile.Section, of elf: ELFFile, table: UInt8, bias: UInt64) {
        let fields = ELFFields(is64: elf.is64)
        let size = fields.symbolSize
        let available = elf.source.size.subtractingReportingOverflow(section.offset)
        guard !available.overflow else { return }
        // The most that is looked at, 16 million, is what a gigabyte of code has; a file can claim terabytes
        // that take no room on disk.
        let count = min(Int(clamping: min(section.size, available.partialValue)) / size, 1 << 24)
        guard budget.spend(UInt64(count * size) * ReadingBudget.Cost.symbols) else { return }
        reserve(count)
        let reader = SymbolReader(is64: elf.is64, code: elf.codeRanges(), bias: bias, table: table)
        let perRead = (1 << 18) / size
        var done = 0
        while done < count, !isFull {
            let wanted = min(perRead, count - done)
            let bytes = elf.source.bytes(at: section.offset + UInt64(done * size), upTo: wanted * size)
            // A file that became shorter.
            guard bytes.count >= size else { return }
            reader.read(bytes, into: &self)
            done += wanted
        }
    }

    /// The index of what was added, without labels that only mark places.
    consuming func finishELF() -> SymbolIndex {
        finish { name in
            guard let first = name.first else { return false }
            // "$x" and "$d" mark code and data for disassemblers (ELF for the Arm architecture, 5.5.5); ".L" is
            // for the assembler alone.
            return first != UInt8(ascii: "$") && !name.starts(with: ".L".utf8)
        }
    }
}

/// Picks functions out of a symbol table.
private struct SymbolReader {
    let is64: Bool
    let code: [Range<UInt64>]
    let bias: UInt64
    let table: UInt8

    /// Elf64_Sym or Elf32_Sym, one after the other.
    func read(_ bytes: [UInt8], into builder: inout SymbolIndexBuilder) {
        bytes.withUnsafeBytes { bytes in
            let size = is64 ? 24 : 16
            for start in stride(from: 0, through: bytes.count - size, by: size) {
                func field<Value: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _: Value.Type) -> Value
                {
                    Value(littleEndian: bytes.loadUnaligned(fromByteOffset: start + offset, as: Value.self))
                }
                let information = field(is64 ? 4 : 12, UInt8.self)
                let section = field(is64 ? 6 : 14, UInt16.self)
                guard let rank = rank(information, section: section) else { continue }
                let address = is64 ? field(8, UInt64.self) : UInt64(field(4, UInt32.self))
                let length = is64 ? field(16, UInt64.self) : UInt64(field(8, UInt32.self))
                if rank & SymbolRank.untyped != 0, !isCode(address) { continue }
                builder.add(
                    address: address &+ bias, size: length, name: field(0, UInt32.self), table: table,
                    rank: rank)
            }
        }
    }

    /// nil for what is no function: data, sections, files, thread-local variables, undefined and absolute ones.
    private func rank(_ information: UInt8, section: UInt16) -> UInt8? {
        // SHN_UNDEF, SHN_ABS, SHN_COMMON
        guard section != 0, section != 0xfff1, section != 0xfff2 else { return nil }
        let binding = information >> 4 == 0 ? SymbolRank.local : information >> 4 == 2 ? SymbolRank.weak : 0
        switch information & 0xf {
        case 2, 10: return binding  // STT_FUNC, STT_GNU_IFUNC
        case 0: return binding | SymbolRank.untyped
        default: return nil
        }
    }

    private func isCode(_ address: UInt64) -> Bool {
        var low = 0
        var high = code.count
        while low < high {
            let middle = (low + high) / 2
            if code[middle].lowerBound <= address { low = middle + 1 } else { high = middle }
        }
        return low > 0 && code[low - 1].contains(address)
    }
}
