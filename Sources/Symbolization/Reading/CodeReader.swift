// SPDX-License-Identifier: Apache-2.0

/// What reads files of code for a symbolizer: this process itself (`LocalReader`), or one without privileges.
///
/// The files belong to whoever made them, and may say anything.
package protocol CodeReader: AnyObject {
    /// What a file says of itself; nil if it is no ELF file, or could not be read.
    func facts(of source: ByteSource) -> CodeFileFacts?

    /// Names of addresses of modules, one result for each place, in their order.
    func names(at places: [CodePlace]) -> [NamedPlace]

    /// Gives up what is held for a module: there will be no more questions about this number.
    func forget(module number: Int)

    /// What was done so far and is held now.
    var effort: ReaderEffort { get }
}

/// What an ELF file says of itself at first sight.
package struct CodeFileFacts: Sendable {
    /// NT_GNU_BUILD_ID, at most 64 bytes; nil if it has none.
    package var buildID: [UInt8]?
    /// Whether its own symbol table and its own DWARF are there.
    package var isComplete: Bool
    /// Those that are loaded (PT_LOAD).
    package var segments: [ELFFile.Segment]
    /// The name and CRC-32 of the separate debug file, from .gnu_debuglink.
    package var debugLink: DebugLink?

    package struct DebugLink: Sendable, Equatable {
        package var name: String
        package var checksum: UInt32

        package init(name: String, checksum: UInt32) {
            self.name = name
            self.checksum = checksum
        }
    }

    package init(buildID: [UInt8]?, isComplete: Bool, segments: [ELFFile.Segment], debugLink: DebugLink?) {
        self.buildID = buildID
        self.isComplete = isComplete
        self.segments = segments
        self.debugLink = debugLink
    }

    package init(_ elf: ELFFile) {
        buildID = elf.buildID
        isComplete = elf.hasSymbols && elf.hasDebugInformation
        segments = elf.segments.filter(\.isLoaded)
        debugLink = elf.debugLink.map { DebugLink(name: $0.name, checksum: $0.checksum) }
    }
}

/// An address of a module, as its file counts.
package struct CodePlace {
    package let module: Module
    package let address: UInt64

    package init(module: Module, address: UInt64) {
        self.module = module
        self.address = address
    }
}

/// What is known of an address: the functions that it is in, innermost first. All but the last are inlined.
package struct NamedPlace: Equatable, Sendable {
    package struct Name: Equatable, Sendable {
        /// Demangled, if that is wanted; nil if there is none.
        package var function: String?
        package var file: String?
        package var line: Int?
        package var isInlined: Bool

        package init(function: String? = nil, file: String? = nil, line: Int? = nil, isInlined: Bool = false)
        {
            self.function = function
            self.file = file
            self.line = line
            self.isInlined = isInlined
        }
    }

    /// From the start of the function that is not inlined, in bytes; nil if there is no such function.
    package var offset: UInt64?
    /// Never none.
    package var names: [Name]

    package init(offset: UInt64? = nil, names: [Name] = [Name()]) {
        self.offset = offset
        self.names = names
    }
}

package struct ReaderEffort: Equatable, Sendable {
    /// Symbols put into indexes so far.
    package var symbolsIndexed = 0
    /// Indexes given up to stay below the limit of memory.
    package var evictions = 0
    /// An estimate of the memory that is taken now.
    package var bytesHeld = 0

    package init(symbolsIndexed: Int = 0, evictions: Int = 0, bytesHeld: Int = 0) {
        self.symbolsIndexed = symbolsIndexed
        self.evictions = evictions
        self.bytesHeld = bytesHeld
    }
}
