// SPDX-License-Identifier: Apache-2.0

/// What a unit in .debug_info begins with (DWARF 5, 7.5.1).
struct DWARFUnitHeader {
    /// DW_UT_* (DWARF 5, 7.5.1). Before version 5 all are .compile: what they are says their first entry.
    enum Kind: UInt8 {
        case compile = 1
        case type = 2
        case partial = 3
        case skeleton = 4
        case splitCompile = 5
        case splitType = 6
    }

    /// Of the header in its section.
    var offset: UInt64
    var end: UInt64
    var encoding: DWARFEncoding
    var kind: Kind
    var abbreviations: UInt64
    /// What a skeleton and its split unit have in common.
    var splitID: UInt64?
    /// Of the first entry.
    var entries: UInt64

    /// More than any header takes.
    private static let maximumSize = 40

    /// Reads the header at an offset; nil if there is none, or one of a kind that is not known.
    init?(_ section: DWARFSection, at offset: UInt64) {
        var cursor = section.cursor(at: offset, upTo: Self.maximumSize)
        let (length, is64) = cursor.unitLength()
        let (end, overflow) = cursor.position.addingReportingOverflow(length)
        let version = cursor.number(UInt16.self)
        encoding = DWARFEncoding(version: version, is64: is64, addressSize: 8)
        guard !cursor.failed, !overflow, end <= section.size, (2...5).contains(version) else { return nil }
        kind = .compile
        if version >= 5 {
            guard let kind = Kind(rawValue: cursor.byte()) else { return nil }
            self.kind = kind
            encoding.addressSize = Int(cursor.byte())
            abbreviations = cursor.offset(encoding)
        } else {
            abbreviations = cursor.offset(encoding)
            encoding.addressSize = Int(cursor.byte())
        }
        switch kind {
        case .skeleton, .splitCompile: splitID = cursor.number(UInt64.self)
        case .type, .splitType: cursor.skip(UInt64(8 + encoding.offsetSize))
        case .compile, .partial: break
        }
        guard !cursor.failed, encoding.addressSize == 4 || encoding.addressSize == 8,
            cursor.position <= end
        else { return nil }
        self.offset = offset
        self.end = end
        entries = cursor.position
    }

    /// The offsets of all headers of an object's .debug_info, ascending.
    static func offsets(in object: DWARFObject) -> [UInt64] {
        guard let section = object.section(.info) else { return [] }
        var offsets: [UInt64] = []
        var offset: UInt64 = 0
        while offset < section.size, offsets.count < DWARFLimits.units,
            object.budget.spend(DWARFBudget.Cost.item)
        {
            var cursor = section.cursor(at: offset, upTo: 12)
            let (length, _) = cursor.unitLength()
            guard !cursor.failed, length <= section.size - cursor.position else { break }
            offsets.append(offset)
            offset = cursor.position + length
        }
        return offsets
    }
}
