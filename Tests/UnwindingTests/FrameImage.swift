// SPDX-License-Identifier: Apache-2.0
public import CBPFPrograms
import Symbolization

@testable import Unwinding

/// An ELF file made by hand: code of x86-64 in segments, and call frame information.
struct FrameImage {
    /// Where code is. The bytes are nops but for those of `code`.
    var ranges: [Range<UInt64>] = [0x1000..<0x40000]
    /// Bytes of code at addresses.
    var code: [UInt64: [UInt8]] = [:]
    /// The contents of .eh_frame, which is at 0x100000.
    var frames: [UInt8] = []
    /// The contents of .debug_frame, of .zdebug_frame or of a compressed .debug_frame.
    var debugFrames: [UInt8] = []
    var debugName = ".debug_frame"
    var debugFlags: UInt64 = 0
    /// Whether there are section headers; else there is .eh_frame_hdr.
    var hasSections = true
    var machine: UInt16 = 62
    /// Names of files that it needs.
    var needed = 0

    static let frameAddress: UInt64 = 0x100000

    var table: UnwindTable? { UnwindTable(.memory(bytes)) }

    var bytes: [UInt8] {
        var contents: [UInt8] = []
        func place(_ more: [UInt8]) -> Int {
            contents += [UInt8](repeating: 0, count: -contents.count & 15) + more
            return 0x1000 + contents.count - more.count
        }
        var segments: [[UInt8]] = []
        for range in ranges {
            var bytes = [UInt8](repeating: 0x90, count: range.count)
            for (address, code) in code where range.contains(address) {
                bytes.replaceSubrange(
                    Int(address - range.lowerBound)..<Int(address - range.lowerBound) + code.count, with: code
                )
            }
            segments.append(
                Self.segment(1, flags: 5, offset: place(bytes), address: range.lowerBound, size: bytes.count))
        }
        let framePlace = place(frames)
        segments.append(
            Self.segment(1, flags: 4, offset: framePlace, address: Self.frameAddress, size: frames.count))
        if !hasSections {
            // Version 1; the address absolute, nothing else.
            let header: [UInt8] = [1, 0, 0xff, 0xff] + number(Self.frameAddress)
            segments.append(
                Self.segment(
                    0x6474_e550, flags: 4, offset: place(header), address: 0x200000, size: header.count))
        }
        let dynamic: [UInt8] = (0..<needed).flatMap { _ in number(1 as UInt64) + number(0 as UInt64) }
        segments.append(
            Self.segment(
                2, flags: 4, offset: place(dynamic + number(0 as UInt64) + number(0 as UInt64)),
                address: 0x300000,
                size: dynamic.count + 16))
        let names = Array("\0.eh_frame\0\(debugName)\0.names\0".utf8)
        var sections = Self.section(0, 0, 0, offset: 0, size: 0)
        sections += Self.section(1, 1, Self.frameAddress, offset: framePlace, size: frames.count)
        sections += Self.section(
            11, 1, 0, flags: debugFlags, offset: place(debugFrames), size: debugFrames.count)
        sections += Self.section(12 + debugName.utf8.count, 3, 0, offset: place(names), size: names.count)
        let sectionPlace = hasSections ? place(sections) : 0
        let head = head(sectionPlace, segments.count) + segments.flatMap { $0 }
        return head + [UInt8](repeating: 0, count: 0x1000 - head.count) + contents
    }

    private func head(_ sections: Int, _ segments: Int) -> [UInt8] {
        let parts: [[UInt8]] = [
            [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9), number(3 as UInt16),
            number(machine), number(1 as UInt32), number(0 as UInt64), number(64 as UInt64),
            number(UInt64(sections)), number(0 as UInt32), number(64 as UInt16), number(56 as UInt16),
            number(UInt16(segments)), number(64 as UInt16), number(UInt16(hasSections ? 4 : 0)),
            number(3 as UInt16),
        ]
        return parts.flatMap { $0 }
    }

    private static func segment(
        _ type: UInt32, flags: UInt32, offset: Int, address: UInt64, size: Int
    ) -> [UInt8] {
        number(type) + number(flags) + number(UInt64(offset)) + number(address) + number(address)
            + number(UInt64(size)) + number(UInt64(size)) + number(0x1000 as UInt64)
    }

    private static func section(
        _ name: Int, _ type: UInt32, _ address: UInt64, flags: UInt64 = 0, offset: Int, size: Int
    ) -> [UInt8] {
        number(UInt32(name)) + number(type) + number(flags) + number(address) + number(UInt64(offset))
            + number(UInt64(size)) + number(0 as UInt64) + number(1 as UInt64) + number(0 as UInt64)
    }
}

/// A number as it is in files.
func number(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

/// Call frame information that is written entry by entry.
struct FrameSection {
    private(set) var bytes: [UInt8] = []
    var isDebug = false
    var is64 = false
    /// Where the last common entry begins.
    private(set) var common = 0

    /// rsp + 8, and the return address below that.
    static let usual: [UInt8] = [0x0c, 7, 8, 0x90, 1]

    /// Adds a common entry, with addresses that are absolute and of eight bytes unless `data` says otherwise.
    mutating func addCommon(
        _ augmentation: String = "", data: [UInt8] = [], version: UInt8 = 1, code: UInt8 = 1,
        _ instructions: [UInt8] = usual
    ) {
        common = bytes.count
        let id: [UInt8] = !isDebug ? number(0 as UInt32) : is64 ? number(UInt64.max) : number(UInt32.max)
        var head = [version] + Array(augmentation.utf8) + [0]
        if version == 4 { head += [8, 0] }
        head += [code, 0x78, 16]
        if augmentation.first == "z" { head += [UInt8(data.count)] + data }
        add(id + head + instructions)
    }

    /// Adds a function.
    /// - Parameter range: The bytes of its address and size, if they are not eight each.
    mutating func addFunction(
        _ start: UInt64 = 0, _ size: UInt64 = 0, range: [UInt8]? = nil, data: [UInt8] = [],
        _ instructions: [UInt8]
    ) {
        let place = bytes.count + (is64 ? 12 : 4)
        let id: [UInt8] =
            !isDebug
            ? number(UInt32(place - common)) : is64 ? number(UInt64(common)) : number(UInt32(common))
        add(id + (range ?? number(start) + number(size)) + data + instructions)
    }

    /// Adds an entry as it is.
    mutating func add(_ contents: [UInt8]) {
        bytes += is64 ? number(UInt32.max) + number(UInt64(contents.count)) : number(UInt32(contents.count))
        bytes += contents
    }
}

extension unwind_rule {
    init(
        _ cfa: unwind_cfa, _ offset: Int32 = 0, register: UInt8 = 0, addend: Int16 = 0,
        _ fp: unwind_frame_pointer = FRAME_POINTER_SAME, _ fpOffset: Int32 = 0, ra: Int16 = -8
    ) {
        self.init()
        let hasNone = cfa == CFA_NO_RULE || cfa == CFA_ROOT || cfa == CFA_SIGNAL
        self.cfa = UInt8(cfa.rawValue)
        self.fp = UInt8(fp.rawValue)
        cfa_register = register
        cfa_offset = offset
        fp_offset = fpOffset
        cfa_addend = addend
        ra_offset = hasNone ? 0 : ra
    }
}

extension unwind_rule: @retroactive Equatable, @retroactive CustomStringConvertible {
    public static func == (left: Self, right: Self) -> Bool {
        withUnsafeBytes(of: left) { left in withUnsafeBytes(of: right) { left.elementsEqual($0) } }
    }

    public var description: String {
        "cfa \(cfa) register \(cfa_register) offset \(cfa_offset) addend \(cfa_addend),"
            + " fp \(fp) offset \(fp_offset), ra offset \(ra_offset)"
    }
}
