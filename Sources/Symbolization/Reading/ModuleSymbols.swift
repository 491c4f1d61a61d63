// SPDX-License-Identifier: Apache-2.0

/// The functions of one module, read when one is first asked for.
final class ModuleSymbols {
    private let source: ByteSource
    private let identityBase: (number: Int, path: String, buildID: String?)
    private let place: FilePlace?
    private var debugFile: DebugFile?
    private var index: SymbolIndex?
    private var names: [Int: String?] = [:]
    private var nameBytes = 0
    /// Symbols that may still be read. An index that is given up to save memory is made again, but not for ever: a few
    /// large files whose addresses come in turn push out each other.
    private var symbolsLeft = 1 << 26

    /// Set by the owner at each use, to find what was not used for longest.
    var lastUse: UInt64 = 0

    init(_ module: Module) {
        source = module.source
        place = module.place
        debugFile = module.debugFile
        identityBase = (module.number, module.path, module.buildID)
    }

    /// For a line provider. A debug file whose checksum is not known yet is left out: reading the index
    /// compares it.
    var identity: ModuleIdentity {
        var descriptor: Int32 = -1
        if case .file(let file) = source { descriptor = file.descriptor }
        let debug = debugFile.flatMap { $0.checksum == nil ? $0.file.descriptor : nil }
        return ModuleIdentity(
            number: identityBase.number, path: identityBase.path, buildID: identityBase.buildID,
            file: descriptor, debugFile: debug, place: place,
            debugPlace: place.flatMap { place in
                debugFile?.path.map { FilePlace(root: place.root, path: $0) }
            })
    }

    /// Bytes of memory that symbols and names take.
    var bytesHeld: Int { (index?.bytesHeld ?? 0) + nameBytes }

    /// The name of the function at an address of the file, and how far into it that is.
    ///
    /// The name is nil if the string table is damaged; the result if there is no function.
    func function(at address: UInt64, _ reader: SymbolReading) -> (name: String?, offset: UInt64)? {
        let index = self.index ?? readIndex(reader)
        guard let number = index.find(address) else { return nil }
        return (name(of: number, in: index, reader.demangler), address - index.symbols[number].address)
    }

    /// Gives up what can be read again.
    func dropIndex() {
        index = nil
        names = [:]
        nameBytes = 0
    }

    private func name(of number: Int, in index: SymbolIndex, _ demangler: Demangler?) -> String? {
        if let known = names[number] { return known }
        let name = index.name(of: number).map {
            demangler?.text(of: $0) ?? String(decoding: $0, as: UTF8.self)
        }
        names.updateValue(name, forKey: number)
        nameBytes += 64 + (name?.utf8.count ?? 0)
        return name
    }

    private func readIndex(_ reader: SymbolReading) -> SymbolIndex {
        let made = symbolsLeft > 0 ? makeIndex(reader) : .empty
        index = made
        symbolsLeft -= made.symbols.count
        reader.indexed(made.symbols.count)
        return made
    }

    private func makeIndex(_ reader: SymbolReading) -> SymbolIndex {
        // It was read before, but a file can be overwritten in place.
        guard let elf = ELFFile(source) else { return .empty }
        var builder = SymbolIndexBuilder(
            limit: reader.symbolLimit, code: elf.codeRanges(), budget: reader.budget)
        builder.add(elf)
        builder.addLinkageStubs(elf)
        if !elf.hasSymbols { builder.addGoFunctions(elf) }
        // Symbols that the distribution left in for stack traces (GDB manual, "MiniDebugInfo").
        let mostUnpacked = min(1 << 26, reader.symbolLimit * 24)
        if let section = elf.section(named: ".gnu_debugdata"),
            let packed = elf.contents(of: section, limit: 1 << 24),
            // Text is packed to a tenth, nothing to a ten-thousandth.
            reader.budget.spend(
                min(UInt64(mostUnpacked), UInt64(packed.count) * 10_000) * ReadingBudget.Cost.unpacked),
            let bytes = decompressXZ(packed, limit: mostUnpacked), let inner = ELFFile(.memory(bytes))
        {
            builder.add(inner)
        }
        let path = debugFile?.path
        debugFile = debugFile?.verified(reader.budget).map {
            DebugFile(file: $0, checksum: nil, path: path)
        }
        if let debug = debugFile?.file, let other = ELFFile(.file(debug)) {
            // Prelinking moves the file, but not its debug file.
            let bias = SegmentMap(elf).base.flatMap { base in SegmentMap(other).base.map { base &- $0 } } ?? 0
            builder.add(other, bias: bias)
        }
        return builder.finishELF()
    }
}

/// What is needed to read symbols.
struct SymbolReading {
    /// nil to leave names as they are.
    let demangler: Demangler?
    /// How many symbols to take from one module at most.
    let symbolLimit: Int
    /// What all modules may cost.
    var budget = ReadingBudget()
    /// Told how many symbols an index has that was made.
    let indexed: (Int) -> Void
}
