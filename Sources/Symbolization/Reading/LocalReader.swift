// SPDX-License-Identifier: Apache-2.0

/// Reads files of code in this process.
package final class LocalReader: CodeReader {
    private let lines: (any LineProvider)?
    private let demangler: Demangler?
    private let memoryLimit: Int
    private var modules: [Int: ModuleSymbols] = [:]
    private var clock: UInt64 = 0
    /// Whether something was read since the limit was last looked at.
    private var hasGrown = false
    private var counts = ReaderEffort()
    /// What reading the symbols of all files may cost.
    private let budget = ReadingBudget()

    /// - Parameters:
    ///   - options: The limit of memory is that of symbols and names; lines have one of their own.
    ///   - lines: What knows source lines; without it there are none, and inlined functions are missing.
    ///   - leavesRiskyNames: Names that only a process of their own may demangle stay as they are, marked:
    ///     see `RiskyNames`.
    package init(
        _ options: SymbolizerOptions = SymbolizerOptions(), lines: (any LineProvider)? = nil,
        leavesRiskyNames: Bool = false
    ) {
        memoryLimit = options.memoryLimit
        self.lines = lines
        demangler = options.demangle ? Demangler(leavesRiskyNames: leavesRiskyNames) : nil
    }

    package func facts(of source: ByteSource) -> CodeFileFacts? { ELFFile(source).map(CodeFileFacts.init) }

    package func names(at places: [CodePlace]) -> [NamedPlace] { places.map(name) }

    package func forget(module number: Int) { modules[number] = nil }

    package var effort: ReaderEffort {
        var result = counts
        result.bytesHeld = bytesHeld
        return result
    }

    private var bytesHeld: Int { modules.values.reduce(0) { $0 + $1.bytesHeld } }

    private func name(_ place: CodePlace) -> NamedPlace {
        clock += 1
        let module = symbols(of: place.module)
        module.lastUse = clock
        let function = module.function(at: place.address, reading)
        let first = NamedPlace.Name(function: function?.name)
        var result = NamedPlace(offset: function?.offset, names: [first])
        if let lines {
            result.names = named(first, lines.lines(module: module.identity, address: place.address))
        }
        enforceLimit()
        return result
    }

    private func symbols(of module: Module) -> ModuleSymbols {
        if let known = modules[module.number] { return known }
        let made = ModuleSymbols(module)
        modules[module.number] = made
        return made
    }

    private func named(
        _ name: NamedPlace.Name, _ lines: [(function: String?, file: String, line: Int, inlined: Bool)]
    ) -> [NamedPlace.Name] {
        guard !lines.isEmpty else { return [name] }
        return lines.map { line in
            var result = name
            result.isInlined = line.inlined
            result.file = line.file
            result.line = line.line > 0 ? line.line : nil
            // The symbol's name has more in it than the one in DWARF, which may lack what it is part of.
            if line.inlined || name.function == nil {
                result.function = line.function.map { name in demangler?.text(of: Array(name.utf8)) ?? name }
            }
            return result
        }
    }

    private var reading: SymbolReading {
        SymbolReading(
            demangler: demangler, symbolLimit: Self.symbolLimit(memoryLimit), budget: budget
        ) { [self] count in
            counts.symbolsIndexed += count
            hasGrown = true
        }
    }

    /// How many symbols one file may have, so that it cannot push out all others.
    static func symbolLimit(_ memoryLimit: Int) -> Int {
        max(memoryLimit, 0) / 4 / MemoryLayout<SymbolIndex.Symbol>.stride
    }

    /// Gives up indexes, the least recently used first, until what is left is below the limit.
    private func enforceLimit() {
        // Names come one by one: it is enough to count them sometimes.
        guard hasGrown || clock & 0xfff == 0 else { return }
        hasGrown = false
        var held = bytesHeld
        guard held > memoryLimit else { return }
        for module in modules.values.sorted(by: { $0.lastUse < $1.lastUse })
        where module.bytesHeld > 0 && held > memoryLimit / 4 * 3 {
            held -= module.bytesHeld
            module.dropIndex()
            counts.evictions += 1
        }
    }
}
