// SPDX-License-Identifier: Apache-2.0

@testable import Symbolization

/// An ELF file made by hand: code from 0x1000 to 0x2000, in 64 or 32 bits.
struct ELFImage {
    struct Symbol {
        var name: String
        var value: UInt64
        var size: UInt64 = 0
        /// STT_FUNC
        var type: UInt8 = 2
        /// STB_GLOBAL
        var binding: UInt8 = 1
        var section: UInt16 = 1
        /// Where its name is said to be; nil for where it is.
        var namePlace: UInt32?
    }

    var symbols: [Symbol]
    var is64 = true
    /// Write the counts where those go that are too large for the header.
    var usesExtendedCounts = false

    var index: SymbolIndex? {
        guard let elf = ELFFile(.memory(bytes)) else { return nil }
        var builder = SymbolIndexBuilder(limit: 1 << 16, code: elf.codeRanges())
        builder.add(elf)
        return builder.finishELF()
    }

    /// The name at an address, "" if there is none.
    func name(at address: UInt64) -> String {
        guard let index, let number = index.find(address), let name = index.name(of: number) else {
            return ""
        }
        return String(decoding: name, as: UTF8.self)
    }

    var bytes: [UInt8] {
        var strings: [UInt8] = [0]
        var table = [UInt8](repeating: 0, count: is64 ? 24 : 16)
        for symbol in symbols {
            table += entry(symbol, name: strings.count)
            strings += symbol.name.utf8 + [0]
        }
        let sectionNames: [UInt8] = Array("\0.text\0.symtab\0.strtab\0.shstrtab\0".utf8)
        let headSize = is64 ? 64 : 52
        let tablePlace = 0x1000 + 16
        let stringPlace = tablePlace + table.count
        let namePlace = stringPlace + strings.count
        let sectionPlace = (namePlace + sectionNames.count + 7) & ~7
        var sections = section(
            0, 0, 0, 0, 0, size: usesExtendedCounts ? 5 : 0, link: usesExtendedCounts ? 4 : 0)
        sections += section(1, 1, 6, 0x1000, 0x1000, size: 0x1000, link: 0)
        sections += section(7, 2, 0, 0, tablePlace, size: table.count, link: 3)
        sections += section(15, 3, 0, 0, stringPlace, size: strings.count, link: 0)
        sections += section(23, 3, 0, 0, namePlace, size: sectionNames.count, link: 0)
        var result = head(sectionPlace) + segment()
        precondition(result.count <= 0x1000 && headSize < result.count)
        result += [UInt8](repeating: 0, count: tablePlace - result.count) + table + strings + sectionNames
        return result + [UInt8](repeating: 0, count: sectionPlace - result.count) + sections
    }

    private func head(_ sections: Int) -> [UInt8] {
        var result: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, 1, 1] + [UInt8](repeating: 0, count: 9)
        result +=
            half(3) + half(62) + four(1) + word(0) + word(is64 ? 64 : 52) + word(UInt64(sections)) + four(0)
        result += half(is64 ? 64 : 52) + half(is64 ? 56 : 32) + half(1)
        result +=
            half(is64 ? 64 : 40) + half(usesExtendedCounts ? 0 : 5) + half(usesExtendedCounts ? 0xffff : 4)
        return result
    }

    private func segment() -> [UInt8] {
        let place = word(0x1000) + word(0x1000) + word(0x1000) + word(0x1000) + word(0x1000)
        return is64 ? four(1) + four(5) + place + word(0x1000) : four(1) + place + four(5) + word(0x1000)
    }

    private func section(
        _ name: Int, _ type: UInt32, _ flags: UInt64, _ address: UInt64, _ offset: Int, size: Int,
        link: UInt32
    ) -> [UInt8] {
        four(UInt32(name)) + four(type) + word(flags) + word(address) + word(UInt64(offset))
            + word(UInt64(size))
            + four(link) + four(0) + word(1) + word(0)
    }

    private func entry(_ symbol: Symbol, name: Int) -> [UInt8] {
        let kind = [symbol.binding << 4 | symbol.type, 0] + half(symbol.section)
        return is64
            ? four(symbol.namePlace ?? UInt32(name)) + kind + word(symbol.value) + word(symbol.size)
            : four(symbol.namePlace ?? UInt32(name)) + word(symbol.value) + word(symbol.size) + kind
    }

    private func half(_ value: UInt16) -> [UInt8] { bytes(of: value) }
    private func four(_ value: UInt32) -> [UInt8] { bytes(of: value) }
    private func word(_ value: UInt64) -> [UInt8] { is64 ? bytes(of: value) : bytes(of: UInt32(value)) }

    private func bytes(of value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }
}
