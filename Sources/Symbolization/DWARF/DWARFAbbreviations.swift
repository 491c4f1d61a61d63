// SPDX-License-Identifier: Apache-2.0

/// One abbreviation table: what entries of each kind consist of (DWARF 5, 7.5.3).
final class DWARFAbbreviations {
    struct Attribute {
        var name: UInt16
        var form: UInt16
        /// The value of DW_FORM_implicit_const.
        var constant: Int64
    }

    struct Abbreviation {
        var tag: UInt16
        var hasChildren: Bool
        /// Entries of this kind all have the same size: so many bytes, addresses, offsets and references.
        var isFixed: Bool
        var bytes: UInt16 = 0
        var addresses: UInt16 = 0
        var offsets: UInt16 = 0
        var references: UInt16 = 0
        var attributes: Range<Int>

        /// The size of an entry without its code; nil if it is not always the same.
        func size(_ encoding: DWARFEncoding) -> UInt64? {
            guard isFixed else { return nil }
            let reference = encoding.referenceSize
            return UInt64(
                Int(bytes) + Int(addresses) * encoding.addressSize + Int(offsets) * encoding.offsetSize
                    + Int(references) * reference)
        }
    }

    private(set) var attributes: [Attribute] = []
    private var entries: [Abbreviation] = []
    /// By code, where codes are not 1, 2, 3 and so on.
    private var others: [UInt64: Int] = [:]

    /// Reads the table at an offset; nil if there is none.
    init?(_ section: DWARFSection, at offset: UInt64, budget: DWARFBudget) {
        guard offset < section.size else { return nil }
        // Where a table ends is known afterwards only.
        for count in [1 << 12, 1 << 16, 1 << 22] {
            var cursor = section.cursor(at: offset, upTo: count)
            let size = cursor.remaining
            guard budget.spend(size * DWARFBudget.Cost.byte) else { return nil }
            if read(&cursor) { return }
            guard size == count else { break }
        }
        if entries.isEmpty { return nil }
    }

    var bytesHeld: Int { attributes.count * 16 + entries.count * 32 + others.count * 32 }

    subscript(code: UInt64) -> Abbreviation? {
        if code <= UInt64(entries.count), code > 0, others.isEmpty { return entries[Int(code) - 1] }
        return others[code].map { entries[$0] }
    }

    /// Reads entries up to the zero that ends the table; false if it is cut.
    private func read(_ cursor: inout DWARFCursor) -> Bool {
        attributes = []
        entries = []
        others = [:]
        while entries.count < DWARFLimits.abbreviations {
            let code = cursor.unsigned()
            if code == 0 { return !cursor.failed }
            guard let entry = readEntry(&cursor) else { return false }
            if others.isEmpty, code != UInt64(entries.count) + 1 {
                for index in entries.indices { others[UInt64(index) + 1] = index }
            }
            if code != UInt64(entries.count) + 1 || !others.isEmpty { others[code] = entries.count }
            entries.append(entry)
        }
        return true
    }

    private func readEntry(_ cursor: inout DWARFCursor) -> Abbreviation? {
        let tag = UInt16(truncatingIfNeeded: cursor.unsigned())
        let hasChildren = cursor.byte() != 0
        let first = attributes.count
        var entry = Abbreviation(
            tag: tag, hasChildren: hasChildren, isFixed: true, attributes: first..<first)
        while attributes.count - first < DWARFLimits.attributes {
            let name = cursor.unsigned()
            let form = cursor.unsigned()
            let constant = form == UInt64(DWARFForm.implicitConstant) ? cursor.signed() : 0
            if cursor.failed { return nil }
            if name == 0, form == 0 {
                entry.attributes = first..<attributes.count
                return entry
            }
            let attribute = Attribute(
                name: UInt16(exactly: name) ?? 0, form: UInt16(exactly: form) ?? 0, constant: constant)
            attributes.append(attribute)
            Self.count(attribute.form, in: &entry)
        }
        return nil
    }

    /// Adds the size of a form to that of entries.
    private static func count(_ form: UInt16, in entry: inout Abbreviation) {
        switch form {
        case DWARFForm.flagPresent, DWARFForm.implicitConstant: break
        case DWARFForm.data1, DWARFForm.flag, DWARFForm.reference1, DWARFForm.stringIndex1,
            DWARFForm.addressIndex1:
            entry.bytes += 1
        case DWARFForm.data2, DWARFForm.reference2, DWARFForm.stringIndex2, DWARFForm.addressIndex2:
            entry.bytes += 2
        case DWARFForm.stringIndex3, DWARFForm.addressIndex3: entry.bytes += 3
        case DWARFForm.data4, DWARFForm.reference4, DWARFForm.supplementReference4,
            DWARFForm.stringIndex4, DWARFForm.addressIndex4:
            entry.bytes += 4
        case DWARFForm.data8, DWARFForm.reference8, DWARFForm.signature, DWARFForm.supplementReference8:
            entry.bytes += 8
        case DWARFForm.data16: entry.bytes += 16
        case DWARFForm.address: entry.addresses += 1
        case DWARFForm.referenceAddress: entry.references += 1
        case DWARFForm.stringOffset, DWARFForm.sectionOffset, DWARFForm.lineStringOffset,
            DWARFForm.supplementString, DWARFForm.gnuReferenceAlternate, DWARFForm.gnuStringAlternate:
            entry.offsets += 1
        default: entry.isFixed = false
        }
    }
}
