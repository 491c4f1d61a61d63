// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Symbolization

/// Programs of Go without symbols and DWARF, against what `nm` and Go's own tools say of the same program with them.
@Suite struct GoFunctionTests {
    private let directory: TemporaryDirectory
    private static let source = #filePath.replacingOccurrences(
        of: "SymbolizationTests/GoFunctionTests.swift", with: "Programs/spinning.go")

    init() throws { directory = try TemporaryDirectory() }

    private func build(_ name: String, _ flags: String...) throws -> (path: String, bytes: [UInt8]) {
        let path = try directory.file(name)
        let settings = ["HOME=\(directory.path)", "GO111MODULE=off", "GOFLAGS=", "CGO_ENABLED=0"]
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = settings + ["go", "build"] + flags + ["-o", path, Self.source]
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "go build \(flags)")
        return (path, Array(try Data(contentsOf: URL(fileURLWithPath: path))))
    }

    private func elf(_ bytes: [UInt8]) throws -> ELFFile { try #require(ELFFile(.memory(bytes))) }

    @Test func strippedProgramsHaveTheNamesOfTheirFunctions() throws {
        let full = try build("full")
        let stripped = try build("stripped", "-ldflags=-s -w")
        #expect(try !elf(stripped.bytes).hasSymbols)
        var builder = SymbolIndexBuilder(limit: .max, code: try elf(stripped.bytes).codeRanges())
        builder.addGoFunctions(try elf(stripped.bytes))
        let index = builder.finishELF()
        var checked = 0
        for line in try output("nm", full.path).split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 2)
            guard words.count == 3, words[1].lowercased() == "t", let address = UInt64(words[0], radix: 16),
                // The linker's own, without code.
                !["runtime.text", "runtime.etext", "go.buildid", "go:buildid"].contains(words[2]),
                !words[2].hasSuffix(".abi0"), !words[2].hasPrefix("_rt0"), !words[2].hasPrefix("type")
            else { continue }
            let name = index.find(address).flatMap { index.name(of: $0) }
            #expect(name.map { String(decoding: $0, as: UTF8.self) } == String(words[2]))
            checked += 1
        }
        #expect(checked > 500)
    }

    @Test(arguments: [["-ldflags=-s -w"], ["-buildmode=pie", "-ldflags=-s -w"]])
    func strippedProgramsHaveLines(flags: [String]) throws {
        let full = try build("full")
        let stripped =
            flags.count == 1 ? try build("stripped", flags[0]) : try build("stripped", flags[0], flags[1])
        let functions = try #require(GoFunctions(try elf(full.bytes)))
        let other = try #require(GoFunctions(try elf(stripped.bytes)))
        // The same in both, wherever they were put.
        let names = ["main.spins", "main.serves", "main.main", "runtime.mallocgc", "fmt.Fprintln"]
        func starts(_ functions: GoFunctions, _ source: [UInt8]) -> [String: GoFunctions.Function] {
            let table = functions.names(in: .memory(source))
            var found: [String: GoFunctions.Function] = [:]
            for number in 0..<functions.count {
                guard let function = functions.function(number),
                    let name = functions.name(of: function).flatMap({ table.name(at: $0) })
                else { continue }
                found[String(decoding: name, as: UTF8.self)] = function
            }
            return found
        }
        let (here, there) = (starts(functions, full.bytes), starts(other, stripped.bytes))
        for name in names {
            let function = try #require(here[name])
            let moved = try #require(there[name])
            let addresses = stride(from: UInt64(0), to: min(function.end - function.start, 160), by: 3)
            let asked = addresses.map { "0x" + String(function.start + $0, radix: 16) }.joined(
                separator: "\n")
            let answers = try output("go", "tool", "addr2line", full.path, input: asked)
                .split(separator: "\n")
            for (index, offset) in addresses.enumerated() {
                let line = other.line(at: moved.start + offset)
                let file = line.map { String(decoding: $0.file, as: UTF8.self) } ?? ""
                // Go's tool says -1 where there is none.
                #expect("\(file):\(line?.line ?? -1)" == answers[2 * index + 1])
            }
        }
    }

    @Test func damagedTablesAreRead() throws {
        let environment = ProcessInfo.processInfo.environment
        let seconds = Double(environment["APUS_FUZZ_SECONDS"] ?? "") ?? 0
        var random = SeededGenerator(seed: UInt64(environment["APUS_FUZZ_SEED"] ?? "") ?? 42)
        let bytes = try build("stripped", "-ldflags=-s -w").bytes
        let section = try #require(try elf(bytes).section(named: ".gopclntab"))
        let place = Int(section.offset)..<Int(section.offset + section.size)
        let end = monotonicNanoseconds() + UInt64(seconds * 1e9)
        var round = 0
        while round < 100 || monotonicNanoseconds() < end {
            var table = Array(bytes[place])
            for _ in 0...random.below(6) where table.count > 64 {
                // Half of them in the header, where most depends on each byte.
                if random.below(2) == 0 {
                    table[random.below(72)] = UInt8(truncatingIfNeeded: random.next())
                } else {
                    random.damage(&table)
                }
            }
            // The versions before have the same fields elsewhere.
            if random.below(4) == 0 { table[0] = [0xf0, 0xf1, 0xfa, 0xfb][random.below(4)] }
            var damaged = bytes
            damaged.replaceSubrange(
                place.lowerBound..<place.lowerBound + min(table.count, place.count),
                with: table.prefix(place.count))
            let start = cpuSeconds()
            if let elf = ELFFile(.memory(damaged)), let functions = GoFunctions(elf) {
                var builder = SymbolIndexBuilder(limit: 1 << 16, code: elf.codeRanges())
                builder.addGoFunctions(elf)
                let index = builder.finishELF()
                for _ in 0..<50 {
                    let address = 0x401000 + UInt64(random.below(0x80000))
                    _ = functions.line(at: address)
                    if let number = index.find(address) { _ = index.name(of: number) }
                    guard let function = functions.function(random.below(max(1, functions.count))) else {
                        continue
                    }
                    _ = functions.isRoot(function)
                    var last = function.start
                    functions.forEachDepth(of: function) { range, _ in
                        #expect(range.lowerBound >= last && range.upperBound <= function.end)
                        last = range.upperBound
                    }
                }
            }
            #expect(cpuSeconds() - start < 5)
            round += 1
        }
    }
}
