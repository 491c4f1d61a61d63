// SPDX-License-Identifier: Apache-2.0

/// The source lines of a unit's code, and the names of its files (DWARF 5, 6.2).
final class DWARFLineTable {
    struct Row {
        /// From the sequence's start.
        var offset: UInt32
        var file: UInt32
        var line: UInt32
    }

    /// Rows of code that lies in one piece.
    struct Sequence {
        var start: UInt64
        var end: UInt64
        var rows: Range<Int>
    }

    let unit: DWARFUnit
    private let header: DWARFLineHeader
    private let rows: [Row]
    private let sequences: [Sequence]
    private var paths: [UInt32: String] = [:]
    private var pathBytes = 0

    /// Reads the line table at an offset of .debug_line; nil if there is none.
    init?(_ unit: DWARFUnit, at offset: UInt64, code: DWARFCode) {
        guard let section = unit.object.section(.lines),
            var (header, cursor) = DWARFLineHeader.read(section, at: offset, budget: unit.object.budget)
        else { return nil }
        var program = DWARFLineProgram(header: header, code: code)
        program.run(&cursor)
        header.files += program.newFiles
        self.unit = unit
        self.header = header
        rows = program.rows
        sequences = program.sequences.sorted { $0.start < $1.start }
    }

    /// The row that an address belongs to.
    func row(of address: UInt64) -> (file: UInt32, line: UInt32)? {
        var low = 0
        var high = sequences.count
        while low < high {
            let middle = (low + high) / 2
            if sequences[middle].start <= address { low = middle + 1 } else { high = middle }
        }
        // Sequences should not overlap; a few that do are seen through.
        for sequence in sequences[max(low - 8, 0)..<low].reversed() where address < sequence.end {
            return row(of: address - sequence.start, in: sequence.rows)
        }
        return nil
    }

    private func row(of offset: UInt64, in range: Range<Int>) -> (file: UInt32, line: UInt32)? {
        var low = range.lowerBound
        var high = range.upperBound
        while low < high {
            let middle = (low + high) / 2
            if UInt64(rows[middle].offset) <= offset { low = middle + 1 } else { high = middle }
        }
        guard low > range.lowerBound else { return nil }
        return (rows[low - 1].file, rows[low - 1].line)
    }

    /// A file's path, with the directory it was compiled in if it is relative to that; empty if unknown.
    func path(_ file: UInt32) -> String {
        if let path = paths[file] { return path }
        let path = makePath(file)
        paths[file] = path
        pathBytes += 64 + path.utf8.count
        return path
    }

    private func makePath(_ number: UInt32) -> String {
        // Before version 5, files count from 1, and directory 0 is that of the compilation.
        let isOld = header.encoding.version < 5
        let index = isOld ? Int(number) - 1 : Int(number)
        guard header.files.indices.contains(index), let name = text(header.files[index].name) else {
            return ""
        }
        var path = name
        let directory = header.files[index].directory
        let directoryIndex = isOld ? Int(directory) - 1 : Int(directory)
        if header.directories.indices.contains(directoryIndex), !path.hasPrefix("/"),
            let directory = text(header.directories[directoryIndex])
        {
            path = Self.join(directory, path)
        }
        return Self.join(unit.directory ?? "", path)
    }

    private static func join(_ directory: String, _ path: String) -> String {
        if path.hasPrefix("/") || directory.isEmpty { return path }
        return directory.hasSuffix("/") ? directory + path : directory + "/" + path
    }

    private func text(_ value: DWARFValue) -> String? {
        value.form == DWARFForm.string
            ? unit.object.section(.lines)?.text(at: value.number) : unit.text(value)
    }

    /// The code it describes, as belonging to one owner.
    func intervals(of owner: UInt32) -> [DWARFIntervals.Interval] {
        sequences.map { DWARFIntervals.Interval(start: $0.start, end: $0.end, owner: owner) }
    }

    var bytesHeld: Int {
        rows.count * MemoryLayout<Row>.stride + sequences.count * MemoryLayout<Sequence>.stride
            + (header.files.count + header.directories.count) * 24 + pathBytes
    }
}
