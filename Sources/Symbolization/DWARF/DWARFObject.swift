// SPDX-License-Identifier: Apache-2.0

/// The DWARF of one file: its sections, its units, its abbreviation tables and the names found so far.
final class DWARFObject {
    /// The sections that are read. The name of each is `.debug_` and this, or `.zdebug_` and this.
    enum Kind: String, CaseIterable {
        case info
        case abbreviations = "abbrev"
        case lines = "line"
        case strings = "str"
        case lineStrings = "line_str"
        case stringOffsets = "str_offsets"
        case addresses = "addr"
        case ranges
        case rangeLists = "rnglists"
        case addressRanges = "aranges"
        case unitIndex = "cu_index"
    }

    private enum Section {
        case unread(ELFFile.Section, isGNUCompressed: Bool)
        case read(DWARFSection)
    }

    let file: DWARFFile
    let budget: DWARFBudget
    private let is64: Bool
    private let fileSize: UInt64
    private var sections: [Kind: Section] = [:]
    /// Bytes that sections may still be decompressed to.
    private var memoryLeft: Int
    /// By offset of the table.
    private var abbreviations: [UInt64: DWARFAbbreviations] = [:]
    private var abbreviationBytes = 0
    /// By offset of the entry; nil for one without a name.
    private var names: [UInt64: String?] = [:]
    private(set) var nameBytes = 0
    private static let maximumCacheBytes = 16 << 20
    /// Offsets of the units' headers, ascending.
    private(set) lazy var units: [UInt64] = DWARFUnitHeader.offsets(in: self)
    /// The one where an entry was looked for last.
    var recentUnit: DWARFUnit?
    private var alternateLink: (name: String, buildID: [UInt8])?
    private var openedAlternate: DWARFObject?

    /// Looks for sections; nil if there is no .debug_info.
    /// - Parameters:
    ///   - isSplit: Take the sections whose names end in .dwo.
    ///   - memoryLimit: How many bytes sections may be decompressed to.
    init?(_ file: DWARFFile, headers: ELFFile, isSplit: Bool = false, budget: DWARFBudget, memoryLimit: Int) {
        self.file = file
        self.budget = budget
        is64 = headers.is64
        fileSize = headers.source.size
        memoryLeft = memoryLimit
        let end = isSplit ? ".dwo" : ""
        alternateLink = Self.alternateLink(headers)
        for kind in Kind.allCases {
            // The index of a package describes .dwo sections, but is none.
            let name = kind == .unitIndex ? kind.rawValue : kind.rawValue + end
            if let section = headers.section(named: ".debug_" + name) {
                sections[kind] = .unread(section, isGNUCompressed: false)
            } else if let section = headers.section(named: ".zdebug_" + name) {
                sections[kind] = .unread(section, isGNUCompressed: true)
            }
        }
        guard case .unread(let info, _)? = sections[.info], info.type != 8, info.size > 0 else { return nil }
    }

    /// A section; nil if it is not there or cannot be decompressed.
    func section(_ kind: Kind) -> DWARFSection? {
        switch sections[kind] {
        case nil: return nil
        case .read(let section)?: return section
        case .unread(let header, let isGNUCompressed)?:
            sections[kind] = nil
            // SHT_NOBITS has no bytes; none of them may lie outside the file.
            guard header.type != 8, header.offset <= fileSize, header.size <= fileSize - header.offset,
                let section = open(header, isGNUCompressed: isGNUCompressed)
            else { return nil }
            sections[kind] = .read(section)
            return section
        }
    }

    private func open(_ header: ELFFile.Section, isGNUCompressed: Bool) -> DWARFSection? {
        // SHF_COMPRESSED
        guard isGNUCompressed || header.flags & 0x800 != 0 else {
            return DWARFSection(file, start: header.offset, size: header.size, budget: budget)
        }
        let raw = DWARFSection(file, start: header.offset, size: header.size, budget: budget)
        let compression = ELFCompression(is64: is64, isGNU: isGNUCompressed) { raw.number(at: $0, size: $1) }
        guard let compression, header.size >= compression.start, compression.size <= UInt64(memoryLeft),
            budget.spend(Int(compression.size) * DWARFBudget.Cost.byte),
            let bytes = compression.expand(header, file.read)
        else { return nil }
        memoryLeft -= bytes.count
        return DWARFSection(bytes)
    }

    /// The name of the file that dwz moved common parts to, and its build ID, which follows the zero.
    private static func alternateLink(_ headers: ELFFile) -> (name: String, buildID: [UInt8])? {
        guard let section = headers.section(named: ".gnu_debugaltlink"),
            let bytes = headers.contents(of: section, limit: 1 << 13)
        else { return nil }
        let name = bytes.string(at: 0)
        let buildID = Array(bytes.dropFirst(name.count + 1))
        return name.isEmpty || buildID.isEmpty ? nil : (String(decoding: name, as: UTF8.self), buildID)
    }

    /// The file that .gnu_debugaltlink names; nil if it is not there.
    var alternate: DWARFObject? {
        if let openedAlternate { return openedAlternate }
        guard let (name, buildID) = alternateLink, let related = file.neighbour(name) else { return nil }
        // Only one attempt, whatever becomes of it.
        alternateLink = nil
        guard let other = DWARFFile(related, file.others), let headers = other.headers(),
            headers.buildID == buildID
        else { return nil }
        let object = DWARFObject(other, headers: headers, budget: budget, memoryLimit: memoryLeft / 2)
        // Its own link would lead on and on.
        object?.alternateLink = nil
        openedAlternate = object
        return object
    }

    // MARK: Caches

    /// The abbreviation table at an offset; nil if it cannot be read.
    func abbreviations(at offset: UInt64) -> DWARFAbbreviations? {
        if let known = abbreviations[offset] { return known }
        guard let section = section(.abbreviations),
            let table = DWARFAbbreviations(section, at: offset, budget: budget)
        else { return nil }
        if abbreviationBytes > Self.maximumCacheBytes {
            abbreviations = [:]
            abbreviationBytes = 0
        }
        abbreviations[offset] = table
        abbreviationBytes += table.bytesHeld
        return table
    }

    /// The name that was stored for an entry.
    func knownName(_ entry: UInt64) -> String?? { names[entry] }

    func store(name: String?, for entry: UInt64) {
        if nameBytes > Self.maximumCacheBytes {
            names = [:]
            nameBytes = 0
        }
        names[entry] = .some(name)
        nameBytes += 64 + (name?.utf8.count ?? 0)
    }

    /// An estimate of the memory that is taken, without that of the units' index.
    var bytesHeld: Int {
        var bytes = abbreviationBytes + nameBytes
        for case .read(let section) in sections.values { bytes += section.bytesHeld }
        return bytes + (openedAlternate?.bytesHeld ?? 0)
    }

    /// Ends a lookup: what is lent goes back.
    func release() {
        file.release()
        for case .read(let section) in sections.values { section.forgetWindow() }
        // It refers to this object.
        recentUnit = nil
        openedAlternate?.release()
    }

    /// How often bytes were fetched.
    var reads: Int { file.reads + (openedAlternate?.reads ?? 0) }
}

/// Up to the last slash, with it.
func directory(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
}
