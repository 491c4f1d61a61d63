// SPDX-License-Identifier: Apache-2.0
internal import Symbolization

/// A function that a file defines.
struct DefinedFunction: Hashable {
    let name: String
    /// As the file counts.
    let address: UInt64
    let size: UInt64
}

/// Finds functions in the symbol tables of an ELF file by their names.
struct FunctionTable {
    private let elf: ELFFile

    /// A table of names is read at once; the largest known have some 100 MB.
    private static let mostNameBytes = 1 << 28
    /// What a gigabyte of code has; a file can claim terabytes that take no room on disk.
    private static let mostEntries = 1 << 24

    init(_ elf: ELFFile) { self.elf = elf }

    /// Functions with the wanted names, each once.
    ///
    /// A file that is position-independent has those as local ones that it keeps to itself (visibility "hidden"), as
    /// the malloc of glibc is in a static executable. Any source file may have local functions of these names: they
    /// count if no other one has the name, and if they are not alone.
    /// - Parameter most: how many to find; what the table has behind these is left out.
    func functions(
        _ isWanted: (String) -> Bool, lengths: ClosedRange<Int>, most: Int = .max
    ) -> [DefinedFunction] {
        var found: [DefinedFunction] = []
        var local: [DefinedFunction] = []
        var known: Set<DefinedFunction> = []
        var knownLocal: Set<DefinedFunction> = []
        forEach { entry in
            guard lengths.contains(entry.name.count), max(found.count, local.count) < most else { return }
            let function = entry.function
            guard isWanted(function.name) else { return }
            if entry.isLocal {
                if knownLocal.insert(function).inserted { local.append(function) }
            } else if known.insert(function).inserted {
                found.append(function)
            }
        }
        let localNames = Set(local.map(\.name))
        guard !found.isEmpty || localNames.count >= Self.fewestLocal else { return [] }
        let names = Set(found.map(\.name))
        return found + local.filter { !names.contains($0.name) }
    }

    /// So many names of an allocator are no coincidence.
    private static let fewestLocal = 3

    private func scanEntries(
        _ section: ELFFile.Section, _ names: [UInt8], _ body: (SymbolEntry) -> Void
    ) {
        let entry = 24
        let perRead = 1 << 14
        var offset = section.offset
        var left = min(Int(clamping: section.size) / entry, Self.mostEntries)
        while left > 0 {
            let bytes = elf.source.bytes(at: offset, upTo: min(left, perRead) * entry)
            let count = bytes.count / entry
            guard count > 0 else { return }
            bytes.withUnsafeBytes { bytes in
                names.withUnsafeBytes { names in
                    for start in stride(from: 0, to: count * entry, by: entry) {
                        if let entry = SymbolEntry(bytes, start, names) { body(entry) }
                    }
                }
            }
            offset += UInt64(count * entry)
            left -= count
        }
    }

    /// Calls `body` with every function that the file defines, those of one source file included, as often as it has
    /// names.
    func forEach(_ body: (SymbolEntry) -> Void) {
        // SHT_SYMTAB and SHT_DYNSYM; there is at most one of each.
        for type in [2, 11] as [UInt32] {
            guard let section = elf.sections.first(where: { $0.type == type }),
                elf.sections.indices.contains(Int(section.link))
            else { continue }
            let strings = elf.sections[Int(section.link)]
            guard strings.type == 3, let names = elf.contents(of: strings, limit: Self.mostNameBytes) else {
                continue
            }
            scanEntries(section, names) { if $0.isFunction { body($0) } }
        }
    }
}

/// An entry of a symbol table that defines something (Elf64_Sym).
struct SymbolEntry {
    /// Valid during the call that hands it out. Names that are longer than 256 bytes are cut.
    let name: UnsafeRawBufferPointer
    let address: UInt64
    let size: UInt64
    private let information: UInt8

    private static let mostNameBytes = 256

    /// nil for what is not defined in this file, or has no name.
    init?(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ names: UnsafeRawBufferPointer) {
        information = bytes[start + 4]
        let section = bytes.loadUnaligned(fromByteOffset: start + 6, as: UInt16.self)
        // SHN_UNDEF, and reserved numbers but SHN_XINDEX
        guard section != 0, section < 0xff00 || section == 0xffff else { return nil }
        let name = Int(bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self))
        guard name < names.count else { return nil }
        var end = name
        while end < names.count, names[end] != 0, end - name < Self.mostNameBytes { end += 1 }
        guard end > name else { return nil }
        self.name = UnsafeRawBufferPointer(rebasing: names[name..<end])
        address = bytes.loadUnaligned(fromByteOffset: start + 8, as: UInt64.self)
        size = bytes.loadUnaligned(fromByteOffset: start + 16, as: UInt64.self)
    }

    /// STT_FUNC
    var isFunction: Bool { information & 0xf == 2 }
    /// STB_LOCAL
    var isLocal: Bool { information >> 4 == 0 }

    var function: DefinedFunction {
        DefinedFunction(name: String(decoding: name, as: UTF8.self), address: address, size: size)
    }
}
