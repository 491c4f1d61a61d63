// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Probing

/// What objdump says of a library of this machine.
struct Disassembly {
    /// Addresses of instructions, and their bytes, by function.
    private(set) var functions:
        [(name: String, instructions: [(address: UInt64, bytes: [UInt8], text: String)])] = []

    static let library: String? = [
        "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6",
    ].first { FileManager.default.fileExists(atPath: $0) }
    static let hasLibrary = Requirement("there is no C library in the usual places", isMet: library != nil)

    init(_ path: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/objdump")
        process.arguments = ["-d", "-w", "--insn-width=16", "-j", ".text", path]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        for line in output.split(separator: UInt8(ascii: "\n")) { read(line) }
    }

    /// "0000000000098ef0 <free>:" and "   98ef0:\t48 85 ff   \ttest   %rdi,%rdi"
    private mutating func read(_ line: Data) {
        guard line.first == UInt8(ascii: " ") else {
            guard line.last == UInt8(ascii: ":"), let open = line.firstIndex(of: UInt8(ascii: "<")) else {
                return
            }
            functions.append((String(decoding: line[(open + 1)..<(line.endIndex - 2)], as: UTF8.self), []))
            return
        }
        let fields = line.split(separator: UInt8(ascii: "\t"))
        guard fields.count > 2, !functions.isEmpty,
            let address = UInt64(
                String(decoding: fields[0].dropLast(), as: UTF8.self).trimmingCharacters(in: .whitespaces),
                radix: 16)
        else { return }
        let bytes = fields[1].split(separator: UInt8(ascii: " ")).compactMap {
            UInt8(String(decoding: $0, as: UTF8.self), radix: 16)
        }
        functions[functions.count - 1].instructions.append(
            (address, bytes, String(decoding: fields[2], as: UTF8.self)))
    }
}

@Suite(.require(.tool("objdump")), .require(Disassembly.hasLibrary))
struct DisassemblerTests {
    /// Every instruction of libc has the length, and every direct jump the target, that objdump prints.
    @Test func agreesWithObjdumpOnTheCLibrary() throws {
        let disassembly = try Disassembly(try #require(Disassembly.library))
        #expect(disassembly.functions.count > 1)
        var compared = 0
        var wrong: [String] = []
        for function in disassembly.functions {
            for (address, bytes, text) in function.instructions where !text.contains("(bad)") {
                // objdump prints prefixes that have no effect as instructions of their own.
                if bytes.allSatisfy({ $0 & 0xf0 == 0x40 || $0 == 0x66 || $0 == 0xf3 || $0 == 0xf2 }) {
                    continue
                }
                compared += 1
                let found = Instruction(bytes[...], at: 0)
                if found?.length != bytes.count {
                    wrong.append(
                        "\(String(address, radix: 16)) \(text): \(found?.length ?? 0) of \(bytes.count)")
                    continue
                }
                switch found?.flow {
                case .jump(let distance), .branch(let distance), .call(let distance):
                    let target = address &+ UInt64(bytes.count) &+ UInt64(bitPattern: distance)
                    if !text.contains(" \(String(target, radix: 16))") { wrong.append(text) }
                default: break
                }
            }
        }
        #expect(compared > 100_000)
        #expect(wrong.isEmpty, "\(wrong.count), such as \(wrong.prefix(5))")
    }
}
