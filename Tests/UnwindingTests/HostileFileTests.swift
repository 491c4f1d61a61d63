// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import Foundation
import Symbolization
import TestSupport
import Testing

@testable import Unwinding

/// Files with numbers at which something ends, or made to cost much. Sound tables come of some of them, or none.
///
/// Short; APUS_FUZZ_SECONDS=20 goes on for that long, APUS_FUZZ_SEED=1 and so on elsewhere.
@Suite(.serialized) struct HostileFileTests {
    private static let environment = ProcessInfo.processInfo.environment
    private let seconds = Double(environment["APUS_FUZZ_SECONDS"] ?? "") ?? 0
    private let seed = UInt64(environment["APUS_FUZZ_SEED"] ?? "") ?? 42

    private func read(_ bytes: [UInt8]) {
        guard let table = UnwindTable(.memory(bytes), debugFile: { _ in .memory(bytes) }) else { return }
        #expect(table.rows.allSatisfy { Int($0 >> 16) < table.rules.count })
        #expect(table.pages.count <= UnwindRows.maximumPages + 1)
        var rows = 0
        table.forEachRow { range, _ in rows += range.isEmpty ? 0 : 1 }
        #expect(rows >= table.rows.count)
        for address in [table.base, table.base &- 1, 0, .max] as [UInt64] { _ = table.rule(at: address) }
    }

    @Test(arguments: HostileKind.all.filter { !$0.isPerfMap }) func kinds(kind: HostileKind) {
        let bytes = kind.bytes
        let began = ProcessInfo.processInfo.systemUptime
        read(bytes)
        #expect(ProcessInfo.processInfo.systemUptime - began < 30)
    }

    @Test func structures() {
        var random = SeededGenerator(seed: seed)
        let end = ProcessInfo.processInfo.systemUptime + seconds
        var round = 0
        while round < 2000 || ProcessInfo.processInfo.systemUptime < end {
            let bytes = HostileELF.random(&random).bytes
            let began = ProcessInfo.processInfo.systemUptime
            read(bytes)
            #expect(ProcessInfo.processInfo.systemUptime - began < 10, "round \(round) of seed \(seed)")
            round += 1
        }
    }
}
