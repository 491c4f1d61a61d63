// SPDX-License-Identifier: Apache-2.0
import TestSupport
import Testing

@testable import Reporting

/// What a terminal is shown of foreign bytes, and the width returned with it.
private func shown(_ bytes: [UInt8]) -> (text: String, width: Int) {
    let writer = ByteWriter()
    let width = bytes.withUnsafeBytes { writer.appendEscaped($0) }
    return (writer.text, width)
}

private func hexEscapes(_ bytes: [UInt8]) -> String {
    bytes.map { "\\x" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

/// Undoes the escaping. nil if something is no escape of ours.
private func readBack(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    var rest = Substring(text).unicodeScalars
    while let scalar = rest.popFirst() {
        guard scalar == "\\" else {
            bytes += Array(String(scalar).utf8)
            continue
        }
        guard let kind = rest.popFirst() else { return nil }
        if let plain = ["\\": 92, "n": 10, "t": 9, "r": 13][kind] as UInt8? {
            bytes.append(plain)
            continue
        }
        guard let digits = ["x": 2, "u": 4, "U": 8][kind] as Int?,
            let value = UInt32(String(rest.prefix(digits)), radix: 16)
        else { return nil }
        rest = rest.dropFirst(digits)
        if kind == "x" && value >= 0x80 {
            bytes.append(UInt8(value))
        } else if let escaped = Unicode.Scalar(value) {
            bytes += Array(String(escaped).utf8)
        }
    }
    return bytes
}

@Suite struct EscapingTests {
    @Test(arguments: ["", "a", "/usr/lib/x86_64-linux-gnu/libc.so.6", " ~!@#$%^&*()'\"`", "é", "日本語", "😀 x"])
    func harmlessTextPassesUnchanged(text: String) {
        let result = shown(Array(text.utf8))
        #expect(result.text == text)
        #expect(result.width == text.unicodeScalars.count)
    }

    @Test(arguments: Array(0..<0x20) + [0x7f] as [UInt8])
    func asciiControlsBecomeEscapes(byte: UInt8) {
        let escape = [9: "\\t", 10: "\\n", 13: "\\r"][byte] ?? hexEscapes([byte])
        #expect(shown([byte]).text == escape)
        // Also between others, where the text is not one run.
        #expect(shown([97, byte, 0xc3, 0xa9]).text == "a\(escape)é")
        #expect(shown([97, byte, 0xc3, 0xa9]).width == 2 + escape.count)
    }

    @Test(arguments: 0x80..<0xa0 as Range<UInt8>)
    func highControlsNeverPass(low: UInt8) {
        // A terminal takes them for ESC sequences, as a lone byte (8 bits) or as UTF-8.
        for bytes in [[low], [0xc2, low], [97, 0xc2, low, 98]] as [[UInt8]] {
            let result = shown(bytes)
            #expect(result.text.utf8.allSatisfy { (0x20..<0x7f).contains($0) })
            #expect(result.width == result.text.utf8.count)
        }
    }

    @Test func aByteAndTheControlWithItsNumberDiffer() {
        // U+009B is C2 9B; the byte 9B alone is not UTF-8: two different files.
        #expect(shown([0x9b]).text == "\\x9b")
        #expect(shown([0xc2, 0x9b]).text != "\\x9b")
    }

    @Test(arguments: [
        ("\u{1b}[2J\u{1b}[H", "\\x1b[2J\\x1b[H"),
        ("\u{1b}]0;title\u{7}", "\\x1b]0;title\\x07"),
        ("\u{1b}]52;c;cm0gLXJmIC8=\u{1b}\\", "\\x1b]52;c;cm0gLXJmIC8=\\x1b\\\\"),
        ("row\n1234   fake", "row\\n1234   fake"),
        ("over\rwritten\u{8}\u{8}", "over\\rwritten\\x08\\x08"),
    ])
    func sequencesForTheTerminalAreDisarmed(text: String, escape: String) {
        #expect(escaped(text) == escape)
    }

    @Test(arguments: [
        ("\u{202e}", "\\u202e"), ("\u{202a}", "\\u202a"), ("\u{2066}", "\\u2066"), ("\u{2069}", "\\u2069"),
        ("\u{200e}", "\\u200e"), ("\u{200f}", "\\u200f"), ("\u{61c}", "\\u061c"), ("\u{200b}", "\\u200b"),
        ("\u{200d}", "\\u200d"), ("\u{2028}", "\\u2028"), ("\u{2029}", "\\u2029"), ("\u{2060}", "\\u2060"),
        ("\u{feff}", "\\ufeff"), ("\u{fff9}", "\\ufff9"), ("\u{e0041}", "\\U000e0041"),
        ("\u{e007f}", "\\U000e007f"),
    ])
    func directionAndInvisibleCharactersAreShown(text: String, escape: String) {
        #expect(escaped("a\(text)b") == "a\(escape)b")
    }

    /// Unicode's own property: a renderer shows nothing for them (or, for the fillers, a blank).
    @Test(
        arguments: [
            0xad, 0x34f, 0x115f, 0x1160, 0x17b4, 0x180e, 0x3164, 0xffa0, 0x1d173, 0xe0100,
        ] as [UInt32])
    func otherInvisibleCharactersAreShown(value: UInt32) throws {
        let scalar = try #require(Unicode.Scalar(value))
        #expect(scalar.properties.isDefaultIgnorableCodePoint)
        #expect(escaped(String(scalar)).hasPrefix("\\"))
    }

    @Test func everyCharacterOfTheseKindsIsEscaped() {
        var passed: [Unicode.Scalar] = []
        // The other planes have none.
        for value in Array(0...0x1ffff) + Array(0xe0000...0xe0fff) as [UInt32] {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let properties = scalar.properties
            let kinds: Set<Unicode.GeneralCategory> = [.control, .lineSeparator, .paragraphSeparator]
            guard kinds.contains(properties.generalCategory) || properties.isBidiControl else { continue }
            if escaped(String(scalar)).unicodeScalars.contains(scalar) { passed.append(scalar) }
        }
        #expect(passed == [])
    }

    @Test(
        arguments: [
            [0xc0, 0x80], [0xc1, 0xbf], [0xe0, 0x80, 0x80], [0xe0, 0x9f, 0xbf], [0xf0, 0x80, 0x80, 0x80],
            [0xf0, 0x8f, 0xbf, 0xbf],  // overlong
            [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf], [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80],  // surrogates
            [0xc3], [0xe2], [0xe2, 0x82], [0xf0], [0xf0, 0x9f], [0xf0, 0x9f, 0x98],  // cut
            [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80],  // above U+10FFFF
            [0xf8, 0x88, 0x80, 0x80, 0x80],
            [0xfe], [0xff], [0x80], [0xbf], [0xbf, 0x80], [0xc3, 0xc3],
        ] as [[UInt8]])
    func whatIsNotUTF8IsShownByteByByte(bytes: [UInt8]) {
        #expect(shown(bytes).text == hexEscapes(bytes))
        #expect(shown(bytes).width == 4 * bytes.count)
        // What follows is not swallowed.
        #expect(shown(bytes + Array("Aé".utf8)).text == hexEscapes(bytes) + "Aé")
        #expect(shown(Array("é".utf8) + bytes).text == "é" + hexEscapes(bytes))
    }

    @Test func theLastCharacterOfEachLengthPasses() {
        for text in ["\u{7e}", "\u{7ff}", "\u{d7ff}", "\u{e000}", "\u{ffff}", "\u{10000}", "\u{10ffff}"] {
            #expect(escaped(text) == text)
        }
    }

    @Test(arguments: [
        ("\\", "\\\\"), ("\\n", "\\\\n"), ("a\\x1b", "a\\\\x1b"), ("\\\\", "\\\\\\\\"), ("é\\", "é\\\\"),
    ])
    func backslashesAreDoubled(text: String, escape: String) {
        let result = shown(Array(text.utf8))
        #expect(result.text == escape)
        #expect(result.width == escape.unicodeScalars.count)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func anythingIsSafeAndCanBeReadBack(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let all = random.bytes(most: 40)
            // Controls above ASCII have a test of their own.
            let bytes = pieces(all).flatMap { piece -> [UInt8] in
                guard let scalar = piece.scalar else { return [piece.byte] }
                return (0x80..<0xa0).contains(scalar.value) ? [] : Array(String(scalar).utf8)
            }
            // Leaving some out may have joined others.
            guard !pieces(bytes).contains(where: { (0x80..<0xa0).contains($0.scalar?.value ?? 0) }) else {
                continue
            }
            let writer = ByteWriter()
            let width = bytes.withUnsafeBytes { writer.appendEscaped($0) }
            let text = try #require(String(validating: writer.bytes, as: UTF8.self))
            #expect(!text.unicodeScalars.contains { $0.properties.generalCategory == .control })
            #expect(width == text.unicodeScalars.count)
            #expect(readBack(text) == bytes)
        }
    }
}
