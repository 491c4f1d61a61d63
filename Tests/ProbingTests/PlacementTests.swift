// SPDX-License-Identifier: Apache-2.0
import Foundation
import Processes
import Symbolization
import TestSupport
import Testing

@testable import Probing

/// What objdump prints, by meaning: what the decoder says is not asked.
private struct Line {
    let address: UInt64
    let length: Int
    let mnemonic: String
    let operands: String

    init(_ instruction: (address: UInt64, bytes: [UInt8], text: String)) {
        address = instruction.address
        length = instruction.bytes.count
        let words = instruction.text.split(separator: " ", maxSplits: 1)
        mnemonic = String(words.first ?? "")
        operands = words.count > 1 ? words[1].trimmingCharacters(in: .whitespaces) : ""
    }

    /// Of a jump or a call.
    var target: UInt64? {
        guard isJump || mnemonic == "call" else { return nil }
        return UInt64(operands.prefix { $0.isHexDigit }, radix: 16)
    }

    var isJump: Bool { mnemonic.hasPrefix("j") }
    var isIndirectJump: Bool { isJump && operands.hasPrefix("*") }
    var isReturn: Bool { mnemonic == "ret" }
    var isEmulated: Bool {
        (mnemonic == "push" && operands.hasPrefix("%r")) || (isJump && !isIndirectJump)
            || (mnemonic == "call" && !operands.hasPrefix("*")) || instructionIsNop
    }
    private var instructionIsNop: Bool { mnemonic == "nop" && operands.isEmpty && length == 1 }

    /// Whether arguments, stack and memory are the same behind it.
    var isNeutral: Bool {
        if mnemonic == "endbr64" || mnemonic.hasPrefix("nop") || mnemonic.hasPrefix("cmp")
            || mnemonic.hasPrefix("test") || mnemonic == "xchg" && operands == "%ax,%ax"
        {
            return true
        }
        // The destination is the last operand, and a register.
        guard
            ["mov", "lea", "movs", "xor", "or", "and", "add", "sub"].contains(where: {
                mnemonic.hasPrefix($0)
            }),
            let last = operands.split(separator: ",").last, last.hasPrefix("%")
        else { return false }
        let kept = ["di", "si", "dx", "cx", "sp", "bp", "dil", "sil", "dl", "cl", "dh", "ch"]
        let name = last.dropFirst()
        let register = String(name.first == "r" || name.first == "e" ? name.dropFirst() : name)
        return !kept.contains(register)
    }
}

@Suite(.require(.tool("objdump")), .require(Disassembly.hasLibrary))
struct PlacementTests {
    /// Functions of the C library that objdump and the symbol table agree on: address, bytes and lines.
    private static let functions: Result<[(name: String, code: [UInt8], lines: [Line])], any Error> = Result {
        let path = try #require(Disassembly.library)
        let elf = try #require(OpenFile(path: path).flatMap { ELFFile(.file($0)) })
        let listed = try Disassembly(path).functions.flatMap(\.instructions)
        let byAddress = Dictionary(listed.map { ($0.address, $0) }) { first, _ in first }
        var functions: [(String, [UInt8], [Line])] = []
        var seen: Set<UInt64> = []
        FunctionTable(elf).forEach { entry in
            let function = entry.function
            guard function.size > 0, seen.insert(function.address).inserted else { return }
            var code: [UInt8] = []
            var lines: [Line] = []
            while code.count < Int(function.size),
                let instruction = byAddress[function.address + UInt64(code.count)]
            {
                code += instruction.bytes
                lines.append(Line(instruction))
            }
            if code.count == Int(function.size) { functions.append((function.name, code, lines)) }
        }
        return functions
    }

    /// Whatever is skipped changes nothing, and nothing leads to it; what is probed the kernel emulates.
    @Test func probesAreWhereObjdumpSeesNoHarm() throws {
        var moved = 0
        for (name, code, lines) in try Self.functions.get() {
            let placement = ProbePlacement(code[...])
            let start = lines[0].address
            let probed = start + UInt64(placement.offset)
            let line = lines.first { $0.address == probed }
            #expect(line != nil, "\(name): no instruction at \(placement.offset)")
            if placement.isEmulated, placement.offset > 0 || lines[0].isEmulated {
                #expect(line?.isEmulated == true, "\(name): \(line?.mnemonic ?? "")")
            }
            guard placement.offset > 0 else { continue }
            moved += 1
            for skipped in lines where skipped.address < probed {
                #expect(skipped.isNeutral, "\(name): \(skipped.mnemonic) \(skipped.operands)")
            }
            for jump in lines {
                #expect(!jump.isIndirectJump, "\(name): a table of jumps")
                if let target = jump.target { #expect(!(target > start && target <= probed), "\(name)") }
            }
        }
        #expect(moved > 200, "\(moved)")
    }

    /// Of functions that do not end in others: the very return instructions that objdump lists.
    @Test func returnsAreThoseThatObjdumpLists() throws {
        let path = try #require(Disassembly.library)
        let elf = try #require(OpenFile(path: path).flatMap { ELFFile(.file($0)) })
        let returns = FunctionReturns(elf, CodeOfFile(elf))
        var compared = 0
        var without = 0
        for (name, _, lines) in try Self.functions.get() {
            let range = lines[0].address..<lines[lines.count - 1].address + UInt64(lines.last?.length ?? 1)
            guard
                lines.allSatisfy({ line in
                    !line.isIndirectJump && (!line.isJump || line.target.map(range.contains) ?? false)
                })
            else { continue }
            let expected = lines.filter(\.isReturn).map(\.address)
            guard !expected.isEmpty else { continue }
            let found = returns.find(from: range.lowerBound)
            compared += 1
            // Behind a call that does not return there may be other code, but nothing may be missing.
            if found == nil { without += 1 }
            guard let found else { continue }
            #expect(Set(expected).isSubset(of: found), "\(name)")
            #expect(found.filter(range.contains) == expected, "\(name)")
        }
        #expect(compared > 1000, "\(compared)")
        #expect(without < compared / 50, "\(without) of \(compared)")
    }

    /// Of all functions: whatever is found is a return instruction, and none in a function is missing.
    @Test func endsAreWhereObjdumpSeesReturns() throws {
        let path = try #require(Disassembly.library)
        let elf = try #require(OpenFile(path: path).flatMap { ELFFile(.file($0)) })
        let ends = FunctionEnds(elf)
        let code = CodeOfFile(elf)
        let listed = try Disassembly(path).functions.flatMap(\.instructions).map(Line.init)
        let returns = Set(listed.filter(\.isReturn).compactMap { code.offset(of: $0.address) })
        var (compared, partly, jumps) = (0, 0, 0)
        for (name, _, lines) in try Self.functions.get() {
            let found = ends.of(lines[0].address)
            #expect(returns.isSuperset(of: found.returns), "\(name)")
            let own = lines.filter(\.isReturn).compactMap { code.offset(of: $0.address) }
            if found.areAll { #expect(Set(own).isSubset(of: found.returns), "\(name)") }
            let range = lines[0].address..<lines[lines.count - 1].address + 1
            if lines.contains(where: { $0.isJump && !($0.target.map(range.contains) ?? true) }) {
                jumps += 1
            } else if !lines.contains(where: \.isIndirectJump) {
                #expect(found == FunctionEnds.Ends(returns: own, areAll: true, mayJump: false), "\(name)")
            }
            compared += 1
            if !found.areAll { partly += 1 }
        }
        #expect(compared > 1500 && jumps > 100, "\(compared), \(jumps)")
        #expect(partly < compared / 10, "\(partly) of \(compared)")
    }

    @Test(arguments: [
        // vpbroadcastb %esi, %zmm16; vpor; kmovw; vmovdqu to memory; vpsubsw
        ([0x62, 0xe2, 0x7d, 0x48, 0x7a, 0xc6] as [UInt8], true), ([0xc5, 0xf9, 0xeb, 0xc0], true),
        ([0xc5, 0xf8, 0x90, 0xc8], true), ([0xc5, 0xfe, 0x7f, 0x07], true), ([0xc5, 0xf9, 0xe9, 0xc0], true),
        // vpxor, vxorps, vmovdqu from memory; jp
        ([0xc5, 0xf9, 0xef, 0xc0], false), ([0xc5, 0xf8, 0x57, 0xc0], false),
        ([0xc5, 0xfe, 0x6f, 0x07], false), ([0x7a, 0x02, 0x31, 0xc0], false),
    ])
    func whatTheKernelTakesForAJumpIsNotProbed(code: [UInt8], isRefused: Bool) {
        #expect(ProbePlacement((code + [0xc3])[...]).isRefused == isRefused)
    }

    @Test func aTableOfJumpsIsNotFollowed() throws {
        // switch: some function of the C library has one; printf's machinery has several.
        let found = try Self.functions.get().filter { function in
            function.lines.contains { $0.isIndirectJump && $0.operands.hasPrefix("*%") }
        }
        try #require(!found.isEmpty)
        for function in found.prefix(50) { #expect(ProbePlacement(function.code[...]).offset == 0) }
    }
}
