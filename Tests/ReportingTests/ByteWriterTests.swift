// SPDX-License-Identifier: Apache-2.0
import TestSupport
import Testing

@testable import Reporting

@Suite struct ByteWriterTests {
    private let writer = ByteWriter(capacity: 0)

    @Test(arguments: [0, 1, -1, 9, 10, -10, 99, 100, .max, .min, .min + 1] as [Int64])
    func signedNumbers(value: Int64) {
        writer.appendNumber(value)
        #expect(writer.text == String(value))
    }

    @Test(arguments: [0, 1, 7, 8, 9, 10, 15, 16, 255, 0xdead_beef, 1 << 63, .max] as [UInt64])
    func unsignedNumbersInEveryRadix(value: UInt64) {
        for radix in 2...16 {
            writer.removeAll()
            writer.appendNumber(value, radix: UInt64(radix))
            #expect(writer.text == String(value, radix: radix))
        }
    }

    @Test(
        arguments: [
            (0, 10, 0, "0"), (0, 10, -3, "0"), (0, 8, 4, "0000"), (0o644, 8, 4, "0644"),
            (0o1_000_000, 8, 4, "1000000"),
            (10, 16, 2, "0a"), (0xab, 16, 2, "ab"), (0xabc, 16, 2, "abc"), (5, 10, 2, "05"),
        ] as [(UInt64, UInt64, Int, String)])
    func zerosInFront(value: UInt64, radix: UInt64, digits: Int, text: String) {
        writer.appendNumber(value, radix: radix, minimumDigits: digits)
        #expect(writer.text == text)
    }

    @Test func zerosInFrontEndAtSixtyFour() {
        writer.appendNumber(1, minimumDigits: 1000)
        #expect(writer.text == String(repeating: "0", count: 63) + "1")
        writer.removeAll()
        writer.appendNumber(.max, radix: 2, minimumDigits: 64)
        #expect(writer.text == String(repeating: "1", count: 64))
    }

    @Test func insertsInFrontOfWhatIsThere() {
        writer.append("row 42")
        writer.insert(repeating: UInt8(ascii: "."), count: 3, at: 4)
        #expect(writer.text == "row ...42")
        writer.insert(repeating: UInt8(ascii: ">"), count: 1, at: 0)
        writer.insert(repeating: UInt8(ascii: "<"), count: 2, at: writer.count)
        #expect(writer.text == ">row ...42<<")
    }

    @Test(arguments: [0, -1, Int.min])
    func paddingOfNothingChangesNothing(times: Int) {
        writer.append("text")
        writer.insert(repeating: 32, count: times, at: 2)
        writer.append(repeating: 32, count: times)
        #expect(writer.text == "text")
    }

    @Test func isEmptyAtFirstAndAfterRemovingAll() {
        #expect(writer.count == 0)
        #expect(writer.bytes.isEmpty)
        writer.append(repeating: 120, count: 1000)
        writer.removeAll()
        #expect(writer.count == 0)
        #expect(writer.text == "")
        writer.append(UnsafeRawBufferPointer(start: nil, count: 0))
        #expect(writer.text == "")
    }

    @Test(arguments: [63, 64, 65, 127, 128, 129, 100_000])
    func growsPastItsCapacity(length: Int) {
        let text = String((0..<length).map { Character(Unicode.Scalar(UInt8(97 + $0 % 26))) })
        writer.append("<")
        writer.append(text)
        writer.append(UInt8(ascii: ">"))
        #expect(writer.text == "<\(text)>")
    }

    /// Every operation, at every fill level, against an array.
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func agreesWithAnArray(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var model: [UInt8] = []
        for _ in 0..<2000 {
            let byte = UInt8.random(in: 0...255, using: &random)
            let times = Int.random(in: 0...40, using: &random)
            switch Int.random(in: 0..<40, using: &random) {
            case 0:
                writer.removeAll()
                model = []
            case 1..<10:
                writer.append(byte)
                model.append(byte)
            case 10..<18:
                let text = random.text(most: 30)
                writer.append(text)
                model += Array(text.utf8)
            case 18..<24:
                writer.append(repeating: byte, count: times)
                model += Array(repeating: byte, count: times)
            case 24..<30:
                let index = Int.random(in: 0...model.count, using: &random)
                writer.insert(repeating: byte, count: times, at: index)
                model.insert(contentsOf: Array(repeating: byte, count: times), at: index)
            case 30..<35:
                let number = Int64(bitPattern: random.next()) >> Int64.random(in: 0...63, using: &random)
                writer.appendNumber(number)
                model += Array(String(number).utf8)
            default:
                let bytes = random.bytes(most: 20)
                bytes.withUnsafeBytes { writer.append($0) }
                model += bytes
            }
            #expect(writer.count == model.count)
        }
        #expect(Array(writer.bytes) == model)
    }
}
