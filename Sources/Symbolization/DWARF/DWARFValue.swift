// SPDX-License-Identifier: Apache-2.0

/// The version of a unit and the sizes it uses (DWARF 5, 7.4).
struct DWARFEncoding {
    var version: UInt16
    var is64: Bool
    var addressSize: Int

    var offsetSize: Int { is64 ? 8 : 4 }
    /// Of DW_FORM_ref_addr, which DWARF 2 gave the size of an address.
    var referenceSize: Int { version == 2 ? addressSize : offsetSize }
}

/// An attribute's value as it is stored. What it means depends on its form.
struct DWARFValue {
    /// 0 for an attribute that is not there.
    var form: UInt16 = 0
    /// The number; for DW_FORM_string the text's offset in its section.
    var number: UInt64 = 0

    var exists: Bool { form != 0 }

    /// Whether it is an address or the index of one.
    var isAddress: Bool {
        switch form {
        case DWARFForm.address, DWARFForm.addressIndex, DWARFForm.gnuAddressIndex,
            DWARFForm.addressIndex1...DWARFForm.addressIndex4:
            true
        default: false
        }
    }
}

extension DWARFCursor {
    /// Reads a number of the size of offsets.
    mutating func offset(_ encoding: DWARFEncoding) -> UInt64 { number(size: encoding.offsetSize) }

    /// Reads the length that a unit begins with, and whether it is of the 64-bit format (DWARF 5, 7.4).
    mutating func unitLength() -> (length: UInt64, is64: Bool) {
        let length = number(UInt32.self)
        if length == 0xffff_ffff { return (number(UInt64.self), true) }
        if length >= 0xffff_fff0 { fail() }
        return (UInt64(length), false)
    }

    /// Reads a value of a form (DWARF 5, 7.5.6); of blocks only the size.
    mutating func value(
        _ form: UInt16, constant: Int64 = 0, _ encoding: DWARFEncoding
    ) -> DWARFValue {
        var form = form
        if form == DWARFForm.indirect {
            form = UInt16(exactly: unsigned()) ?? 0
            // Neither this nor that is allowed, and a chain of the first might be long.
            if form == DWARFForm.indirect || form == DWARFForm.implicitConstant { form = 0 }
        }
        return DWARFValue(form: form, number: number(form, constant, encoding))
    }

    private mutating func number(_ form: UInt16, _ constant: Int64, _ encoding: DWARFEncoding) -> UInt64 {
        switch form {
        case DWARFForm.data1, DWARFForm.flag, DWARFForm.reference1, DWARFForm.stringIndex1,
            DWARFForm.addressIndex1:
            return UInt64(byte())
        case DWARFForm.data2, DWARFForm.reference2, DWARFForm.stringIndex2, DWARFForm.addressIndex2:
            return UInt64(number(UInt16.self))
        case DWARFForm.stringIndex3, DWARFForm.addressIndex3: return number(size: 3)
        case DWARFForm.data4, DWARFForm.reference4, DWARFForm.supplementReference4,
            DWARFForm.stringIndex4, DWARFForm.addressIndex4:
            return UInt64(number(UInt32.self))
        case DWARFForm.data8, DWARFForm.reference8, DWARFForm.signature, DWARFForm.supplementReference8:
            return number(UInt64.self)
        case DWARFForm.stringOffset, DWARFForm.sectionOffset, DWARFForm.lineStringOffset,
            DWARFForm.supplementString, DWARFForm.gnuReferenceAlternate, DWARFForm.gnuStringAlternate:
            return offset(encoding)
        case DWARFForm.address: return number(size: encoding.addressSize)
        case DWARFForm.referenceAddress: return number(size: encoding.referenceSize)
        case DWARFForm.flagPresent: return 1
        case DWARFForm.implicitConstant: return UInt64(bitPattern: constant)
        case DWARFForm.signedData: return UInt64(bitPattern: signed())
        case DWARFForm.unsignedData, DWARFForm.referenceUnsigned, DWARFForm.stringIndex,
            DWARFForm.addressIndex, DWARFForm.locationListIndex, DWARFForm.rangeListIndex,
            DWARFForm.gnuAddressIndex, DWARFForm.gnuStringIndex:
            return unsigned()
        default: return block(form)
        }
    }

    /// Skips what is no number; fails on unknown forms, because where they end is not known.
    private mutating func block(_ form: UInt16) -> UInt64 {
        let start = position
        switch form {
        case DWARFForm.string: skipText()
        case DWARFForm.block1: skip(UInt64(byte()))
        case DWARFForm.block2: skip(UInt64(number(UInt16.self)))
        case DWARFForm.block4: skip(UInt64(number(UInt32.self)))
        case DWARFForm.block, DWARFForm.expression: skip(unsigned())
        case DWARFForm.data16: skip(16)
        default: fail()
        }
        return start
    }
}
