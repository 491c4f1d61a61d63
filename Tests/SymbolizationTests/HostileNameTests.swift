// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Symbolization

/// Names that stand for gigabytes, or that go as deep as they can.
@Suite(.serialized) struct HostileNameTests {
    private let demangler = Demangler()

    private func demangled(_ name: String) -> String? { demangler.demangled(Array(name.utf8)) }

    private func swift(levels: Int) -> String {
        // P<P<…>, P<…>>, where each level repeats the one before.
        let letters = Array("GHIJKLMNOPQRSTUVWXYZ")
        return "$s1b1QV1fyyAA1PVy" + String(repeating: "AFy", count: levels - 1) + "S2iG"
            + letters.prefix(levels - 1).map { "A\($0)G" }.joined() + "F"
    }

    private func cxx(levels: Int) -> String {
        let digits = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        return "_Z1f1AIiiE" + digits.prefix(levels).map { "S_IS\($0)_S\($0)_E" }.joined()
    }

    @Test func repetitionsAreCounted() {
        #expect(repetitions(in: Array("$s4main1fyyF".utf8)) == 0)
        #expect(repetitions(in: Array("$s1b1fyyS2i_AAtF".utf8)) >= 3)
        #expect(repetitions(in: Array("$s1bA2000aD".utf8)) >= 2000)
        #expect(repetitions(in: Array("$s1bS2000i".utf8)) >= 2000)
        #expect(repetitions(in: Array("_ZN3fooIS0_S1_T_E".utf8)) == 3)
        #expect(repetitions(in: Array("_ZSt4moveDpDp".utf8)) == 12)
    }

    @Test func namesThatRepeatAreDemangledAsOthersAre() throws {
        // Beyond what is done here, so by the child.
        var last = 0
        for levels in 2...9 {
            let text = try #require(demangled(swift(levels: levels)))
            #expect(
                text.hasPrefix("b.Q.f(b.P<") && text.hasSuffix(">) -> ()") && text.utf8.count > last * 3 / 2)
            last = text.utf8.count
        }
        #expect(repetitions(in: Array(swift(levels: 9).utf8)) > 16)
        #expect(
            try #require(demangled(cxx(levels: 6))).hasPrefix("f(A<int, int>, A<A<int, int>, A<int, int> >"))
        #expect(repetitions(in: Array(cxx(levels: 6).utf8)) > 16)
    }

    @Test func namesThatStandForGigabytesAreLeft() throws {
        let start = monotonicNanoseconds()
        for name in [swift(levels: 19), cxx(levels: 30)] {
            #expect(demangled(name) == nil)
            // And the next is demangled as before.
            #expect(demangled(swift(levels: 8)) != nil)
        }
        #expect(demangled("$s1b1QV1fyyAA1PVyS2000iG" + String(repeating: "A2000g", count: 300) + "F") == nil)
        #expect(monotonicNanoseconds() - start < 60_000_000_000)
    }

    @Test func theChildEndsAndIsReplaced() throws {
        let demangler = RuntimeDemangler()
        let name = Array(swift(levels: 8).utf8)
        #expect(demangler.demangle(name) != nil)
        let first = demangler.child
        // By itself, a second after its last name: it stays a zombie until it is missed.
        var ended = siginfo_t()
        let deadline = monotonicNanoseconds() + 60_000_000_000
        while waitid(P_PID, id_t(first), &ended, WEXITED | WNOWAIT | WNOHANG) == 0, ended.si_code == 0 {
            try #require(monotonicNanoseconds() < deadline)
            usleep(10_000)
        }
        #expect(ended.si_code == CLD_EXITED)
        #expect(demangler.demangle(name) != nil)
        #expect(demangler.child != first)
    }

    @Test func depthAndLengthAreBounded() {
        let deep = String(repeating: "R", count: 4000)
        #expect(demangled("_RINvC1a1f\(deep)hE") == nil)
        #expect(demangled("_RINvC1a1f" + String(repeating: "T", count: 3000)) == nil)
        // Each tuple repeats the one before twice.
        var name = "_RINvC1a1fThhE"
        for _ in 0..<200 { name += "TB8_B8_E" }
        _ = demangled(name + "E")
        var doubling = "_RINvC1a1f"
        var place = 8
        for level in 0..<40 {
            let next = doubling.utf8.count - 2
            doubling += level == 0 ? "ThhE" : "TB\(base62(place))B\(base62(place))E"
            place = next
        }
        #expect(demangled(doubling + "E") == nil)
        #expect(demangled("_RNvC1a" + String(repeating: "9", count: 500)) == nil)
        #expect(demangled("_RNvB1_1f") == nil && demangled("_RB_") == nil)
        #expect(demangled("_ZN" + String(repeating: "1a", count: 3000) + "17h0123456789abcdefE") == nil)
        #expect(demangled("_Z" + String(repeating: "P", count: 4000) + "i") == nil)
        _ = demangled("$s4main" + String(repeating: "Say", count: 1000))
    }

    private func base62(_ number: Int) -> String {
        guard number > 0 else { return "_" }
        let digits = Array("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        var (rest, text) = (number - 1, "")
        repeat {
            text = String(digits[rest % 62]) + text
            rest /= 62
        } while rest > 0
        return text + "_"
    }
}
