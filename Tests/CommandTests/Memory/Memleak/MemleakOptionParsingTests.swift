// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import CBPFPrograms
import Glibc
import TestSupport
import Testing

@testable import Commands

@Suite struct MemleakOptionParsingTests {
    /// As dash and bash split them.
    @Test(arguments: [
        ("a", ["a"]), ("a b", ["a", "b"]), ("  a \t b\n", ["a", "b"]), ("a 'b c' d", ["a", "b c", "d"]),
        ("a \"b c\" d", ["a", "b c", "d"]), ("a b\\ c", ["a", "b c"]), ("a 'b\\ c'", ["a", "b\\ c"]),
        ("a \"it's\"", ["a", "it's"]), ("a 'say \"x\"'", ["a", "say \"x\""]), ("a''b", ["ab"]),
        ("a ''", ["a", ""]), ("a \"\" b", ["a", "", "b"]), ("a'b'\"c\"d", ["abcd"]),
        ("a \\'b\\'", ["a", "'b'"]),
        ("a \"b\\\"c\"", ["a", "b\"c"]), ("a \\\\", ["a", "\\"]), ("./a --b='c d'", ["./a", "--b=c d"]),
        ("é 'ü ö'", ["é", "ü ö"]),
    ])
    func wordsOfACommand(text: String, words: [String]) throws {
        #expect(try parseWords(text) == words)
        #expect(try Memleak.parse(["-c", text]).words == words)
    }

    @Test(arguments: ["", "  ", "'a", "a \"b", "a\\", "''", "'' a"])
    func whatIsNoCommand(text: String) {
        let error = #expect(throws: ValidationError.self) { try parseWords(text) }
        #expect(error?.message.contains("invalid command") == true)
    }

    @Test func dollarsAndStarsAreLeftAlone() throws {
        #expect(try parseWords("echo $HOME *.c `x` ~") == ["echo", "$HOME", "*.c", "`x`", "~"])
    }

    private static let distances: [UInt32] = withUnsafeBytes(of: SampleDistances.table) {
        Array($0.bindMemory(to: UInt32.self))
    }

    @Test func distancesBetweenSamplesHaveTheirMean() {
        let distances = Self.distances
        #expect(distances.count == Int(SAMPLE_DISTANCES))
        #expect(distances == distances.sorted())
        let mean = distances.reduce(0) { $0 + Double($1) } / Double(distances.count) / 65_536
        #expect(abs(mean - 1) < 1e-5)
        // Of an exponential distribution the median is ln 2 of the mean, and the variance its square.
        #expect(abs(Double(distances[distances.count / 2]) / 65_536 - 0.6931) < 0.002)
        let squares = distances.reduce(0) { $0 + Double($1) * Double($1) } / Double(distances.count)
        #expect(abs(squares / 65_536 / 65_536 - 2) < 0.02)
    }

    /// What the program does with them, over blocks of one size: so many are sampled that weights by the chance of a
    /// block give back the whole.
    @Test(arguments: [16, 200, 4096, 100_000])
    func estimatesAreUnbiased(bytes: Int) {
        var random = SeededGenerator(seed: UInt64(bytes))
        let mean: UInt64 = 4096
        var rest: Int64 = 0
        var sampled = 0
        let blocks = 400_000
        for _ in 0..<blocks {
            rest -= Int64(bytes)
            guard rest < 0 else { continue }
            sampled += 1
            rest = Int64((mean * UInt64(Self.distances[random.below(Self.distances.count)])) >> 16)
        }
        let chance = 1 - exp(-Double(bytes) / Double(mean))
        let estimate = Double(sampled) / chance
        // Four standard errors of so many samples.
        let error = 4 * (Double(sampled) * (1 - chance)).squareRoot() / chance + 0.002 * Double(blocks)
        #expect(abs(estimate - Double(blocks)) < error, "\(estimate) of \(blocks)")
    }
}
