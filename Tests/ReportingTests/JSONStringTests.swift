// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Reporting

@Suite struct JSONStringTests {
    private func json(_ bytes: [UInt8]) -> (output: [UInt8], faithful: Bool) {
        let writer = ByteWriter()
        let faithful = bytes.withUnsafeBytes { writer.appendJSONString($0) }
        return (Array(writer.bytes), faithful)
    }

    /// What another program reads: Swift compares strings by canonical equivalence, we by their characters.
    private func parsed(_ output: [UInt8]) throws -> [Unicode.Scalar] {
        let value = try JSONSerialization.jsonObject(with: Data(output), options: [.fragmentsAllowed])
        return Array(try #require(value as? String).unicodeScalars)
    }

    @Test(arguments: [
        ("", #""""#), ("plain text", #""plain text""#), (#"a"b"#, #""a\"b""#), (#"a\b"#, #""a\\b""#),
        ("/", #""/""#), ("é日😀", #""é日😀""#), ("\n", #""\u000a""#), ("\0", #""\u0000""#),
        ("\u{1b}[m", #""\u001b[m""#), ("\u{7f}", #""\u007f""#), ("\u{9b}", #""\u009b""#),
        ("\u{202e}", #""\u202e""#), ("\u{2028}", #""\u2028""#), ("\u{feff}", #""\ufeff""#),
    ])
    func isWrittenSo(text: String, output: String) {
        #expect(String(decoding: json(Array(text.utf8)).output, as: UTF8.self) == output)
        #expect(json(Array(text.utf8)).faithful)
    }

    @Test(
        arguments: [
            [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82], [0xf4, 0x90, 0x80, 0x80], [97, 0x80, 98],
        ] as [[UInt8]])
    func whatIsNotUTF8IsReplacedAndSaid(bytes: [UInt8]) throws {
        let result = json(bytes)
        #expect(!result.faithful)
        #expect(try parsed(result.output) == pieces(bytes).map { $0.scalar ?? "\u{fffd}" })
    }

    @Test func theReplacementCharacterItselfIsFaithful() throws {
        let result = json(Array("\u{fffd}".utf8))
        #expect(result.faithful)
        #expect(try parsed(result.output) == ["\u{fffd}"])
    }

    @Test func everyCharacterOfTheFirstPlaneComesBack() throws {
        for start in stride(from: 0, through: 0xffff, by: 0x400) as StrideThrough<UInt32> {
            let scalars = (start..<start + 0x400).compactMap { Unicode.Scalar($0) }
            var text = String.UnicodeScalarView()
            text.append(contentsOf: scalars)
            #expect(try parsed(json(Array(String(text).utf8)).output) == scalars)
        }
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func textComesBackExactly(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<100 {
            let text = random.text(most: 40)
            let result = json(Array(text.utf8))
            #expect(result.faithful)
            #expect(try parsed(result.output) == Array(text.unicodeScalars))
        }
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func anyBytesMakeOneHarmlessString(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<100 {
            let bytes = random.bytes(most: 40)
            let result = json(bytes)
            #expect(result.faithful == (String(validating: bytes, as: UTF8.self) != nil))
            #expect(try parsed(result.output) == pieces(bytes).map { $0.scalar ?? "\u{fffd}" })
            let text = try #require(String(validating: result.output, as: UTF8.self))
            #expect(!text.unicodeScalars.contains { $0.properties.generalCategory == .control })
        }
    }
}
