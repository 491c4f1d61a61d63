// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Symbolization

@Suite struct DemanglerTests {
    private let demangler = Demangler()

    private func text(_ name: String) -> String { demangler.text(of: Array(name.utf8)) }

    /// From RFC 2603 and rustc's description of the v0 symbol format.
    @Test(
        arguments: [
            ("_RNvCs15kBYyAo9fc_7mycrate7example", "mycrate::example"),
            ("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"),
            ("_RINvNtC3std3mem8align_ofdE", "std::mem::align_of::<f64>"),
            ("_RINvNtC3std3mem8align_ofjE", "std::mem::align_of::<usize>"),
            ("_RNCNCNgCs6DXkGYLi8lr_2cc5spawn00B5_", "cc::spawn::{closure#0}::{closure#0}"),
            ("_RNvMs4_NtNtNtCs1234_4core3str7pattern12TwoWayStuff3Foo3bar", nil),
            ("_RNvXs_Cs4fqI2P2rA04_7mycrateNtB4_3FooNtB4_3Bar4bars", "<mycrate::Foo as mycrate::Bar>::bars"),
            ("_RNCNvCsgStHSCytQ6I_7mycrate4main0B3_", "mycrate::main::{closure#0}"),
            ("_RNvYNtC1a1SNtC1b1T1f", "<a::S as b::T>::f"),
            ("_RNvMC7mycrateNtB2_3Foo3bar", "<mycrate::Foo>::bar"),
            ("_RNSC1a4shim1f", nil),
            ("_RNSNvC1a1f4shim0", nil),
            ("_RNSNvC1a1f4shim", "a::f::{shim:shim#0}"),
            ("_RNvC6_123foo3bar", "123foo::bar"),
            ("_RNvNtNtCs9ltgdHTiPiY_12utf8_identsu21_ag8g7gra_jvbdaa1b3fooXY", nil),
            (
                "_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y",
                "utf8_idents::საჭმელად_გემრიელი_სადილი"
            ),
            ("_RINtC8arrayvec8ArrayVechKj7b_E", "arrayvec::ArrayVec::<u8, 123>"),
            ("_RINvC1a1fKan7b_E", "a::f::<-123>"), ("_RINvC1a1fKb1_E", "a::f::<true>"),
            ("_RINvC1a1fKc2202_E", "a::f::<'∂'>"), ("_RINvC1a1fKca_E", "a::f::<'\\n'>"),
            ("_RINvC1a1fKpE", "a::f::<_>"),
            ("_RINvC1a1fKo123456789abcdef01_E", "a::f::<0x123456789abcdef01>"),
            ("_RINvC1a1fKRe616263_E", "a::f::<{\"abc\"}>"), ("_RINvC1a1fKAj1_j2_EE", "a::f::<{[1, 2]}>"),
            ("_RINvC1a1fKTj1_EE", "a::f::<{(1,)}>"),
            ("_RINvC1a1fKVNtB2_1SS1xj1_EE", "a::f::<{a::S { x: 1 }}>"),
            ("_RINvC1a1fRL_hE", "a::f::<&u8>"), ("_RINvC1a1fQhE", "a::f::<&mut u8>"),
            ("_RINvC1a1fPhOhE", "a::f::<*const u8, *mut u8>"), ("_RINvC1a1fSdE", "a::f::<[f64]>"),
            ("_RINvC1a1fAtj8_E", "a::f::<[u16; 8]>"),
            ("_RINvC1a1fTEThETtmEE", "a::f::<(), (u8,), (u16, u32)>"),
            ("_RINvC1a1fFUKChEuE", "a::f::<unsafe extern \"C\" fn(u8)>"),
            ("_RINvC1a1fFK11system_unwEzE", nil),
            ("_RINvC1a1fFK10aapcs_unwdEzE", "a::f::<extern \"aapcs-unwd\" fn() -> !>"),
            ("_RINvC1a1fFG_RL0_hEuE", "a::f::<for<'a> fn(&'a u8)>"),
            ("_RINvC1a1fDNtC1b1TEL_E", "a::f::<dyn b::T>"),
            ("_RINvC1a1fDNtC1b1Tp4IterhNtC1b4SendEL_E", "a::f::<dyn b::T<Iter = u8> + b::Send>"),
            ("_RINvC1a1fDINtC1b1ThEp1AtEL_E", "a::f::<dyn b::T<u8, A = u16>>"),
            ("_RINvC1a1fDG0_INtC1b1TRL1_hRL0_hEEL_E", "a::f::<dyn for<'a, 'b> b::T<&'a u8, &'b u8>>"),
            ("_RNvC1a1f.llvm.123456", "a::f"), ("_RNvC1a1f.0.llvm.123456", "a::f.0"),
            ("_RNvC1a1f.cold", "a::f.cold"),
        ] as [(String, String?)])
    func rustV0(name: String, expected: String?) {
        #expect(text(name) == expected ?? name)
    }

    @Test(arguments: [
        ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"),
        (
            "_ZN63_$LT$core..ptr..Unique$LT$T$GT$$u20$as$u20$core..ops..Deref$GT$5deref17h19f2ad4920655e85E",
            "<core::ptr::Unique<T> as core::ops::Deref>::deref"
        ),
        ("_ZN3foo17h05af221e174051e9E.llvm.1234", "foo"), ("_ZN3foo17h05af221e174051e9E.cold", "foo.cold"),
        ("_ZN9$RF$$BP$a3bar17h05af221e174051e9E", "&*a::bar"),
        ("_ZN7$u7e$ab1c17h05af221e174051e9E", "~ab::c"),
        // C++ that only looks like it.
        ("_ZN3foo3barEv", "foo::bar()"), ("_ZN3foo17h05af221e17405xxxE", "foo::h05af221e17405xxx"),
        ("_ZN3fooE", "foo"), ("_ZN99foo17h05af221e174051e9E", "_ZN99foo17h05af221e174051e9E"),
    ])
    func rustLegacyAndCXX(name: String, expected: String) {
        #expect(text(name) == expected)
    }

    @Test(arguments: [
        (
            "$sSS7cStringSSSPys4Int8VG_tcfC",
            "Swift.String.init(cString: Swift.UnsafePointer<Swift.Int8>) -> Swift.String"
        ),
        ("$s4main1fyyF", "main.f() -> ()"), ("_$s4main1fyyF", "main.f() -> ()"),
        ("$snonsense!", "$snonsense!"),
        ("_T04main1fyyF", "main.f() -> ()"),
    ])
    func swift(name: String, expected: String) {
        #expect(text(name) == expected)
    }

    @Test(arguments: [
        "main", "", "_", "_R", "_Z", "$s", "_ZN", "_RNvC", "malloc", "_Rabc", "_R1", "Java_com_x",
    ])
    func whatIsNotMangledStays(name: String) {
        #expect(text(name) == name)
    }

    /// Real names against c++filt, which shows hashes and types of constants of Rust.
    @Test(arguments: ["/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "rustfmt", "cargo"])
    func namesAreThoseOfCXXFilt(file: String) throws {
        var path = file
        if !file.contains("/") {
            try require(.tool("rustc", isExpected: false))
            path =
                try output("rustc", "--print", "sysroot").trimmingCharacters(in: .newlines) + "/bin/" + file
        }
        try require(.file(path, isExpected: file.contains("/")))
        let table = file.contains("/") ? "--dynamic" : "--debug-syms"
        let all = try output("nm", table, "--defined-only", "-P", path).split(separator: "\n")
            .filter { line in [" t ", " T ", " w ", " W "].contains { line.contains($0) } }
            .map { String($0.prefix { $0 != " " && $0 != "@" }) }.filter {
                $0.hasPrefix("_Z") || $0.hasPrefix("_R")
            }
        let names = Set(all).sorted().enumerated().filter { $0.offset % (all.count / 3000 + 1) == 0 }.map(
            \.element)
        let expected = try output("c++filt", input: names.joined(separator: "\n") + "\n").split(
            separator: "\n")
        try #require(expected.count == names.count && names.count > 1000)
        var wrong: [String] = []
        // Of numbers of more than 64 bits, c++filt 2.40 shows zeros.
        for (name, reference) in zip(names, expected)
        where reference != name && !reference.contains("0x00000") {
            let found = text(name)
            if found != reference, plain(found) != plain(String(reference)) {
                wrong.append("\(name)\n \(found)\n \(reference)")
            }
        }
        #expect(wrong.count == 0, "\(wrong.prefix(5).joined(separator: "\n"))")
    }

    /// Without what c++filt shows more: hashes of crates, hashes of functions, types of constants, and what
    /// abbreviations of the C++ ABI stand for.
    private func plain(_ text: String) -> String {
        var result = text.replacing(#/(?<name>\w)\[[0-9a-f]{1,16}\]/#) { String($0.output.name) }
            .replacing(#/::h[0-9a-f]{16}$/#, with: "")
            .replacing(#/: ([ui](8|16|32|64|128|size)|bool|char)(?<end>[\]>,}])/#) { String($0.output.end) }
        for name in ["string", "istream", "ostream", "iostream"] {
            let rest = name == "string" ? ", std::allocator<char> >" : " >"
            result = result.replacingOccurrences(
                of: "std::basic_\(name)<char, std::char_traits<char>\(rest)", with: "std::\(name)")
            result = result.replacingOccurrences(of: "std::\(name) >", with: "std::\(name)>")
            result = result.replacingOccurrences(of: "::basic_\(name)(", with: "::\(name)(")
            result = result.replacingOccurrences(of: "::~basic_\(name)(", with: "::~\(name)(")
        }
        return result
    }
}
