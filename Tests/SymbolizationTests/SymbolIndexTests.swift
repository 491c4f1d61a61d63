// SPDX-License-Identifier: Apache-2.0
import TestSupport
import Testing

@testable import Symbolization

/// Which symbol an address belongs to, in files made by hand.
@Suite struct SymbolIndexTests {
    private typealias Symbol = ELFImage.Symbol

    @Test(arguments: [true, false]) func sizesAreRespected(is64: Bool) {
        let image = ELFImage(
            symbols: [
                Symbol(name: "first", value: 0x1000, size: 0x10),
                Symbol(name: "second", value: 0x1020, size: 0x10),
            ], is64: is64)
        #expect(image.name(at: 0xfff) == "")
        #expect(image.name(at: 0x1000) == "first")
        #expect(image.name(at: 0x100f) == "first")
        #expect(image.name(at: 0x1010) == "")
        #expect(image.name(at: 0x102f) == "second")
        #expect(image.name(at: 0x1030) == "")
        #expect(image.name(at: .max) == "")
    }

    @Test func countsThatAreTooLargeForTheHeaderAreElsewhere() {
        let image = ELFImage(symbols: [Symbol(name: "f", value: 0x1000, size: 4)], usesExtendedCounts: true)
        #expect(image.name(at: 0x1001) == "f")
        #expect(ELFFile(.memory(image.bytes))?.section(named: ".symtab") != nil)
    }

    @Test func anUnsizedOneEndsAtTheNextOrWithItsSection() {
        let image = ELFImage(symbols: [
            Symbol(name: "a", value: 0x1000), Symbol(name: "b", value: 0x1800, size: 8),
            Symbol(name: "c", value: 0x1900),
        ])
        #expect(image.name(at: 0x17ff) == "a")
        #expect(image.name(at: 0x1807) == "b")
        #expect(image.name(at: 0x1808) == "")
        #expect(image.name(at: 0x1fff) == "c")
        #expect(image.name(at: 0x2000) == "")
    }

    @Test func labelsAreFunctionsOutsideOfFunctionsOnly() {
        let image = ELFImage(symbols: [
            Symbol(name: "function", value: 0x1000, size: 0x100),
            Symbol(name: "inside", value: 0x1010, type: 0, binding: 0),
            Symbol(name: "label", value: 0x1100, type: 0, binding: 0),
            Symbol(name: "$x", value: 0x1110, type: 0, binding: 0),
            Symbol(name: ".Llocal", value: 0x1120, type: 0, binding: 0),
            Symbol(name: "data", value: 0x3000, type: 0),
        ])
        #expect(image.name(at: 0x1011) == "function")
        #expect(image.name(at: 0x1101) == "label")
        #expect(image.name(at: 0x1111) == "label")
        #expect(image.name(at: 0x1121) == "label")
        #expect(image.name(at: 0x3000) == "")
    }

    /// Names of untyped symbols of unknown size are read when an index is made.
    @Test func namesOfLabelsMayBeAnywhere() {
        let places: [UInt32] = [0, 1, 3, 4, 5, 0xffff, 0x10000, 0x7fff_ffff, 0xffff_fffc, 0xffff_ffff]
        for first in places {
            for second in places {
                let image = ELFImage(symbols: [
                    Symbol(name: "abc", value: 0x1000, type: 0, binding: 0, namePlace: first),
                    Symbol(name: "$x", value: 0x1100, type: 0, binding: 0, namePlace: second),
                    Symbol(name: "function", value: 0x1200, size: 8),
                ])
                // The names are at 1, 5 and 8; a label without one, or with a dollar sign, is none.
                #expect(image.name(at: 0x1001) == [1: "abc", 3: "c"][first] ?? "")
                #expect(image.name(at: 0x1101) == [1: "abc", 3: "c"][second] ?? image.name(at: 0x1001))
                #expect(image.name(at: 0x1200) == "function")
            }
        }
    }

    /// However far from each other, and from the table, their names are.
    @Test func labelsCostFewReads() {
        let bytes = [UInt8](repeating: UInt8(ascii: "a"), count: 1 << 17)
        let table = NameTable(.memory(bytes), size: 1 << 31)
        var names = NameBeginnings([table, table])
        for number in [0, 1] as [UInt8] {
            for place in stride(from: 0 as UInt32, to: 1 << 19, by: 16) {
                let symbol = SymbolIndex.Symbol(
                    address: 0, size: 0, name: place, link: 0, aliases: 0, table: number, rank: 0)
                let found = names.beginning(of: symbol)
                #expect(found.count == min(4, max(0, bytes.count - Int(place))))
            }
        }
        #expect(names.reads <= 4)
    }

    @Test func onlyFunctionsThatAreDefinedCount() {
        let image = ELFImage(symbols: [
            Symbol(name: "undefined", value: 0x1000, size: 8, section: 0),
            Symbol(name: "absolute", value: 0x1000, size: 8, section: 0xfff1),
            Symbol(name: "object", value: 0x1000, size: 8, type: 1),
            Symbol(name: "thread_local", value: 0x1000, size: 8, type: 6),
            Symbol(name: "chosen_at_start", value: 0x1100, size: 8, type: 10),
        ])
        #expect(image.name(at: 0x1000) == "")
        #expect(image.name(at: 0x1107) == "chosen_at_start")
    }

    @Test func ofNamesForOnePlaceTheBestIsTaken() {
        func best(_ symbols: Symbol...) -> [String] {
            // Whatever their order.
            [symbols, symbols.reversed()].map { ELFImage(symbols: $0).name(at: 0x1001) }
        }
        func symbol(_ name: String, binding: UInt8 = 1, type: UInt8 = 2, size: UInt64 = 8) -> Symbol {
            Symbol(name: name, value: 0x1000, size: size, type: type, binding: binding)
        }
        #expect(
            best(symbol("__long_global_name"), symbol("w", binding: 2)) == [
                "__long_global_name", "__long_global_name",
            ])
        #expect(best(symbol("weak_name", binding: 2), symbol("l", binding: 0)) == ["weak_name", "weak_name"])
        #expect(best(symbol("_x"), symbol("longer")) == ["longer", "longer"])
        #expect(best(symbol("longer"), symbol("long")) == ["long", "long"])
        #expect(best(symbol("ab"), symbol("aa"), symbol("ac")) == ["aa", "aa"])
        #expect(
            best(symbol("local_function", binding: 0), symbol("label", type: 0)) == [
                "local_function", "local_function",
            ])
        #expect(best(symbol("sized", binding: 0), symbol("u", size: 0)) == ["sized", "sized"])
    }

    @Test func theInnermostOfNestedOnesCounts() {
        let image = ELFImage(symbols: [
            Symbol(name: "outer", value: 0x1000, size: 0x100),
            Symbol(name: "middle", value: 0x1010, size: 0x40),
            Symbol(name: "inner", value: 0x1020, size: 0x10),
            Symbol(name: "across", value: 0x1080, size: 0x100),
        ])
        #expect(image.name(at: 0x100f) == "outer")
        #expect(image.name(at: 0x101f) == "middle")
        #expect(image.name(at: 0x102f) == "inner")
        #expect(image.name(at: 0x1030) == "middle")
        #expect(image.name(at: 0x1050) == "outer")
        #expect(image.name(at: 0x10f0) == "across")
        #expect(image.name(at: 0x1170) == "across")
    }

    @Test func aTableOfNonsenseIsBounded() {
        let many = (0..<2000).map { Symbol(name: "n\($0)", value: 0x1000 + UInt64($0), size: .max) }
        #expect(ELFImage(symbols: many).name(at: 0x1000 + 1999) == "n1999")
        let same = (0..<70_000).map { Symbol(name: "s\($0)", value: 0x1000, size: 4) }
        // No more names than this are compared.
        #expect(ELFImage(symbols: same).name(at: 0x1000) == "s0")
    }

    @Test func theSearchAgreesWithAPlainOne() {
        var random = SeededGenerator(seed: 7)
        for _ in 0..<50 {
            let symbols = (0..<random.below(60)).map { number in
                Symbol(
                    name: "f\(number)", value: 0x1000 + UInt64(random.below(64)) * 8,
                    size: UInt64(1 + random.below(64)))
            }
            let image = ELFImage(symbols: symbols)
            let index = image.index
            for address in UInt64(0xff8)...0x1300 {
                // The last that begins before the address and reaches it.
                let covering = Dictionary(grouping: symbols, by: \.value)
                    .filter { start, all in address >= start && address < start + (all.map(\.size).max() ?? 0)
                    }
                    .max { $0.key < $1.key }
                let found = index?.find(address).flatMap { index?.symbols[$0].address }
                #expect(found == covering?.key)
            }
        }
    }
}
