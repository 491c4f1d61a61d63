// SPDX-License-Identifier: Apache-2.0

/// The lines of a perf map as ranges that do not overlap: of two lines for an address the later one counts,
/// because memory is used again.
struct PerfMapEntries {
    private struct Line {
        var start: UInt64
        var end: UInt64
        /// Where the name is in the file, and in the low bits its length.
        var name: UInt64

        static let lengthBits: UInt64 = 16

        init(start: UInt64, end: UInt64, name: Range<UInt64>) {
            self.start = start
            self.end = end
            self.name = name.lowerBound << Self.lengthBits | UInt64(name.count)
        }

        var range: Range<UInt64> {
            let place = name >> Self.lengthBits
            return place..<place + (name & (1 << Self.lengthBits - 1))
        }
    }

    /// From `start` to the next piece's, of a line or, without one, unnamed.
    private struct Piece {
        var start: UInt64
        var line: Int32
    }

    private let limit: Int
    private var lines: [Line] = []
    private var pieces: [Piece] = []

    /// - Parameter limit: how many lines are kept: of those by which something is named, the last.
    init(limit: Int) { self.limit = max(limit, 1) }

    /// Those of a whole file; lines of another form are skipped.
    init(_ bytes: [UInt8], limit: Int) {
        self.init(limit: limit)
        bytes.withUnsafeBufferPointer { add($0, at: 0) }
        finish()
    }

    /// Adds lines, which are behind all others in the file. `finish` is to be called before anything is looked up.
    ///
    /// - Parameter place: of the bytes in the file.
    mutating func add(_ buffer: UnsafeBufferPointer<UInt8>, at place: UInt64) {
        var next = 0
        while next < buffer.count {
            let end = buffer[next...].firstIndex(of: UInt8(ascii: "\n")) ?? buffer.count
            if let line = Self.line(buffer, next..<end, at: place) {
                if lines.count >= limit { makeRoom() }
                lines.append(line)
            }
            next = end + 1
        }
    }

    /// Makes what has been added known to `find`.
    mutating func finish() {
        pieces = []
        flatten()
    }

    private mutating func makeRoom() {
        finish()
        var isShown = [Bool](repeating: false, count: lines.count)
        for piece in pieces where piece.line >= 0 { isShown[Int(piece.line)] = true }
        pieces = []
        lines = lines.indices.filter { isShown[$0] }.map { lines[$0] }
        if lines.count > limit / 4 * 3 { lines.removeFirst(lines.count - limit / 2) }
    }

    /// Bytes of memory that it holds.
    var bytesHeld: Int {
        lines.count * MemoryLayout<Line>.stride + pieces.count * MemoryLayout<Piece>.stride
    }

    /// Where the name for an address is in the file, and how far the address is from its start.
    func find(_ address: UInt64) -> (name: Range<UInt64>, offset: UInt64)? {
        var low = 0
        var high = pieces.count
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].start <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0, case let number = Int(pieces[low - 1].line), number >= 0 else { return nil }
        return (lines[number].range, address - lines[number].start)
    }

    /// "7f00 1c name with spaces"; "0x" may stand before the numbers.
    private static func line(_ buffer: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, at offset: UInt64)
        -> Line?
    {
        var place = range.lowerBound
        guard let start = number(buffer, &place, range.upperBound),
            let size = number(buffer, &place, range.upperBound), size > 0, place < range.upperBound
        else { return nil }
        let end = start.addingReportingOverflow(size)
        var nameEnd = range.upperBound
        if buffer[nameEnd - 1] == UInt8(ascii: "\r") { nameEnd -= 1 }
        guard !end.overflow, nameEnd > place else { return nil }
        let length = UInt64(min(nameEnd - place, NameTable.maximumLength))
        let name = offset + UInt64(place)
        guard name >> (64 - Line.lengthBits) == 0 else { return nil }
        return Line(start: start, end: end.partialValue, name: name..<name + length)
    }

    /// A hexadecimal number and the blanks behind it.
    private static func number(_ buffer: UnsafeBufferPointer<UInt8>, _ place: inout Int, _ end: Int)
        -> UInt64?
    {
        let isBlank = { (byte: UInt8) in byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
        if place + 2 < end, buffer[place] == UInt8(ascii: "0"), buffer[place + 1] | 0x20 == UInt8(ascii: "x")
        {
            place += 2
        }
        var value: UInt64 = 0
        var digits = 0
        while place < end, !isBlank(buffer[place]) {
            let byte = buffer[place]
            let lower = byte | 0x20
            guard digits < 16 else { return nil }
            if byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
                value = value << 4 | UInt64(byte - UInt8(ascii: "0"))
            } else if lower >= UInt8(ascii: "a"), lower <= UInt8(ascii: "f") {
                value = value << 4 | UInt64(lower - UInt8(ascii: "a") + 10)
            } else {
                return nil
            }
            digits += 1
            place += 1
        }
        while place < end, isBlank(buffer[place]) { place += 1 }
        return digits > 0 ? value : nil
    }

    /// Goes through the lines by start, with those that are open in a heap, the latest on top.
    private mutating func flatten() {
        let order = lines.indices.sorted { (lines[$0].start, $0) < (lines[$1].start, $1) }
        var open = LatestFirst()
        var next = 0
        while next < order.count || open.top != nil {
            let nextStart = next < order.count ? lines[order[next]].start : .max
            // What ends before anything begins uncovers what is below it.
            if let top = open.top, lines[top].end <= nextStart {
                let end = lines[top].end
                while let top = open.top, lines[top].end <= end { open.removeTop() }
                append(start: end, line: open.top)
                continue
            }
            while next < order.count, lines[order[next]].start == nextStart {
                open.insert(order[next])
                next += 1
            }
            append(start: nextStart, line: open.top)
        }
    }

    private mutating func append(start: UInt64, line: Int?) {
        let number = Int32(line ?? -1)
        if let last = pieces.last, last.start == start { pieces.removeLast() }
        if pieces.last?.line != number { pieces.append(Piece(start: start, line: number)) }
    }
}

/// A heap of numbers, the greatest on top.
private struct LatestFirst {
    private var items: [Int] = []

    var top: Int? { items.first }

    mutating func insert(_ item: Int) {
        items.append(item)
        var child = items.count - 1
        while child > 0, case let parent = (child - 1) / 2, items[parent] < items[child] {
            items.swapAt(parent, child)
            child = parent
        }
    }

    mutating func removeTop() {
        guard items.count > 1 else { return items.removeAll() }
        items.swapAt(0, items.count - 1)
        items.removeLast()
        var parent = 0
        while case let left = 2 * parent + 1, left < items.count {
            let greater = left + 1 < items.count && items[left + 1] > items[left] ? left + 1 : left
            guard items[greater] > items[parent] else { return }
            items.swapAt(parent, greater)
            parent = greater
        }
    }
}
