// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Glibc
import TestSupport
import Testing

@testable import Commands

/// The C library's opinion, in the locale "C" that no test leaves.
private func fnmatches(_ pattern: String, _ text: [UInt8]) -> Bool {
    (text + [0]).withUnsafeBufferPointer { text in
        text.withMemoryRebound(to: CChar.self) { fnmatch(pattern, $0.baseAddress, 0) == 0 }
    }
}

private func accepts(_ glob: Glob, _ text: [UInt8]) -> Bool { text.withUnsafeBytes { glob.matches($0) } }

@Suite struct GlobTests {
    @Test(arguments: [
        ("", "", true), ("", "a", false), ("a", "", false), ("*", "", true), ("*", "any/thing", true),
        ("/etc/*", "/etc/passwd", true), ("/etc/*", "/etc/ssl/certs", true), ("/etc/*", "/etc", false),
        ("*.so*", "/lib/libc.so.6", true), ("*.so", "/lib/libc.so.6", false), ("a?c", "abc", true),
        ("a?c", "ac", false), ("?", "/", true), ("[a-c]", "b", true), ("[a-c]", "d", false),
        ("[!a-c]", "d", true), ("[^a-c]", "b", false), ("[]]", "]", true), ("[!]]", "]", false),
        ("[]a]", "a", true), ("[a-]", "-", true), ("[-a]", "-", true), ("[a-c-e]", "-", true),
        ("[/]", "/", true), ("[*]", "*", true), ("[*]", "a", false), ("[?]", "?", true), ("[[]", "[", true),
        ("\\*", "*", true), ("\\*", "a", false), ("\\\\", "\\", true), ("\\[a]", "[a]", true),
        ("a]", "a]", true),
        ("**", "x", true), ("*a*b*c*", "xaybzc", true), ("*a*b*c*", "xaycz", false), ("*ab", "aab", true),
        (".*", ".hidden", true), ("*", ".hidden", true), ("é", "é", true), ("??", "é", true),
        ("?", "é", false),
        ("A", "a", false),
    ])
    func matches(pattern: String, text: String, result: Bool) throws {
        #expect(try Glob(pattern).matches(text) == result)
        #expect(fnmatches(pattern, Array(text.utf8)) == result)
    }

    /// In the shell and in fnmatch(3), a backslash quotes inside a set too.
    @Test(arguments: [
        ("[\\]]", "]", true), ("[\\]]", "\\", false), ("[\\a]", "\\", false), ("[a\\-c]", "b", false),
        ("[\\\\]", "\\", true), ("[\\!a]", "!", true),
    ])
    func backslashesQuoteInSets(pattern: String, text: String, result: Bool) throws {
        #expect(fnmatches(pattern, Array(text.utf8)) == result)
        #expect(try Glob(pattern).matches(text) == result)
    }

    @Test(arguments: ["[", "a[", "[a", "[a-", "[]", "[!", "[!]", "[^]", "x[a*", "[]-"])
    func aSetThatIsNotClosedIsRefused(pattern: String) {
        let error = #expect(throws: ValidationError.self) { try Glob(pattern) }
        #expect(
            error?.message == "the pattern '\(pattern)' has a [ without its ]: write \\[ for a plain one.")
    }

    @Test(arguments: ["[z-a]", "[b-a]x", "[a-c9-0]", "[!z-a]"])
    func aRangeThatRunsBackwardsIsRefused(pattern: String) {
        let error = #expect(throws: ValidationError.self) { try Glob(pattern) }
        #expect(error?.message == "the pattern '\(pattern)' has a range that runs backwards.")
    }

    @Test func aBackslashAtTheEndIsRefused() {
        let error = #expect(throws: ValidationError.self) { try Glob("a\\") }
        #expect(error?.message == "the pattern 'a\\\\' ends in a backslash: write \\\\ for one.")
    }

    @Test func aPatternIsQuotedHarmlessly() {
        let error = #expect(throws: ValidationError.self) { try Glob("\u{1b}[2J\n") }
        #expect(error?.message.unicodeScalars.contains { $0.value < 32 } == false)
    }

    /// A well-formed pattern of few letters, so that texts match often.
    private func pattern(_ random: inout SeededGenerator) -> String {
        var pattern = ""
        for _ in 0..<random.below(9) {
            switch random.below(10) {
            case 0...2: pattern += "*"
            case 3: pattern += "?"
            case 4: pattern += "\\" + ["*", "?", "[", "\\", "a", "]"][random.below(6)]
            case 5, 6: pattern += set(&random)
            default: pattern += ["a", "b", "c", "/", ".", "-", "]", "!", "é"][random.below(9)]
            }
        }
        return pattern
    }

    /// Without what means something else to fnmatch(3): classes such as [[:alpha:]], and quotes.
    private func set(_ random: inout SeededGenerator) -> String {
        var set = "[" + ["", "", "!", "^"][random.below(4)] + ["", "", "]", "-"][random.below(4)]
        for _ in 0...random.below(3) {
            set += ["a", "b", "*", "?", "/", "a-c", "b-b", "!-~", "0-9", "é"][random.below(10)]
        }
        return set + ["", "", "-"][random.below(3)] + "]"
    }

    private func text(_ random: inout SeededGenerator) -> [UInt8] {
        (0..<random.below(9)).map { _ in
            random.below(8) == 0
                ? UInt8.random(in: 1...255, using: &random) : Array("abc/.-]![*?\\".utf8)[random.below(12)]
        }
    }

    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func agreesWithTheCLibrary(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var matched = 0
        for _ in 0..<1000 {
            let pattern = pattern(&random)
            let glob = try Glob(pattern)
            for _ in 0..<5 {
                let text = text(&random)
                let expected = fnmatches(pattern, text)
                if expected { matched += 1 }
                #expect(accepts(glob, text) == expected, "\(pattern) on \(text)")
            }
        }
        // Had nothing matched, nothing would have been tested.
        #expect(matched > 100)
    }

    /// With a branch at each star this would outlast the universe.
    @Test func aHostilePatternEnds() throws {
        let stars = String(repeating: "a*", count: 200)
        let text = Array(repeating: UInt8(ascii: "a"), count: 2000)
        #expect(!accepts(try Glob(stars + "b"), text))
        #expect(accepts(try Glob(stars + "b"), text + Array("b".utf8)))
        #expect(!accepts(try Glob("*" + String(repeating: "?*", count: 200) + "[!a]"), text))
    }
}
