// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Symbolization

/// Against nm, gdb and addr2line on what is installed.
@Suite struct StockBinaryTests {
    private static let files = [
        "/bin/bash", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
        "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/usr/bin/gdb",
        "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
    ].filter { (path: String) in access(path, R_OK) == 0 }

    /// Every sized function that nm lists is found at its first and at its last byte, unless another begins
    /// between them.
    @Test(arguments: files) func everyFunctionOfNMIsFound(file: String) throws {
        var starts: [UInt64: Set<String>] = [:]
        var sizes: [UInt64: UInt64] = [:]
        for table in ["--dynamic", "--debug-syms"] {
            for line in try output("nm", table, "--defined-only", "-S", file).split(separator: "\n") {
                let fields = line.split(separator: " ")
                guard fields.count == 4, "tTwWi".contains(fields[2]),
                    let start = UInt64(fields[0], radix: 16),
                    let size = UInt64(fields[1], radix: 16), size > 0
                else { continue }
                let name = fields[3].split(separator: "@")[0]
                starts[start, default: []].insert(String(name))
                sizes[start] = max(size, sizes[start] ?? 0)
            }
        }
        #expect(starts.count > 10)
        let index = try index(of: file)
        var wrong: [String] = []
        for (start, names) in starts {
            let last = start + (sizes[start] ?? 1) - 1
            for address in [start, last] {
                guard let number = index.find(address) else {
                    wrong.append("\(names) at \(address)")
                    continue
                }
                let symbol = index.symbols[number]
                if symbol.address > start, symbol.address <= last { continue }
                let name = String(decoding: index.name(of: number) ?? [], as: UTF8.self)
                if symbol.address != start || !names.contains(name) { wrong.append("\(names): \(name)") }
            }
        }
        #expect(wrong == [])
    }

    /// A live process: addresses in functions of all of its files, as gdb names them.
    @Test(.require(.tool("gdb"))) func namesAreThoseOfGDB() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.file("target")
        try Target.build(path, [])
        let target = try Target([path])
        let symbolizer = Symbolizer(options: SymbolizerOptions(demangle: false))
        symbolizer.observe(process: target.pid)
        let maps = try String(contentsOfFile: "/proc/\(target.pid)/maps", encoding: .utf8)
        var random = SeededGenerator(seed: 3)
        var addresses: [UInt64] = []
        for mapping in Mapping.executable(in: Array(maps.utf8)) where mapping.inode != 0 {
            let functions = try sizedFunctions(of: mapping)
            addresses += (0..<(functions.isEmpty ? 0 : 150)).map { _ in
                UInt64.random(in: functions[random.below(functions.count)], using: &random)
            }
        }
        // The program itself, the C library and the loader.
        try #require(addresses.count >= 3 * 150)
        let script = addresses.map { "info symbol \($0)\n" }.joined()
        let file = try directory.file("script")
        try script.write(toFile: file, atomically: false, encoding: .utf8)
        let answers = try output("gdb", "-p", String(target.pid), "-batch", "-x", file).split(separator: "\n")
            .filter { $0.contains(" in section ") || $0.hasPrefix("No symbol matches") }
        try #require(answers.count == addresses.count)
        for (address, answer) in zip(addresses, answers) {
            let frame = symbolizer.frames(user: address, process: target.pid, isReturnAddress: false)[0]
            let name = frame.function ?? "nothing"
            guard answer.contains(" in section ") else {
                Issue.record("gdb knows nothing of \(name)")
                continue
            }
            // "name + 12 in section .text of file": of several names gdb may show another.
            let place = answer.components(separatedBy: " in section ")[0].components(separatedBy: " + ")
            let offset = place.count > 1 ? UInt64(place[1]) : 0
            #expect(frame.function != nil && frame.functionOffset == offset, "\(name) \(answer)")
        }
    }

    /// Where in memory a mapping has functions that nm lists with a size.
    private func sizedFunctions(of mapping: Mapping) throws -> [Range<UInt64>] {
        let file = try #require(OpenFile(path: mapping.cleanPath).flatMap { ELFFile(.file($0)) })
        let segment = try #require(
            file.segments.first { $0.isCode && $0.offset & ~0xfff == mapping.offset })
        let load = mapping.start &- (segment.address & ~0xfff)
        var found = Set<Range<UInt64>>()
        for table in ["--dynamic", "--debug-syms"] {
            let text = try output("nm", table, "--defined-only", "-S", mapping.cleanPath)
            for line in text.split(separator: "\n") {
                let words = line.split(separator: " ")
                guard words.count == 4, "tTwW".contains(words[2]), let start = UInt64(words[0], radix: 16),
                    let size = UInt64(words[1], radix: 16), size > 0
                else { continue }
                found.insert(start &+ load..<start &+ load &+ size)
            }
        }
        return found.sorted { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) }
    }
}
