// SPDX-License-Identifier: Apache-2.0

/// Code, and what describes how it uses the stack: a frame description entry.
struct FunctionEntry {
    var start: UInt64
    var end: UInt64
    /// Its instructions, as offsets in its section.
    var instructionsStart: UInt32 = 0
    var instructionsEnd: UInt32 = 0
    /// Number of the common information entry.
    var common: Int32 = 0
    /// Number of the section.
    var section: UInt8 = 0
    /// If it returns from a signal handler: by which of the machine's ways.
    var signalReturn: UInt8?
    /// Whether it is a linker's stubs, which jump on with the stack as it was at the call.
    var isStubs = false
    /// The number of a function of Go that is described by Go's own table.
    var goFunction: Int32 = -1
}

/// Reads the entries of sections, but not the instructions of functions.
struct CallFrameEntries {
    private(set) var functions: [FunctionEntry] = []
    private(set) var commons: [CommonEntry] = []
    private(set) var malformed = 0
    private let machine: CallFrameMachine

    init(_ machine: CallFrameMachine) { self.machine = machine }

    /// Bytes of common entries that may still be read or executed: one offset is read once only, but those that a hostile
    /// file names may overlap.
    private var budget = 1 << 20
    /// By offset, of the section that is read; -1 for those that make no sense.
    private var known: [Int: Int32] = [:]
    private var recent: (offset: Int, number: Int32) = (-1, -1)

    private static let maximumFunctions = 1 << 22

    /// Adds the functions of a section, in the order in which they are there.
    mutating func read(_ section: CallFrameSection, number: UInt8) {
        known = [:]
        recent = (-1, -1)
        budget += section.bytes.count
        functions.reserveCapacity(functions.count + section.bytes.count / 56)
        var reader = CallFrameReader(section.bytes, 0..<section.bytes.count)
        while !reader.isAtEnd, functions.count < Self.maximumFunctions {
            let start = reader.position
            let (length, is64) = Self.length(&reader)
            if length == 0, !reader.failed {
                // It ends the section; in the middle, where object files were put together, others follow.
                if section.isOpenEnded { return }
                continue
            }
            var entry = reader.part(length)
            guard !reader.failed else {
                // What follows a section is no entry.
                if !section.isOpenEnded { malformed += 1 }
                return
            }
            guard let offset = Self.commonOffset(&entry, section.kind, start: start, is64: is64) else {
                continue
            }
            let common = common(at: offset, section)
            guard common >= 0, add(&entry, common, section, number) else {
                malformed += 1
                continue
            }
        }
    }

    /// Of an entry, without this field; whether the format is that of 64 bits (DWARF 5, 7.4).
    private static func length(_ reader: inout CallFrameReader) -> (length: UInt64, is64: Bool) {
        let length = reader.number(UInt32.self)
        return length == 0xffff_ffff ? (reader.number(UInt64.self), true) : (UInt64(length), false)
    }

    /// Where the common entry of a function is; nil if this is one, or negative if nowhere.
    private static func commonOffset(
        _ entry: inout CallFrameReader, _ kind: CallFrameSection.Kind, start: Int, is64: Bool
    ) -> Int? {
        let place = entry.position
        switch kind {
        case .exceptionHandling:
            // Four bytes in both formats: a distance back.
            let distance = Int(entry.number(UInt32.self))
            return distance == 0 && !entry.failed ? nil : place - distance
        case .debugging:
            let offset = is64 ? entry.number(UInt64.self) : UInt64(entry.number(UInt32.self))
            return offset == (is64 ? .max : 0xffff_ffff) ? nil : Int(clamping: offset)
        }
    }

    private mutating func add(
        _ entry: inout CallFrameReader, _ common: Int32, _ section: CallFrameSection, _ number: UInt8
    ) -> Bool {
        let encoding = commons[Int(common)].pointerEncoding
        let start = entry.pointer(encoding, section.bases)
        let size = entry.pointer(encoding.format, PointerBases(section: 0, word: machine.word))
        if commons[Int(common)].hasAugmentationData { entry.skip(entry.unsigned()) }
        let (end, overflow) = start.addingReportingOverflow(size)
        guard !entry.failed, !overflow else { return false }
        // Linkers leave these for functions that they threw away.
        guard size > 0, start != section.bases.absolute else { return true }
        functions.append(
            FunctionEntry(
                start: start, end: end, instructionsStart: UInt32(entry.position),
                instructionsEnd: UInt32(entry.end), common: common, section: number))
        return true
    }

    // MARK: Common information entries

    /// The number of the common entry at an offset; -1 if there is none.
    private mutating func common(at offset: Int, _ section: CallFrameSection) -> Int32 {
        if recent.offset == offset { return recent.number }
        let number = known[offset] ?? readCommon(at: offset, section)
        known[offset] = number
        recent = (offset, number)
        return number
    }

    private mutating func readCommon(at offset: Int, _ section: CallFrameSection) -> Int32 {
        guard offset >= 0, offset < section.bytes.count else { return -1 }
        var reader = CallFrameReader(section.bytes, offset..<section.bytes.count)
        let (length, is64) = Self.length(&reader)
        var entry = reader.part(length)
        guard !reader.failed, budget > 0,
            Self.commonOffset(&entry, section.kind, start: offset, is64: is64) == nil
        else { return -1 }
        let start = entry.position
        let header = header(&entry, section)
        budget -= entry.position - start
        guard var common = header else { return -1 }
        common.instructions = entry.position..<entry.end
        budget -= common.instructions.count + 16
        guard budget > 0 else { return -1 }
        // What holds at the beginning of functions. There are no places in these instructions.
        var program = CallFrameProgram(entry, common, location: 0, section.bases)
        while let target = program.next() { program.advance(to: target) }
        guard !program.isMalformed else { return -1 }
        common.state = program.state
        commons.append(common)
        return Int32(commons.count - 1)
    }

    /// Reads up to the instructions.
    private func header(_ entry: inout CallFrameReader, _ section: CallFrameSection) -> CommonEntry? {
        var common = CommonEntry()
        common.machine = machine
        let version = entry.byte()
        guard [1, 3, 4].contains(version) else { return nil }
        let augmentation = entry.text()
        // Of GCC before version 3: an address.
        let isOld = augmentation.elementsEqual("eh".utf8)
        if isOld { entry.skip(UInt64(machine.word)) }
        // The sizes of an address and of a segment selector.
        if version == 4, entry.byte() != UInt8(machine.word) || entry.byte() != 0 { return nil }
        common.codeAlignment = entry.unsigned()
        common.dataAlignment = entry.signed()
        common.returnAddressRegister = version == 1 ? UInt64(entry.byte()) : entry.unsigned()
        if augmentation.first == UInt8(ascii: "z") {
            common.hasAugmentationData = true
            var data = entry.part(entry.unsigned())
            for letter in augmentation.dropFirst() {
                guard Self.read(letter, of: &data, into: &common, section) else { break }
            }
            if data.failed { return nil }
        } else if !augmentation.isEmpty, !isOld {
            // There is no telling what else is in it.
            return nil
        }
        return entry.failed ? nil : common
    }

    /// Reads the data of one letter of the augmentation; false if it is unknown, and so is what follows.
    private static func read(
        _ letter: UInt8, of data: inout CallFrameReader, into common: inout CommonEntry,
        _ section: CallFrameSection
    ) -> Bool {
        switch letter {
        case UInt8(ascii: "R"): common.pointerEncoding = PointerEncoding(code: data.byte())
        case UInt8(ascii: "S"): common.isSignalFrame = true
        case UInt8(ascii: "L"): _ = data.byte()
        case UInt8(ascii: "P"):
            let encoding = PointerEncoding(code: data.byte())
            if !encoding.isOmitted { data.skipPointer(encoding, section.bases) }
        // Pointer authentication, memory tagging: of AArch64.
        case UInt8(ascii: "B"), UInt8(ascii: "G"): break
        default: return false
        }
        return true
    }
}
