// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import Foundation
import Symbolization
import TestSupport
import Testing

@testable import Unwinding

/// Tables of programs of Go that have lost their DWARF, against those by the DWARF of the same program.
@Suite struct GoUnwindTests {
    private func build(_ flags: [String]) throws -> [UInt8] {
        let folder = NSTemporaryDirectory() + "apus-go-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let source = #filePath.replacingOccurrences(
            of: "UnwindingTests/GoUnwindTests.swift", with: "Programs/spinning.go")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments =
            ["HOME=\(folder)", "GO111MODULE=off", "GOFLAGS=", "CGO_ENABLED=0", "go", "build"] + flags
            + ["-o", folder + "/program", source]
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "go build \(flags)")
        return Array(try Data(contentsOf: URL(fileURLWithPath: folder + "/program")))
    }

    @Test func tablesAreThoseOfDWARF() throws {
        // Not compressed: what is compared is not how that is read.
        let full = try #require(UnwindTable(.memory(build(["-ldflags=-compressdwarf=false"]))))
        let stripped = try #require(UnwindTable(.memory(build(["-ldflags=-s -w"]))))
        var compared = 0
        var different: [UInt64] = []
        full.forEachRow { range, rule in
            guard rule.cfa == UInt8(CFA_STACK.rawValue) else { return }
            for address in [range.lowerBound, range.upperBound - 1] {
                let other = stripped.rule(at: address)
                // The stack ends in functions that nobody calls, whatever DWARF says.
                guard other.cfa != UInt8(CFA_ROOT.rawValue) else { continue }
                compared += 1
                if other.cfa != rule.cfa || other.cfa_offset != rule.cfa_offset { different.append(address) }
            }
        }
        #expect(compared > 2000)
        #expect(different.isEmpty, "\(different.prefix(10).map { String($0, radix: 16) }) of \(compared)")
    }
}
