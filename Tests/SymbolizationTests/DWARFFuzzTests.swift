// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Symbolization

/// Damaged DWARF: nothing may crash, hang, or take unbounded memory. What comes out does not matter.
///
/// Short; APUS_FUZZ_SECONDS=60 goes on for that long for each program, APUS_FUZZ_SEED=1 and so on elsewhere.
@Suite(.require(.dwarf("clang++")), .require(.dwarf("g++")))
struct DWARFFuzzTests {
    private let directory = DWARFTools.Directory()
    private let seed = ProcessInfo.processInfo.environment["APUS_FUZZ_SEED"].flatMap(UInt64.init) ?? 42

    @Test(arguments: [
        "g++ -O2 -gdwarf-2", "g++ -O2 -gdwarf-4 -flto", "g++ -O2 -gdwarf-5", "g++ -O2 -gdwarf-5 -gz=zlib",
        "clang++ -O2 -gdwarf-4 -gsplit-dwarf", "clang++ -O2 -gdwarf-5 -gsplit-dwarf",
        "clang++ -O2 -gdwarf-5",
    ])
    func survivesDamage(command: String) throws {
        let source = DWARFTools.sources + "/dwarf_inlines.cpp"
        let words = command.split(separator: " ").map(String.init) + [source, "-o", "program"]
        _ = try DWARFTools.run(words, in: directory)
        let files = try ["program", "program-dwarf_inlines.dwo"].map(directory.file).filter {
            FileManager.default.fileExists(atPath: $0)
        }.map { ($0, try Target($0)) }
        let text = try #require(files.first?.1.text)
        var random = SeededGenerator(seed: seed)
        let end = DWARFTools.now() + DWARFTools.seconds
        var round = 0
        var longest = 0.0
        while DWARFTools.now() < end {
            for (path, target) in files { try target.damaged(&random).write(to: URL(fileURLWithPath: path)) }
            let start = cpuSeconds()
            try lookUp(files[0].0, text, &random)
            longest = max(longest, cpuSeconds() - start)
            #expect(cpuSeconds() - start < 30, "round \(round) of seed \(seed)")
            round += 1
        }
        if DWARFTools.isThorough { print("\(command): \(round) rounds, the longest \(longest) s") }
    }

    private func lookUp(_ path: String, _ text: Range<UInt64>, _ random: inout SeededGenerator) throws {
        let module = try DWARFOpenModule(path)
        let provider = DWARFLines(memoryLimit: 64 << 20)
        for _ in 0..<20 {
            let address = UInt64.random(in: text, using: &random)
            let frames = provider.lines(module: module.identity, address: address)
            #expect(frames.isEmpty || frames.last?.inlined == false)
            #expect(frames.count <= DWARFLimits.inlineDepth + 1)
        }
        #expect(provider.statistics.bytesHeld < 128 << 20)
    }

    /// A file to damage.
    private struct Target {
        let bytes: [UInt8]
        let text: Range<UInt64>?
        /// Where sections with DWARF are.
        let places: [Range<Int>]

        init(_ path: String) throws {
            bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
            let headers = try #require(ELFFile(.memory(bytes)))
            text = headers.section(named: ".text").map { $0.address..<$0.address + $0.size }
            var places: [Range<Int>] = []
            for kind in DWARFObject.Kind.allCases {
                for name in [".debug_" + kind.rawValue, ".debug_" + kind.rawValue + ".dwo"] {
                    guard let section = headers.section(named: name), section.size > 0 else { continue }
                    places.append(Int(section.offset)..<Int(section.offset + section.size))
                }
            }
            self.places = places
        }

        func damaged(_ random: inout SeededGenerator) -> Data {
            var bytes = bytes
            for _ in 0...random.below(12) {
                let place = places[random.below(places.count)]
                // Beginnings hold what decides about the rest.
                let near = random.below(2) == 0 ? min(place.count, 256) : place.count
                let index = place.lowerBound + random.below(near)
                switch random.below(5) {
                case 0: bytes[index] ^= 1 << UInt8(random.below(8))
                case 1: bytes[index] = UInt8(random.below(256))
                case 2: bytes[index] = [0, 0xff, 0x80, 0x7f][random.below(4)]
                case 3:
                    for index in index..<min(index + random.below(9), place.upperBound) {
                        bytes[index] = 0xff
                    }
                default:
                    let from = place.lowerBound + random.below(place.count)
                    let count = min(random.below(64), place.upperBound - max(from, index))
                    bytes.replaceSubrange(index..<index + count, with: Array(bytes[from..<from + count]))
                }
            }
            return Data(bytes)
        }
    }
}
