// SPDX-License-Identifier: Apache-2.0

/// The attributes of a debugging information entry that say where code is and what it is called.
struct DWARFEntry {
    /// DW_TAG_*
    var tag: UInt16
    var name = DWARFValue()
    var linkageName = DWARFValue()
    var lowPC = DWARFValue()
    var highPC = DWARFValue()
    var ranges = DWARFValue()
    /// DW_AT_abstract_origin, or else DW_AT_specification: where the other attributes are.
    var origin = DWARFValue()
    var callFile = DWARFValue()
    var callLine = DWARFValue()
    var sibling = DWARFValue()

    /// Reads an entry whose code was read.
    init(
        _ cursor: inout DWARFCursor, _ abbreviation: DWARFAbbreviations.Abbreviation,
        _ table: DWARFAbbreviations, _ encoding: DWARFEncoding
    ) {
        tag = abbreviation.tag
        for index in abbreviation.attributes {
            let attribute = table.attributes[index]
            let value = cursor.value(attribute.form, constant: attribute.constant, encoding)
            switch attribute.name {
            case DWARFAttribute.name: name = value
            case DWARFAttribute.linkageName, DWARFAttribute.mipsLinkageName: linkageName = value
            case DWARFAttribute.lowPC: lowPC = value
            case DWARFAttribute.highPC: highPC = value
            case DWARFAttribute.ranges: ranges = value
            case DWARFAttribute.abstractOrigin: origin = value
            case DWARFAttribute.specification: if !origin.exists { origin = value }
            case DWARFAttribute.callFile: callFile = value
            case DWARFAttribute.callLine: callLine = value
            case DWARFAttribute.sibling: sibling = value
            default: break
            }
            if cursor.failed { return }
        }
    }
}

/// The attributes of a unit's first entry (DWARF 5, 3.1).
struct DWARFRootEntry {
    /// DW_TAG_*
    var tag: UInt16
    var name = DWARFValue()
    var lowPC = DWARFValue()
    var highPC = DWARFValue()
    var ranges = DWARFValue()
    var statementList = DWARFValue()
    var compilationDirectory = DWARFValue()
    var stringOffsetsBase = DWARFValue()
    var addressBase = DWARFValue()
    var rangeListsBase = DWARFValue()
    var gnuRangesBase = DWARFValue()
    var splitName = DWARFValue()
    var splitID = DWARFValue()

    /// Reads an entry whose code was read.
    init(
        _ cursor: inout DWARFCursor, _ abbreviation: DWARFAbbreviations.Abbreviation,
        _ table: DWARFAbbreviations, _ encoding: DWARFEncoding
    ) {
        tag = abbreviation.tag
        for index in abbreviation.attributes {
            let attribute = table.attributes[index]
            let value = cursor.value(attribute.form, constant: attribute.constant, encoding)
            if cursor.failed { return }
            assign(attribute.name, value)
        }
    }

    private mutating func assign(_ attribute: UInt16, _ value: DWARFValue) {
        switch attribute {
        case DWARFAttribute.name: name = value
        case DWARFAttribute.lowPC: lowPC = value
        case DWARFAttribute.highPC: highPC = value
        case DWARFAttribute.ranges: ranges = value
        case DWARFAttribute.statementList: statementList = value
        case DWARFAttribute.compilationDirectory: compilationDirectory = value
        case DWARFAttribute.stringOffsetsBase: stringOffsetsBase = value
        case DWARFAttribute.addressBase, DWARFAttribute.gnuAddressBase: addressBase = value
        case DWARFAttribute.rangeListsBase: rangeListsBase = value
        case DWARFAttribute.gnuRangesBase: gnuRangesBase = value
        case DWARFAttribute.splitName, DWARFAttribute.gnuSplitName: splitName = value
        case DWARFAttribute.gnuSplitID: splitID = value
        default: break
        }
    }
}
