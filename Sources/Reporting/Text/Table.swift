// SPDX-License-Identifier: Apache-2.0

/// One column, declared once: its heading, its place in the table, its key in JSON, and how a row's value is written.
package final class Column<Row> {
    package enum Alignment { case left, right }

    package let heading: String
    package let width: Int
    package let alignment: Alignment
    /// The name of the field in JSON; nil for a column that only people need.
    package let key: String?
    package let write: (inout Cell, borrowing Row) -> Void

    package init(
        _ heading: String, width: Int = 0, _ alignment: Alignment = .left, key: String?,
        write: @escaping (inout Cell, borrowing Row) -> Void
    ) {
        self.heading = heading
        self.width = width
        self.alignment = alignment
        self.key = key
        self.write = write
    }
}

/// Where a column's value goes: characters of a table or a value of JSON.
package struct Cell {
    package enum Form { case text, json }
    package let form: Form
    package let writer: ByteWriter
    /// What the cell takes on the screen.
    fileprivate var width = 0

    fileprivate init(_ form: Form, _ writer: ByteWriter) {
        self.form = form
        self.writer = writer
    }

    package mutating func integer(_ value: Int64) {
        let start = writer.count
        writer.appendNumber(value)
        width += writer.count - start
    }

    package mutating func unsigned(_ value: UInt64) { plain { $0.appendNumber(value) } }

    /// Octal digits in a table, a number in JSON.
    package mutating func octal(_ value: UInt64, digits: Int) {
        let json = form == .json
        plain { $0.appendNumber(value, radix: json ? 10 : 8, minimumDigits: json ? 1 : digits) }
    }

    /// Foreign text: escaped for the form.
    ///
    /// - Returns: whether JSON could hold all of it, as it cannot what is not UTF-8.
    @discardableResult
    package mutating func text(_ text: UnsafeRawBufferPointer) -> Bool {
        switch form {
        case .text:
            width += writer.appendEscaped(text)
            return true
        case .json: return writer.appendJSONString(text)
        }
    }

    /// A word of ours, in quotes where JSON wants them.
    package mutating func word(_ word: StaticString) {
        let quoted = form == .json
        plain { writer in
            if quoted { writer.append(UInt8(ascii: "\"")) }
            writer.append(word)
            if quoted { writer.append(UInt8(ascii: "\"")) }
        }
    }

    package mutating func text(_ text: String) {
        var text = text
        _ = text.withUTF8 { self.text(UnsafeRawBufferPointer($0)) }
    }

    /// What is written is all ASCII and needs no escape.
    package mutating func plain(_ append: (ByteWriter) -> Void) {
        let start = writer.count
        append(writer)
        width += writer.count - start
    }

    /// No value: a word in a table, `null` in JSON.
    package mutating func missing(_ word: StaticString = "-") {
        let text = form == .json ? "null" : word
        plain { $0.append(text) }
    }

    package mutating func array(_ items: [String]) {
        plain { writer in
            writer.append(UInt8(ascii: "["))
            for (index, item) in items.enumerated() {
                if index > 0 { writer.append(UInt8(ascii: ",")) }
                writer.appendJSONString(item)
            }
            writer.append(UInt8(ascii: "]"))
        }
    }

    /// Adds a field to the JSON object behind this one; does nothing in a table.
    package mutating func alsoField(_ key: StaticString, _ write: (inout Cell) -> Void) {
        guard form == .json else { return }
        writer.append(",\"")
        writer.append(key)
        writer.append("\":")
        write(&self)
    }
}

/// The columns of a command, and the two ways to write a row of them.
package struct Table<Row> {
    package let columns: [Column<Row>]
    /// The columns that a person sees, in their order.
    private let shown: [Column<Row>]
    private let form: Cell.Form

    /// - Parameters:
    ///   - fields: what JSON holds; defaults to the columns shown.
    ///   - json: rows are JSON lines, and there is no heading.
    package init(_ shown: [Column<Row>], fields: [Column<Row>]? = nil, json: Bool) {
        self.shown = shown
        columns = fields ?? shown
        form = json ? .json : .text
    }

    package func writeHeading(to writer: ByteWriter) {
        guard form == .text else { return }
        for (index, column) in shown.enumerated() {
            let padding = column.width - column.heading.utf8.count
            let last = index == shown.count - 1
            if column.alignment == .right { writer.append(repeating: 32, count: padding) }
            writer.append(column.heading)
            if column.alignment == .left && !last { writer.append(repeating: 32, count: padding) }
            writer.append(last ? UInt8(10) : 32)
        }
    }

    package func write(_ row: borrowing Row, to writer: ByteWriter) {
        var cell = Cell(form, writer)
        switch form {
        case .text: writeText(row, to: &cell)
        case .json: writeJSON(row, to: &cell)
        }
    }

    private func writeText(_ row: borrowing Row, to cell: inout Cell) {
        for index in shown.indices {
            let column = shown[index]
            let last = index == shown.count - 1
            let start = cell.writer.count
            cell.width = 0
            column.write(&cell, row)
            let padding = column.width - cell.width
            switch column.alignment {
            case .right: cell.writer.insert(repeating: 32, count: padding, at: start)
            case .left: if !last { cell.writer.append(repeating: 32, count: padding) }
            }
            cell.writer.append(last ? UInt8(10) : 32)
        }
    }

    private func writeJSON(_ row: borrowing Row, to cell: inout Cell) {
        cell.writer.append(UInt8(ascii: "{"))
        var first = true
        for column in columns {
            guard let key = column.key else { continue }
            if !first { cell.writer.append(UInt8(ascii: ",")) }
            first = false
            cell.writer.append(UInt8(ascii: "\""))
            cell.writer.append(key)
            cell.writer.append("\":")
            column.write(&cell, row)
        }
        cell.writer.append("}\n")
    }
}
