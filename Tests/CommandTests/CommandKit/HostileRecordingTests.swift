// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Commands
@testable import Reporting

/// Recordings that somebody else has made: numbers at the ends of their types and beyond, fields of other types, text
/// without end.
///
/// Short; APUS_FUZZ_SECONDS=20 goes on for that long, APUS_FUZZ_SEED=1 and so on elsewhere.
@Suite(.serialized) struct HostileRecordingTests {
    private static let environment = ProcessInfo.processInfo.environment
    private let seconds = Double(environment["APUS_FUZZ_SECONDS"] ?? "") ?? 0
    private let seed = UInt64(environment["APUS_FUZZ_SEED"] ?? "") ?? 42

    private func read(_ bytes: [UInt8], piece: Int = .max) -> RecordingReader {
        var reader = RecordingReader(FoldedReader())
        var rest = bytes[...]
        while !rest.isEmpty {
            Array(rest.prefix(piece)).withUnsafeBytes { reader.read($0) }
            rest = rest.dropFirst(piece)
        }
        return reader
    }

    /// All that is made of recordings.
    private func use(_ before: Profile, _ after: Profile) throws {
        let writer = ByteWriter()
        FoldedStacks().write(after, to: writer)
        try after.writePprof(to: writer)
        FlameGraph(after, FlameGraph.Options()).writeSVG(to: writer)
        guard before.valueTypes == after.valueTypes else { return }
        FlameGraph(before: before, after: after, FlameGraph.Comparison(), FlameGraph.Options())
            .writeHTML(to: writer)
        for byCount in [false, true] {
            let difference = MemleakDiff(before: before, after: after, byCount: byCount)
            difference.writeText(most: 10, isEstimate: true, to: writer)
            difference.writeJSON(most: 10, isEstimate: true, to: writer)
        }
        #expect(writer.count > 0)
    }

    private func number(_ random: inout SeededGenerator) -> String {
        switch random.below(8) {
        case 0: "99999999999999999999"
        case 1: "-1"
        case 2: "1e400"
        case 3: "\(Int64(bitPattern: random.extreme())).5"
        case 4: "\(Int64(bitPattern: random.extreme()))"
        case 5: "null"
        default: "\(random.extreme())"
        }
    }

    private func object(_ random: inout SeededGenerator) -> String {
        var frames: [String] = []
        for index in 0..<random.below(5) {
            let text = random.below(4) == 0 ? "null" : "\"f\(index)\""
            frames.append(
                "{\"kind\":\"user\",\"function\":\(text),\"module\":\"/m\",\"line\":\(number(&random)),"
                    + "\"address\":\(number(&random)),\"module_offset\":\(number(&random)),\"inlined\":false}"
            )
        }
        let values = ["bytes", "allocations", "samples", "wall_ns", "off_cpu_ns", "stacks"]
        var text = "{\"type\":\"\(random.below(4) == 0 ? "report" : "stack")\",\"comm\":\"c\""
        for value in values.prefix(random.below(2) == 0 ? 2 : 6) where random.below(4) > 0 {
            text += ",\"\(value)\":\(number(&random))"
        }
        return text + ",\"frames\":[" + frames.joined(separator: ",") + "]}\n"
    }

    @Test func anyNumbers() throws {
        var random = SeededGenerator(seed: seed)
        let end = ProcessInfo.processInfo.systemUptime + seconds
        var last: Profile?
        var round = 0
        while round < 300 || ProcessInfo.processInfo.systemUptime < end {
            var text = ""
            let isFolded = random.below(3) == 0
            for index in 0..<random.below(12) {
                text += isFolded ? "a;b\(index % 3);c \(number(&random))\n" : object(&random)
            }
            var bytes = Array(text.utf8)
            if random.below(3) == 0, !bytes.isEmpty { random.damage(&bytes) }
            var reader = read(bytes, piece: random.below(2) == 0 ? 100 : .max)
            if let profile = reader.finish().profile, profile.count > 0 {
                try use(last ?? profile, profile)
                last = profile
            }
            round += 1
        }
    }

    /// Objects in objects, and lines without end: no more memory than the input takes, and no more depth than there is.
    @Test(arguments: ["[", "{\"frames\":", "{\"waker\":{\"comm\":\"c\",\"frames\":[]},\"a\":"])
    func nesting(part: String) {
        let line = Array(("{\"type\":\"stack\",\"x\":" + String(repeating: part, count: 100_000)).utf8)
        var reader = read(line + [10] + Array("{\"type\":\"stack\",\"samples\":3,\"frames\":[]}\n".utf8))
        #expect(reader.finish().profile?.totals == [3])
    }

    @Test func aLineThatNeverEnds() {
        var reader = RecordingReader(FoldedReader())
        let piece = [UInt8](repeating: UInt8(ascii: "a"), count: 1 << 20)
        Array("{\"type\":\"".utf8).withUnsafeBytes { reader.read($0) }
        for _ in 0..<100 { piece.withUnsafeBytes { reader.read($0) } }
        Array("\n{\"type\":\"stack\",\"samples\":3,\"frames\":[]}\n".utf8).withUnsafeBytes { reader.read($0) }
        #expect(reader.finish().profile?.totals == [3])
    }

    /// As deep as a line goes, and as wide as a file.
    @Test func deepAndWide() throws {
        let deep = String(repeating: "f;", count: 100_000) + " 1\n"
        let wide = (0..<20_000).map { "f\($0);g 1\n" }.joined()
        var reader = read(Array((deep + wide).utf8))
        let profile = try #require(reader.finish().profile)
        #expect(profile.totals == [20_001])
        try use(profile, profile)
    }
}
