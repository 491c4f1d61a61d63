// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport

@testable import Symbolization

/// A frame as oracles print it: of the file only its last component, which is what they agree about.
struct DWARFFrame: Equatable {
    var function: String
    var file: String
    var line: Int
}

/// Compares the reader with `addr2line` and `llvm-symbolizer`.
struct DWARFComparison {
    let directory: DWARFTools.Directory
    /// What is read.
    let file: String
    var debugFile: String?
    /// What the oracles read: they do not know all kinds of files.
    let oracle: String

    struct Result {
        var addresses = 0
        var known = 0
        var inlined = 0
        var equal = 0
        /// Some that differ.
        var differences: [String] = []
        var microseconds = (first: 0.0, cold: 0.0, warm: 0.0)
        var statistics = DWARFStatistics()

        var share: Double { Double(equal) / Double(max(addresses, 1)) }

        var summary: String {
            "\(addresses) addresses, \(known) known, \(inlined) inlined, \(share * 100) % equal; first "
                + "\(Int(microseconds.first)) µs, then \(microseconds.cold) µs, known units "
                + "\(microseconds.warm) µs; \(statistics.bytesHeld) bytes"
        }
    }

    /// Looks up every function's start and `count` addresses by chance.
    func run(random count: Int = 2000) throws -> Result {
        let addresses = try self.addresses(random: count)
        let (gnu, llvm) = try answers(addresses)
        var result = Result()
        let own = try lookUp(addresses, &result)
        for (address, frames) in zip(addresses, own) {
            result.addresses += 1
            result.known += frames.isEmpty ? 0 : 1
            result.inlined += frames.count > 1 ? 1 : 0
            let others = [gnu[address] ?? [], llvm[address] ?? []]
            if Self.agrees(frames, others) {
                result.equal += 1
            } else if result.differences.count < 3 {
                result.differences.append("\(String(address, radix: 16)): \(frames), but \(others)")
            }
        }
        return result
    }

    /// What the two oracles say of addresses.
    func answers(_ addresses: [UInt64]) throws -> (
        gnu: [UInt64: [DWARFFrame]], llvm: [UInt64: [DWARFFrame]]
    ) {
        let input = addresses.map { "0x" + String($0, radix: 16) + "\n" }.joined()
        let plain = oracleWithoutSymbols()
        let gnu = Self.parse(
            (try? DWARFTools.run(["addr2line", "-ifa", "-e", plain], input: input, in: directory)) ?? "")
        let llvm = Self.parse(
            try DWARFTools.run(
                [
                    "llvm-symbolizer", "--obj=" + plain, "--functions=linkage", "--no-demangle", "--inlines",
                    "-a", "--output-style=GNU",
                ], input: input, in: directory))
        return (gnu, llvm)
    }

    /// Names of symbols hide those of DWARF, which are the ones to compare.
    private func oracleWithoutSymbols() -> String {
        let plain = directory.file("plain-" + UUID().uuidString)
        let words = [
            "llvm-objcopy", "--strip-all", "--keep-section=.debug_*", "--keep-section=.gnu_debugaltlink",
            oracle, plain,
        ]
        return (try? DWARFTools.run(words, in: directory)) == nil ? oracle : plain
    }

    private func lookUp(_ addresses: [UInt64], _ result: inout Result) throws -> [[DWARFFrame]] {
        let provider = DWARFLines()
        let module = try DWARFOpenModule(file, debugFile: debugFile)
        let start = DWARFTools.now()
        _ = provider.lines(module: module.identity, address: addresses[addresses.count / 2])
        let begun = DWARFTools.now()
        let found = addresses.map { provider.lines(module: module.identity, address: $0) }
        let cold = DWARFTools.now()
        for address in addresses { _ = provider.lines(module: module.identity, address: address) }
        let warm = DWARFTools.now()
        let scale = 1e6 / Double(addresses.count)
        result.microseconds = ((begun - start) * 1e6, (cold - begun) * scale, (warm - cold) * scale)
        result.statistics = provider.statistics
        return found.map { frames in
            frames.map {
                DWARFFrame(
                    function: $0.function ?? "??", file: Self.lastComponent($0.file), line: $0.line)
            }
        }
    }

    // MARK: Addresses

    private func addresses(random count: Int) throws -> [UInt64] {
        guard let headers = OpenFile(path: file).flatMap({ ELFFile(.file($0)) }) else {
            throw DWARFTools.Failure(description: "\(file) is no ELF file")
        }
        let code = headers.codeRanges()
        var addresses = Set<UInt64>()
        for line in try DWARFTools.run(["nm", oracle], in: directory).split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count >= 3, "tTwW".contains(words[1]), let address = UInt64(words[0], radix: 16),
                code.contains(where: { $0.contains(address) })
            {
                addresses.insert(address)
            }
        }
        let text = headers.section(named: ".text").map { $0.address..<$0.address + $0.size } ?? 0..<1
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<count { addresses.insert(UInt64.random(in: text, using: &generator)) }
        return addresses.sorted()
    }

    // MARK: Output

    /// Reads an address, and pairs of lines: a function, and file:line.
    private static func parse(_ text: String) -> [UInt64: [DWARFFrame]] {
        var result: [UInt64: [DWARFFrame]] = [:]
        var address: UInt64?
        var function: String?
        for line in text.split(separator: "\n", omittingEmptySubsequences: true) {
            if function == nil, line.hasPrefix("0x"), let next = UInt64(line.dropFirst(2), radix: 16) {
                address = next
                result[next] = []
            } else if let name = function, let address {
                let place = line.split(separator: " ").first ?? ""
                let colon = place.lastIndex(of: ":") ?? place.endIndex
                result[address]?.append(
                    DWARFFrame(
                        function: name,
                        file: lastComponent(String(line[..<(line.lastIndex(of: ":") ?? colon)])),
                        line: Int(place[colon...].dropFirst()) ?? 0))
                function = nil
            } else {
                function = String(line)
            }
        }
        return result
    }

    static func lastComponent(_ path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? ""
        return name.isEmpty ? "??" : name
    }

    /// Whether frames are those of an oracle, or each is that of one.
    static func agrees(_ frames: [DWARFFrame], _ oracles: [[DWARFFrame]]) -> Bool {
        if frames.allSatisfy({ $0.line == 0 && $0.file == "??" }) {
            // The oracles then tell symbols.
            return oracles.contains { $0.allSatisfy { $0.line == 0 } }
        }
        let counted = oracles.filter { $0.count == frames.count }
        if counted.contains(where: { same(frames, [$0]) }) { return true }
        return counted.count == oracles.count && same(frames, counted)
    }

    private static func same(_ frames: [DWARFFrame], _ oracles: [[DWARFFrame]]) -> Bool {
        frames.indices.allSatisfy { index in
            let frame = frames[index]
            let places = oracles.contains { $0[index].file == frame.file && $0[index].line == frame.line }
            let names = oracles.contains { $0[index].function == frame.function }
            // The last one's name may be left to the symbol table.
            return places && (names || index == frames.count - 1 && frame.function == "??")
        }
    }
}

/// A module to ask the reader for.
final class DWARFOpenModule {
    let identity: ModuleIdentity
    private let files: [OpenFile]

    init(_ path: String, debugFile: String? = nil) throws {
        files = ([path] + [debugFile].compactMap(\.self)).compactMap { OpenFile(path: $0) }
        guard files.count == (debugFile == nil ? 1 : 2) else {
            throw DWARFTools.Failure(description: "cannot open \(path) or its debug file")
        }
        identity = ModuleIdentity(
            number: Int.random(in: 1...Int.max), path: path, buildID: nil, file: files[0].descriptor,
            debugFile: debugFile == nil ? nil : files[1].descriptor)
    }
}
