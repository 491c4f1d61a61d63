// SPDX-License-Identifier: Apache-2.0

/// What a line program begins with (DWARF 5, 6.2.4; DWARF 4, 6.2.4).
struct DWARFLineHeader {
    struct File {
        var name: DWARFValue
        var directory: UInt32
    }

    var encoding: DWARFEncoding
    var minimumInstruction: UInt64 = 1
    var operationsPerInstruction: UInt64 = 1
    var lineBase: Int8 = 0
    var lineRange: UInt8 = 1
    var opcodeBase: UInt8 = 1
    /// How many arguments each opcode below `opcodeBase` has.
    var argumentCounts: [UInt8] = []
    var directories: [DWARFValue] = []
    var files: [File] = []

    /// Reads a header, and gives what reads the program after it; nil if it is damaged.
    static func read(
        _ section: DWARFSection, at offset: UInt64, budget: DWARFBudget
    ) -> (DWARFLineHeader, DWARFCursor)? {
        var start = section.cursor(at: offset, upTo: 12)
        let (length, is64) = start.unitLength()
        guard !start.failed, length <= section.size - start.position, length <= DWARFLimits.unitBytes,
            budget.spend(Int(length) * DWARFBudget.Cost.byte)
        else { return nil }
        var cursor = section.cursor(at: start.position, upTo: Int(length))
        let version = cursor.number(UInt16.self)
        guard (2...5).contains(version) else { return nil }
        var header = DWARFLineHeader(
            encoding: DWARFEncoding(version: version, is64: is64, addressSize: 8))
        guard header.readFields(&cursor) else { return nil }
        return (header, cursor)
    }

    private mutating func readFields(_ cursor: inout DWARFCursor) -> Bool {
        let version = encoding.version
        if version >= 5 {
            encoding.addressSize = Int(cursor.byte())
            _ = cursor.byte()
        }
        let length = cursor.offset(encoding)
        let (program, overflow) = cursor.position.addingReportingOverflow(length)
        minimumInstruction = UInt64(cursor.byte())
        operationsPerInstruction = version >= 4 ? UInt64(cursor.byte()) : 1
        _ = cursor.byte()
        lineBase = Int8(bitPattern: cursor.byte())
        lineRange = cursor.byte()
        opcodeBase = cursor.byte()
        guard !cursor.failed, !overflow, lineRange > 0, opcodeBase > 0 else { return false }
        argumentCounts = (1..<Int(opcodeBase)).map { _ in cursor.byte() }
        var tables = cursor
        tables.limit(to: program)
        if version >= 5 { readTables(&tables) } else { readOldTables(&tables) }
        cursor.seek(to: program)
        return !cursor.failed
    }

    // MARK: Version 5

    private mutating func readTables(_ cursor: inout DWARFCursor) {
        readTable(&cursor) { header, name, _ in header.directories.append(name) }
        readTable(&cursor) { header, name, directory in
            header.files.append(File(name: name, directory: directory))
        }
    }

    /// Reads descriptions of fields, and entries of such (DWARF 5, 6.2.4.1).
    private mutating func readTable(
        _ cursor: inout DWARFCursor, _ add: (inout Self, DWARFValue, UInt32) -> Void
    ) {
        // Five kinds of fields exist.
        let formats = (0..<Int(min(cursor.byte(), 32))).map { _ in
            (content: cursor.unsigned(), form: UInt16(exactly: cursor.unsigned()) ?? 0)
        }
        let count = cursor.unsigned()
        // Each entry takes at least a byte, or there could be any number of them.
        guard !cursor.failed, count <= UInt64(cursor.remaining), count <= DWARFLimits.files else {
            return cursor.fail()
        }
        for _ in 0..<Int(count) {
            var name = DWARFValue()
            var directory: UInt32 = 0
            for (content, form) in formats {
                let value = cursor.value(form, encoding)
                // DW_LNCT_path and DW_LNCT_directory_index
                if content == 1 { name = value }
                if content == 2 { directory = UInt32(clamping: value.number) }
            }
            if cursor.failed { return }
            add(&self, name, directory)
        }
    }

    // MARK: Before version 5

    private mutating func readOldTables(_ cursor: inout DWARFCursor) {
        while let name = Self.readName(&cursor), directories.count < DWARFLimits.files {
            directories.append(name)
        }
        while let file = Self.readFile(&cursor), files.count < DWARFLimits.files { files.append(file) }
    }

    /// A text; nil if it is empty, which ends a table.
    private static func readName(_ cursor: inout DWARFCursor) -> DWARFValue? {
        let start = cursor.position
        cursor.skipText()
        guard !cursor.failed, cursor.position > start + 1 else { return nil }
        return DWARFValue(form: DWARFForm.string, number: start)
    }

    /// A name, its directory, and the file's time and size.
    static func readFile(_ cursor: inout DWARFCursor) -> File? {
        guard let name = readName(&cursor) else { return nil }
        let directory = UInt32(clamping: cursor.unsigned())
        _ = cursor.unsigned()
        _ = cursor.unsigned()
        return cursor.failed ? nil : File(name: name, directory: directory)
    }
}
