// SPDX-License-Identifier: Apache-2.0
internal import Arithmetic
internal import Reporting

/// Two recordings side by side: what was, what is, and by how much it has changed.
struct DistributionComparison {
    private let pairs: [(name: String, before: Distribution, after: Distribution)]

    /// Matches by what the distributions are of and by name; one that is on one side only is compared with nothing.
    init(before: [DistributionRecord], after: [DistributionRecord]) {
        let partners = Dictionary(after.map { (Key($0), $0) }, uniquingKeysWith: { first, _ in first })
        let known = Set(before.map(Key.init))
        pairs =
            before.map { record in
                let partner = partners[Key(record)]
                return (Self.title(record), record.distribution, partner?.distribution ?? Distribution())
            }
            + after.filter { !known.contains(Key($0)) }.map { record in
                (Self.title(record), Distribution(), record.distribution)
            }
    }

    private struct Key: Hashable {
        let by: String
        let name: String

        init(_ record: DistributionRecord) {
            by = record.by
            name = record.name
        }
    }

    private static func title(_ record: DistributionRecord) -> String {
        record.by == "all" ? "all" : "\(record.by) \(record.name)"
    }

    struct Line {
        let what: String
        let measure: StaticString
        let before: UInt64
        let after: UInt64
        /// Durations are shown in microseconds.
        let isTime: Bool

        /// In per cent; nil if there was nothing before.
        var change: Double? { before == 0 ? nil : (Double(after) / Double(before) - 1) * 100 }
    }

    var lines: [Line] {
        pairs.flatMap { pair -> [Line] in
            let measures: [(StaticString, Bool, (Distribution) -> UInt64)] = [
                ("count", false, { $0.count }), ("p50", true, { $0.percentile(0.5) }),
                ("p99", true, { $0.percentile(0.99) }), ("max", true, { $0.maximum }),
            ]
            return measures.map { measure in
                Line(
                    what: pair.name, measure: measure.0, before: measure.2(pair.before),
                    after: measure.2(pair.after), isTime: measure.1)
            }
        }
    }

    func write(to output: Output, json: Bool) throws {
        let table = Table(Self.columns, json: json)
        try output.write { table.writeHeading(to: $0) }
        for line in lines { try output.row(table, line) }
    }

    static var columns: [Column<Line>] {
        [
            Column("WHAT", width: 32, key: "what") { $0.text($1.what) },
            Column("MEASURE", width: 9, key: "measure") { cell, line in
                cell.text(line.measure.description + (line.isTime ? cell.form == .json ? "_ns" : "(us)" : ""))
            },
            Column("BEFORE", width: 14, .right, key: "before") { write($1.before, of: $1, to: &$0) },
            Column("AFTER", width: 14, .right, key: "after") { write($1.after, of: $1, to: &$0) },
            Column("CHANGE", width: 9, .right, key: "change_percent") { cell, line in
                guard let change = line.change else { return cell.missing() }
                let tenths = Int64(clampingRounded: change * 10)
                let sign = tenths < 0 ? "-" : cell.form == .text ? "+" : ""
                let text =
                    "\(sign)\(tenths.magnitude / 10).\(tenths.magnitude % 10)\(cell.form == .text ? "%" : "")"
                cell.plain { $0.append(text) }
            },
        ]
    }

    private static func write(_ value: UInt64, of line: Line, to cell: inout Cell) {
        guard line.isTime && cell.form == .text else { return cell.unsigned(value) }
        cell.plain { writer in
            writer.appendNumber(value / 1000)
            writer.append(".")
            writer.appendNumber(value % 1000 / 100)
        }
    }
}
