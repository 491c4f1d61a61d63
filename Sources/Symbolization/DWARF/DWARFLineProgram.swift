// SPDX-License-Identifier: Apache-2.0

/// Runs a line program (DWARF 5, 6.2.5).
struct DWARFLineProgram {
    private struct PendingRow {
        var address: UInt64
        var file: UInt32
        var line: UInt32
    }

    private let header: DWARFLineHeader
    private let code: DWARFCode
    private(set) var rows: [DWARFLineTable.Row] = []
    private(set) var sequences: [DWARFLineTable.Sequence] = []
    /// From DW_LNE_define_file.
    private(set) var newFiles: [DWARFLineHeader.File] = []
    /// The rows of a sequence that is not at its end yet.
    private var pending: [PendingRow] = []
    // The registers of the state machine (6.2.2).
    private var address: UInt64 = 0
    private var operation: UInt64 = 0
    private var file: UInt32 = 1
    private var line: UInt32 = 1

    init(header: DWARFLineHeader, code: DWARFCode) {
        self.header = header
        self.code = code
    }

    mutating func run(_ cursor: inout DWARFCursor) {
        while !cursor.isAtEnd, rows.count + pending.count < DWARFLimits.rows {
            let opcode = cursor.byte()
            if opcode >= header.opcodeBase {
                let distance = opcode - header.opcodeBase
                advance(UInt64(distance / header.lineRange))
                moveLine(Int64(header.lineBase) + Int64(distance % header.lineRange))
                addRow()
            } else if opcode == 0 {
                runExtended(&cursor)
            } else {
                runStandard(opcode, &cursor)
            }
        }
    }

    /// Advances by operations (6.2.5.1).
    private mutating func advance(_ count: UInt64) {
        guard header.operationsPerInstruction > 1 else {
            address &+= header.minimumInstruction &* count
            return
        }
        let total = operation &+ count
        address &+= header.minimumInstruction &* (total / header.operationsPerInstruction)
        operation = total % header.operationsPerInstruction
    }

    private mutating func moveLine(_ distance: Int64) { line &+= UInt32(truncatingIfNeeded: distance) }

    private mutating func addRow() {
        pending.append(PendingRow(address: address, file: file, line: line))
    }

    /// DW_LNS_* (6.2.5.2)
    private mutating func runStandard(_ opcode: UInt8, _ cursor: inout DWARFCursor) {
        switch opcode {
        case 1: addRow()
        case 2: advance(cursor.unsigned())
        case 3: moveLine(cursor.signed())
        case 4: file = UInt32(clamping: cursor.unsigned())
        case 8: advance(UInt64((255 - header.opcodeBase) / header.lineRange))
        case 9:
            address &+= UInt64(cursor.number(UInt16.self))
            operation = 0
        // The column, the beginnings of statements, of blocks, and of functions' bodies.
        case 5: _ = cursor.unsigned()
        case 6, 7, 10, 11: break
        case 12: _ = cursor.unsigned()
        default:
            for _ in 0..<header.argumentCounts[Int(opcode) - 1] { _ = cursor.unsigned() }
        }
    }

    /// DW_LNE_* (6.2.5.3)
    private mutating func runExtended(_ cursor: inout DWARFCursor) {
        let length = cursor.unsigned()
        guard length > 0 else { return }
        let (next, overflow) = cursor.position.addingReportingOverflow(length)
        switch cursor.byte() {
        case 1: endSequence()
        case 2:
            address = cursor.number(size: Int(clamping: length) - 1)
            operation = 0
        case 3: if let file = DWARFLineHeader.readFile(&cursor) { define(file) }
        default: break
        }
        if overflow { cursor.fail() } else { cursor.seek(to: next) }
    }

    private mutating func define(_ file: DWARFLineHeader.File) {
        if newFiles.count < DWARFLimits.files { newFiles.append(file) }
    }

    private mutating func endSequence() {
        keepPending()
        pending.removeAll(keepingCapacity: true)
        address = 0
        operation = 0
        file = 1
        line = 1
    }

    /// Takes over the rows of a sequence, but not those that say nothing new.
    private mutating func keepPending() {
        var sorted = true
        for index in pending.indices.dropFirst() where pending[index].address < pending[index - 1].address {
            sorted = false
        }
        // Addresses must not decrease, and yet may.
        if !sorted { pending.sort { $0.address < $1.address } }
        guard let start = pending.first?.address, start < address, code.contains(start),
            address - start <= UInt64(UInt32.max)
        else { return }
        let first = rows.count
        for (index, row) in pending.enumerated() where row.address < address {
            // Of several at one address, the last counts.
            if index + 1 < pending.count, pending[index + 1].address == row.address { continue }
            if rows.count > first, rows[rows.count - 1].file == row.file,
                rows[rows.count - 1].line == row.line
            {
                continue
            }
            rows.append(
                DWARFLineTable.Row(
                    offset: UInt32(row.address - start), file: row.file, line: row.line))
        }
        sequences.append(
            DWARFLineTable.Sequence(start: start, end: address, rows: first..<rows.count))
    }
}
