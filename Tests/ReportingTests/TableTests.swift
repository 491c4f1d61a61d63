// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Reporting

private struct Row {
    var number: Int64 = 0
    var name = ""
    var note = ""
}

@Suite struct TableTests {
    private let number = Column<Row>("PID", width: 6, key: "pid") { $0.integer($1.number) }
    private let rightNumber = Column<Row>("FD", width: 4, .right, key: "fd") { $0.integer($1.number) }
    private let name = Column<Row>("COMM", width: 5, key: "comm") { $0.text($1.name) }
    private let note = Column<Row>("PATH", width: 10, key: "path") { $0.text($1.note) }
    private let writer = ByteWriter()

    private func text(_ columns: [Column<Row>], _ row: Row) -> String {
        writer.removeAll()
        Table(columns, json: false).write(row, to: writer)
        return writer.text
    }

    private func json(_ columns: [Column<Row>], _ row: Row, fields: [Column<Row>]? = nil) -> String {
        writer.removeAll()
        Table(columns, fields: fields, json: true).write(row, to: writer)
        return writer.text
    }

    @Test func theHeadingIsPaddedAsTheRowsAre() {
        Table([number, rightNumber, name, note], json: false).writeHeading(to: writer)
        #expect(writer.text == "PID      FD COMM  PATH\n")
    }

    @Test func cellsArePaddedToTheirSide() {
        let row = Row(number: 42, name: "cat", note: "/tmp")
        #expect(text([number, rightNumber, name, note], row) == "42       42 cat   /tmp\n")
    }

    @Test func negativeNumbersTakeTheirWidth() {
        #expect(text([rightNumber, number, note], Row(number: -1, note: "x")) == "  -1 -1     x\n")
    }

    @Test func whatIsTooWideIsNeverCutAndKeepsItsSpace() {
        let row = Row(number: 1_234_567_890, name: "a long name", note: "/a/path/longer/than/ten")
        #expect(
            text([number, rightNumber, name, note], row)
                == "1234567890 1234567890 a long name /a/path/longer/than/ten\n")
    }

    @Test func whatFitsExactlyIsNotPadded() {
        #expect(text([number, name, note], Row(number: 123456, name: "12345")) == "123456 12345 \n")
    }

    @Test func theLastColumnIsNotPaddedOnTheRight() {
        #expect(text([number, name], Row(number: 1, name: "x")) == "1      x\n")
        #expect(text([name], Row(name: "")) == "\n")
        Table([note, name], json: false).writeHeading(to: writer)
        #expect(writer.text.hasSuffix("COMM\n"))
    }

    @Test func aLastColumnOnTheRightIsPaddedOnTheLeft() {
        #expect(text([name, rightNumber], Row(number: 7, name: "x")) == "x        7\n")
    }

    @Test(arguments: [
        ("é", "é     |"), ("日本", "日本    |"), ("naïve", "naïve |"), ("größer", "größer |"),
        ("a\nb", "a\\nb  |"), ("\u{1b}", "\\x1b  |"), ("\\", "\\\\    |"),
    ])
    func charactersAreCountedAndNotBytes(given: String, cells: String) {
        let bar = Column<Row>("", key: nil) { cell, _ in cell.plain { $0.append("|") } }
        #expect(text([name, bar], Row(name: given)) == cells + "\n")
    }

    @Test func onlyTheRowAtHandCountsForPadding() {
        // A width left over from one cell would take from the next one's padding.
        let table = Table([name, name, number], json: false)
        for _ in 0..<2 { table.write(Row(number: 1, name: "wide name"), to: writer) }
        table.write(Row(number: 1, name: "x"), to: writer)
        #expect(writer.text == "wide name wide name 1\nwide name wide name 1\nx     x     1\n")
    }

    @Test func oneLineOfJSONPerRowWithKeysInOrder() {
        let row = Row(number: -1, name: "a\"b", note: "x\ny")
        #expect(
            json([number, rightNumber, name, note], row)
                == #"{"pid":-1,"fd":-1,"comm":"a\"b","path":"x\u000ay"}"# + "\n")
    }

    @Test func jsonHasNoHeading() {
        Table([number, name], json: true).writeHeading(to: writer)
        #expect(writer.count == 0)
    }

    @Test func jsonHasItsOwnFields() {
        #expect(
            json([name], Row(number: 3, name: "x"), fields: [number, name]) == #"{"pid":3,"comm":"x"}"# + "\n"
        )
        Table([name], fields: [number, name], json: false).write(Row(number: 3, name: "x"), to: writer)
        #expect(writer.text.hasSuffix("\nx\n"))
    }

    @Test func aColumnWithoutAKeyIsNotInJSON() {
        let silent = Column<Row>("BAR", width: 3, key: nil) { $0.integer($1.number) }
        #expect(json([silent, name], Row(name: "x")) == #"{"comm":"x"}"# + "\n")
        #expect(json([name, silent], Row(name: "x")) == #"{"comm":"x"}"# + "\n")
        #expect(json([silent], Row()) == "{}\n")
    }

    @Test func valuesHaveTheirFormInEach() throws {
        let columns = [
            Column<Row>("A", width: 9, key: "octal") { cell, _ in cell.octal(0o2_000_000, digits: 8) },
            Column<Row>("B", width: 5, key: "mode") { cell, _ in cell.octal(0o644, digits: 4) },
            Column<Row>("C", width: 3, key: "none") { cell, _ in cell.missing() },
            Column<Row>("D", width: 4, key: "word") { cell, _ in cell.missing("n/a") },
            Column<Row>("E", key: "big") { cell, _ in cell.unsigned(.max) },
        ]
        #expect(text(columns, Row()) == "02000000  0644  -   n/a  18446744073709551615\n")
        #expect(
            json(columns, Row())
                == #"{"octal":524288,"mode":420,"none":null,"word":null,"big":18446744073709551615}"# + "\n")
    }

    @Test(
        arguments: [([], "[]"), (["a"], #"["a"]"#), (["a", "b\"", ""], #"["a","b\"",""]"#)]
            as [([String], String)])
    func arrays(items: [String], output: String) {
        let column = Column<Row>("", key: "list") { cell, _ in cell.array(items) }
        #expect(json([column], Row()) == #"{"list":"# + output + "}\n")
    }

    @Test func furtherFieldsAreForJSONAlone() throws {
        let column = Column<Row>("PATH", key: "path") { cell, row in
            cell.text(row.note)
            cell.alsoField("more") { $0.text(row.name) }
            cell.alsoField("less") { $0.missing() }
        }
        let row = Row(number: 5, name: "n", note: "p")
        #expect(text([column, number], row) == "p 5\n")
        #expect(json([column, number], row) == #"{"path":"p","more":"n","less":null,"pid":5}"# + "\n")
    }

    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func everyRowIsOneLineWhateverItsText(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<50 {
            let row = Row(number: 1, name: random.text(most: 20), note: random.text(most: 20))
            let line = json([name, number, note], row)
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            #expect((object?["comm"] as? String).map { Array($0.utf8) } == Array(row.name.utf8))
            #expect((object?["path"] as? String).map { Array($0.utf8) } == Array(row.note.utf8))
            for output in [line, text([name, number, note], row)] {
                #expect(output.utf8.filter { $0 < 32 } == [10])
                #expect(output.utf8.last == 10)
            }
        }
    }
}
