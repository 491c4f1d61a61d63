// SPDX-License-Identifier: Apache-2.0
internal import FoundationEssentials
internal import Processes
internal import Reporting

/// A distribution as a command prints it, and as `--compare` reads it back.
struct DistributionRecord: Equatable {
    let command: String
    /// What it is of: "thread", "process", "pid_namespace", "cgroup", "cpu", "all".
    let by: String
    let id: UInt64
    /// What a person calls it, and what two recordings are matched by.
    let name: String
    let distribution: Distribution

    static let percentiles: [(share: Double, key: StaticString)] = [
        (0.5, "p50_ns"), (0.9, "p90_ns"), (0.99, "p99_ns"), (0.999, "p999_ns"),
    ]

    /// Writes a JSON object on a line of its own.
    ///
    /// - Parameter more: writes further fields, each with a comma in front.
    func writeJSON(to writer: ByteWriter, more: (ByteWriter) -> Void = { _ in }) {
        writer.append("{\"type\":\"distribution\",\"command\":")
        writer.appendJSONString(command)
        writer.append(",\"by\":")
        writer.appendJSONString(by)
        writer.append(",\"id\":")
        writer.appendNumber(id)
        writer.append(",\"name\":")
        writer.appendJSONString(name)
        let values: [(StaticString, UInt64)] =
            [
                ("count", distribution.count), ("total_ns", distribution.total),
                ("max_ns", distribution.maximum),
            ] + Self.percentiles.map { ($0.key, distribution.percentile($0.share)) }
        for (key, value) in values {
            writer.append(",\"")
            writer.append(key)
            writer.append("\":")
            writer.appendNumber(value)
        }
        more(writer)
        writer.append(",\"buckets\":[")
        for (index, bucket) in distribution.buckets.enumerated() {
            writer.append(index == 0 ? "{\"low_ns\":" : ",{\"low_ns\":")
            writer.appendNumber(bucket.low)
            writer.append(",\"high_ns\":")
            writer.appendNumber(bucket.high)
            writer.append(",\"count\":")
            writer.appendNumber(bucket.count)
            writer.append("}")
        }
        writer.append("]}\n")
    }

    /// Those of one name added up: names are what two runs have in common.
    static func merged(_ records: [DistributionRecord]) -> [DistributionRecord] {
        var sums: [String: DistributionRecord] = [:]
        for record in records {
            var sum = sums[record.name]?.distribution ?? Distribution()
            sum.add(record.distribution)
            sums[record.name] = DistributionRecord(
                command: record.command, by: record.by, id: record.id, name: record.name, distribution: sum)
        }
        return sums.values.sorted { $0.name < $1.name }
    }

    /// Reads what `--json` has written; several objects of one name (intervals, threads) are added up.
    ///
    /// - Throws: `CommandFailure` if the file cannot be read or holds no distribution.
    static func read(_ path: String) throws -> [DistributionRecord] {
        guard let bytes = readFile(path, limit: 1 << 28) else {
            throw CommandFailure("cannot read '\(escaped(path))': give a file that --json has written")
        }
        var order: [String] = []
        var found: [String: DistributionRecord] = [:]
        for line in bytes.split(separator: 10) {
            guard let decoded = try? JSONDecoder().decode(Recorded.self, from: Data(line)) else { continue }
            let record = decoded.record
            let key = record.by + "\0" + record.name
            if let known = found[key] {
                var sum = known.distribution
                sum.add(record.distribution)
                found[key] = DistributionRecord(
                    command: known.command, by: known.by, id: known.id, name: known.name, distribution: sum)
            } else {
                order.append(key)
                found[key] = record
            }
        }
        guard !order.isEmpty else {
            throw CommandFailure("'\(escaped(path))' holds no distribution: record one with --json")
        }
        return order.compactMap { found[$0] }
    }

    /// The fields that comparing needs; others may be there.
    private struct Recorded: Decodable {
        struct Bucket: Decodable {
            let low_ns: UInt64
            let high_ns: UInt64
            let count: UInt64
        }

        let command: String
        let by: String
        let id: UInt64
        let name: String
        let total_ns: UInt64
        let max_ns: UInt64
        let buckets: [Bucket]

        var record: DistributionRecord {
            DistributionRecord(
                command: command, by: by, id: id, name: name,
                distribution: Distribution(
                    buckets: buckets.filter { $0.high_ns > $0.low_ns && $0.count < 1 << 48 }.map {
                        Distribution.Bucket(low: $0.low_ns, high: $0.high_ns, count: $0.count)
                    }, total: total_ns, maximum: max_ns))
        }
    }
}
