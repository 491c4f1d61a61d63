// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import Foundation
import TestSupport
import Testing

@testable import Reading
@testable import Symbolization
@testable import Unwinding

/// What a reader of files says that one of them has taken over: it has no privileges, and must not end who has.
///
/// Short; APUS_FUZZ_SECONDS=20 goes on for that long, APUS_FUZZ_SEED=1 and so on elsewhere.
@Suite(.serialized) struct HostileReaderTests {
    private static let environment = ProcessInfo.processInfo.environment
    private let seconds = Double(environment["APUS_FUZZ_SECONDS"] ?? "") ?? 0
    private let seed = UInt64(environment["APUS_FUZZ_SEED"] ?? "") ?? 42

    /// Sound messages of all kinds.
    private var messages: [[UInt8]] {
        var facts = MessageWriter()
        let segment = ELFFile.Segment(type: 1, flags: 5, offset: 0, address: 0x1000, fileSize: 0x1000)
        CodeFileFacts(
            buildID: [1, 2, 3], isComplete: false, segments: [segment, segment],
            debugLink: CodeFileFacts.DebugLink(name: "other.debug", checksum: 7)
        ).write(to: &facts)
        var named = MessageWriter()
        let names = [
            NamedPlace.Name(function: "f", file: "/a.c", line: 3, isInlined: true),
            NamedPlace.Name(function: "g", file: nil, line: nil),
        ]
        NamedPlaces.write([NamedPlace(offset: 4, names: names), NamedPlace()], to: &named)
        ReaderEffort(symbolsIndexed: 1, evictions: 2, bytesHeld: 3).write(to: &named)
        var table = MessageWriter()
        UnwindTable(
            base: 0x1000, pageSizes: [2, 0, 1], rows: [0, 1 << 16 | 8, 0], rules: [.init(), .init()])?
            .write(to: &table)
        return [facts.bytes, named.bytes, table.bytes]
    }

    /// Reads a message as each of the kinds.
    private func read(_ bytes: [UInt8], _ random: inout SeededGenerator) -> Int {
        var understood = 0
        var facts = MessageReader(bytes)
        if let facts = try? CodeFileFacts(&facts) {
            let map = SegmentMap(facts.segments)
            for _ in 0..<4 {
                _ = map.address(ofOffset: random.extreme(near: [0x1000]))
                _ = map.codeAddress(ofOffset: random.extreme(near: [0x1000]), bytes: random.extreme())
            }
            #expect(facts.debugLink?.name.contains("/") != true)
            understood += 1
        }
        var named = MessageReader(bytes)
        if let places = try? NamedPlaces.read(&named) {
            #expect(places.allSatisfy { !$0.names.isEmpty })
            _ = try? ReaderEffort(&named)
            understood += 1
        }
        var rows = MessageReader(bytes)
        if let table = try? UnwindTable(&rows) {
            for _ in 0..<4 { _ = table.rule(at: random.extreme(near: [0x1000, table.base])) }
            understood += 1
        }
        return understood
    }

    @Test func damagedMessages() {
        var random = SeededGenerator(seed: seed)
        let whole = messages
        for message in whole { #expect(read(message, &random) >= 1) }
        let end = ProcessInfo.processInfo.systemUptime + seconds
        var round = 0
        while round < 3000 || ProcessInfo.processInfo.systemUptime < end {
            var bytes = whole[random.below(whole.count)]
            if random.below(4) == 0 {
                // Numbers of four and eight bytes, in the place of counts and of what they count.
                bytes = (0..<random.below(12)).flatMap { _ -> [UInt8] in
                    let value = random.extreme(near: [0, 4, 16])
                    let size = random.below(2) == 0 ? 4 : 8
                    return withUnsafeBytes(of: value.littleEndian) { Array($0.prefix(size)) }
                }
            }
            for _ in 0..<random.below(4) where !bytes.isEmpty { random.damage(&bytes) }
            _ = read(bytes, &random)
            round += 1
        }
    }

    /// Counts at the ends of numbers.
    @Test func effortsThatNobodyCanHaveMade() {
        let symbolizer = Symbolizer(options: SymbolizerOptions(), reader: Boasting())
        let statistics = symbolizer.statistics
        #expect(statistics.symbolsIndexed == .max && statistics.evictions == .max)
        #expect(statistics.bytesHeld == .max)
        // Names of the kernel count as well.
        _ = symbolizer.frames(kernel: 0xffff_ffff_8100_0000, isReturnAddress: false)
        #expect(symbolizer.statistics.symbolsIndexed == .max)
    }

    private final class Boasting: CodeReader {
        func facts(of source: ByteSource) -> CodeFileFacts? { nil }
        func names(at places: [CodePlace]) -> [NamedPlace] { [] }
        func forget(module number: Int) {}
        var effort: ReaderEffort { ReaderEffort(symbolsIndexed: .max, evictions: .max, bytesHeld: .max) }
    }
}
