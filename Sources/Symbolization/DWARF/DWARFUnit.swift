// SPDX-License-Identifier: Apache-2.0

/// Where a unit's parts of sections begin, which is not at 0 in a .dwp file (DWARF 5, 7.3.5).
struct DWARFContribution {
    var info: UInt64 = 0
    var abbreviations: UInt64 = 0
    var lines: UInt64 = 0
    var stringOffsets: UInt64 = 0
    var rangeLists: UInt64 = 0
}

/// A unit of .debug_info, as far as its first entry describes it.
final class DWARFUnit {
    let object: DWARFObject
    let header: DWARFUnitHeader
    let root: DWARFRootEntry
    /// In the executable, for a unit of a .dwo file: it has the addresses.
    let skeleton: DWARFUnit?
    let abbreviations: DWARFAbbreviations
    private let contribution: DWARFContribution

    /// Reads a unit's header and first entry; nil if they cannot be read.
    init?(
        _ object: DWARFObject, at offset: UInt64, skeleton: DWARFUnit? = nil,
        contribution: DWARFContribution = DWARFContribution()
    ) {
        guard let section = object.section(.info),
            let header = DWARFUnitHeader(section, at: offset),
            let table = object.abbreviations(at: contribution.abbreviations &+ header.abbreviations)
        else { return nil }
        self.object = object
        self.header = header
        self.skeleton = skeleton
        self.contribution = contribution
        abbreviations = table
        // Texts may be in the entry itself, as long as they like.
        var found: DWARFRootEntry?
        for count in [1 << 12, 1 << 20] where found == nil {
            var cursor = section.cursor(at: header.entries, upTo: count)
            if cursor.position <= header.end { cursor.limit(to: header.end) }
            guard let abbreviation = table[cursor.unsigned()], object.budget.spend(DWARFBudget.Cost.unit)
            else { return nil }
            let entry = DWARFRootEntry(&cursor, abbreviation, table, header.encoding)
            if !cursor.failed { found = entry }
        }
        guard let found else { return nil }
        root = found
    }

    private var isSplit: Bool { skeleton != nil }

    /// What joins it with its skeleton or split unit.
    var splitID: UInt64? { header.splitID ?? (root.splitID.exists ? root.splitID.number : nil) }

    var name: String? { text(root.name) }
    /// A split unit's is with the skeleton.
    var directory: String? { text(root.compilationDirectory) ?? skeleton?.directory }

    /// Where the addresses of range lists count from.
    private(set) lazy var base: UInt64 = address(root.lowPC) ?? skeleton?.base ?? 0

    /// Where the line program is; nil if there is none.
    var lineProgram: UInt64? {
        root.statementList.exists ? contribution.lines &+ root.statementList.number : nil
    }

    /// The size of the headers of .debug_str_offsets and .debug_addr in version 5 (7.26, 7.27).
    private var tableHeader: UInt64 {
        header.encoding.version < 5 ? 0 : header.encoding.is64 ? 16 : 8
    }

    // MARK: Texts

    /// A text; nil if there is none (DWARF 5, 7.5.5).
    func text(_ value: DWARFValue) -> String? {
        switch value.form {
        case DWARFForm.string: return object.section(.info)?.text(at: value.number)
        case DWARFForm.stringOffset: return object.section(.strings)?.text(at: value.number)
        case DWARFForm.lineStringOffset: return object.section(.lineStrings)?.text(at: value.number)
        case DWARFForm.stringIndex, DWARFForm.gnuStringIndex,
            DWARFForm.stringIndex1...DWARFForm.stringIndex4:
            return indexedText(value.number)
        case DWARFForm.supplementString, DWARFForm.gnuStringAlternate:
            return object.alternate?.section(.strings)?.text(at: value.number)
        default: return nil
        }
    }

    private func indexedText(_ index: UInt64) -> String? {
        let base =
            root.stringOffsetsBase.exists
            ? root.stringOffsetsBase.number
            : contribution.stringOffsets &+ tableHeader
        guard
            let offset = object.section(.stringOffsets)?
                .number(base: base, index: index, size: header.encoding.offsetSize)
        else { return nil }
        return object.section(.strings)?.text(at: offset)
    }

    // MARK: Addresses

    /// An address; nil if the value is none (DWARF 5, 7.5.5, 7.27).
    func address(_ value: DWARFValue) -> UInt64? {
        guard value.isAddress else { return nil }
        return value.form == DWARFForm.address ? value.number : address(index: value.number)
    }

    /// An entry of .debug_addr.
    func address(index: UInt64) -> UInt64? {
        if let skeleton { return skeleton.address(index: index) }
        let base = root.addressBase.exists ? root.addressBase.number : tableHeader
        return object.section(.addresses)?.number(base: base, index: index, size: header.encoding.addressSize)
    }

    /// Where a range list is: the section and the offset in it (DWARF 5, 2.17.3, 7.28).
    func rangeList(_ value: DWARFValue, isRoot: Bool) -> (section: DWARFSection, offset: UInt64)? {
        guard header.encoding.version >= 5 else {
            // Those of GNU's split units are in the executable, and count from a base there.
            let base = isRoot ? 0 : skeleton?.root.gnuRangesBase.number ?? 0
            return (skeleton ?? self).object.section(.ranges).map { ($0, base &+ value.number) }
        }
        guard let section = object.section(.rangeLists) else { return nil }
        let headerSize: UInt64 = header.encoding.is64 ? 20 : 12
        let base =
            root.rangeListsBase.exists ? root.rangeListsBase.number : contribution.rangeLists &+ headerSize
        guard value.form == DWARFForm.rangeListIndex else {
            return (section, isSplit ? contribution.rangeLists &+ value.number : value.number)
        }
        let size = header.encoding.offsetSize
        return section.number(base: base, index: value.number, size: size).map { (section, base &+ $0) }
    }

    // MARK: Entries

    /// Reads an entry of this unit; nil if there is none at that offset.
    func entry(at offset: UInt64) -> DWARFEntry? {
        guard offset >= header.entries, offset < header.end, let section = object.section(.info) else {
            return nil
        }
        for count in [1 << 9, 1 << 18] {
            var cursor = section.cursor(at: offset, upTo: count)
            if cursor.position + UInt64(cursor.remaining) > header.end { cursor.limit(to: header.end) }
            guard let abbreviation = abbreviations[cursor.unsigned()] else { return nil }
            let entry = DWARFEntry(&cursor, abbreviation, abbreviations, header.encoding)
            if !cursor.failed { return entry }
        }
        return nil
    }

    /// What a reference points to: an entry of this object, or of the alternate one (DWARF 5, 7.5.5).
    func target(_ value: DWARFValue) -> (object: DWARFObject, offset: UInt64)? {
        switch value.form {
        case DWARFForm.reference1, DWARFForm.reference2, DWARFForm.reference4, DWARFForm.reference8,
            DWARFForm.referenceUnsigned:
            return (object, header.offset &+ value.number)
        case DWARFForm.referenceAddress: return (object, contribution.info &+ value.number)
        case DWARFForm.gnuReferenceAlternate, DWARFForm.supplementReference4,
            DWARFForm.supplementReference8:
            return object.alternate.map { ($0, value.number) }
        default: return nil
        }
    }
}
