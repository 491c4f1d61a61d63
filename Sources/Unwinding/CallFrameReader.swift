// SPDX-License-Identifier: Apache-2.0

/// Reads one value after the other of bytes that must outlive it.
///
/// What is not there reads as 0 and makes the reader `failed`, which it then stays, at its end: a loop that runs
/// until `isAtEnd` ends, whatever the bytes are. All access to the bytes is through `byte` and `number`, which check.
struct CallFrameReader {
    private let bytes: UnsafeRawBufferPointer
    private(set) var position: Int
    private(set) var end: Int
    private(set) var failed = false

    /// - Parameter range: What of `bytes` may be read; cut to those that exist.
    init(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
        self.bytes = bytes
        end = min(max(range.upperBound, 0), bytes.count)
        position = min(max(range.lowerBound, 0), end)
    }

    var isAtEnd: Bool { position >= end }

    mutating func fail() {
        failed = true
        position = end
    }

    mutating func skip(_ count: UInt64) {
        guard count <= UInt64(end &- position) else { return fail() }
        position &+= Int(count)
    }

    /// A reader of the next bytes, which this one skips.
    mutating func part(_ count: UInt64) -> CallFrameReader {
        let start = position
        skip(count)
        return CallFrameReader(bytes, failed ? end..<end : start..<position)
    }

    @inline(__always)
    mutating func byte() -> UInt8 {
        guard position < end else {
            fail()
            return 0
        }
        defer { position &+= 1 }
        return bytes[position]
    }

    mutating func number<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type) -> Value {
        let size = MemoryLayout<Value>.size
        guard size <= end &- position else {
            fail()
            return 0
        }
        defer { position &+= size }
        return Value(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: Value.self))
    }

    /// An unsigned LEB128 (DWARF 5, 7.6). What exceeds 64 bits is lost.
    @inline(__always)
    mutating func unsigned() -> UInt64 {
        // Most are of one byte.
        if position < end, bytes[position] < 0x80 {
            defer { position &+= 1 }
            return UInt64(bytes[position])
        }
        return longNumber().value
    }

    /// A signed LEB128 (DWARF 5, 7.6).
    mutating func signed() -> Int64 {
        let (value, bits) = longNumber()
        guard bits < 64, value >> UInt64(bits - 1) & 1 == 1 else { return Int64(bitPattern: value) }
        return Int64(bitPattern: value | ~UInt64(0) << UInt64(bits))
    }

    private mutating func longNumber() -> (value: UInt64, bits: Int) {
        var value: UInt64 = 0
        var bits = 0
        while position < end {
            let next = bytes[position]
            position &+= 1
            if bits < 64 { value |= UInt64(next & 0x7f) << UInt64(bits) }
            bits &+= 7
            if next < 0x80 { return (value, bits) }
        }
        fail()
        return (0, 64)
    }

    /// The bytes up to the next zero, which is skipped.
    mutating func text() -> UnsafeRawBufferPointer.SubSequence {
        let start = position
        while position < end {
            position &+= 1
            if bytes[position &- 1] == 0 { return bytes[start..<position &- 1] }
        }
        fail()
        return bytes[end..<end]
    }
}

/// How an address is written: DW_EH_PE_* (Linux Standard Base 5.0, Core, 10.5.1 "DWARF Exception Header Encoding").
struct PointerEncoding: Equatable {
    var code: UInt8

    /// Addresses as they are.
    static let absolute = PointerEncoding(code: 0)

    /// No address at all.
    var isOmitted: Bool { code == 0xff }

    /// Without what the number is relative to: how the length of a range is written.
    var format: PointerEncoding { PointerEncoding(code: code & 0x0f) }
}

/// What addresses can be relative to.
struct PointerBases {
    /// The address of the first byte that the reader has.
    var section: UInt64
    /// How far from where it says everything is.
    var absolute: UInt64 = 0
    /// That of .text; nil if there is none.
    var text: UInt64?
    /// That of the global offset table, or of .eh_frame_hdr within it; nil if there is none.
    var data: UInt64?
    /// That of the function.
    var function: UInt64?
    /// Bytes of an address that is written as it is.
    var word = 8
}

extension CallFrameReader {
    /// An address. One that says where the address is (DW_EH_PE_indirect), or an unknown form, fails.
    mutating func pointer(_ encoding: PointerEncoding, _ bases: PointerBases) -> UInt64 {
        // DW_EH_PE_aligned: at the next address that the size of one divides.
        if encoding.code == 0x50 { skip((0 &- bases.section &- UInt64(position)) & UInt64(bases.word - 1)) }
        let place = bases.section &+ UInt64(position)
        guard let number = number(encoding, bases.word) else {
            fail()
            return 0
        }
        let base: UInt64? =
            switch encoding.code & 0xf0 {
            case 0x00, 0x50: bases.absolute
            case 0x10: place
            case 0x20: bases.text
            case 0x30: bases.data
            case 0x40: bases.function
            default: nil
            }
        guard let base else {
            fail()
            return 0
        }
        return bases.word == 4 ? (base &+ number) & 0xffff_ffff : base &+ number
    }

    /// Skips an address, whatever it is relative to.
    mutating func skipPointer(_ encoding: PointerEncoding, _ bases: PointerBases) {
        let form = encoding.code & 0x7f
        _ = pointer(form == 0x50 ? PointerEncoding(code: form) : encoding.format, bases)
    }

    private mutating func number(_ encoding: PointerEncoding, _ word: Int) -> UInt64? {
        switch encoding.code & 0x0f {
        case 0x0, 0x8: word == 4 ? UInt64(number(UInt32.self)) : number(UInt64.self)
        case 0x4, 0xc: number(UInt64.self)
        case 0x1: unsigned()
        case 0x2: UInt64(number(UInt16.self))
        case 0x3: UInt64(number(UInt32.self))
        case 0x9: UInt64(bitPattern: signed())
        case 0xa: UInt64(bitPattern: Int64(number(Int16.self)))
        case 0xb: UInt64(bitPattern: Int64(number(Int32.self)))
        default: nil
        }
    }
}
