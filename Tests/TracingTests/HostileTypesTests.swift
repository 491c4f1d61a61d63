// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Tracing

/// Files for --btf that were made to cost much.
@Suite struct HostileTypesTests {
    /// Types of BTF (Documentation of Linux, bpf/btf.rst), numbered from 1.
    private struct Types {
        private var types: [UInt32] = []
        private var texts: [UInt8] = [0]

        /// - Parameter parameters: types of a function's arguments.
        mutating func add(_ kind: UInt32, name: String = "", _ type: UInt32, parameters: [UInt32] = []) {
            var place: UInt32 = 0
            if !name.isEmpty {
                place = UInt32(texts.count)
                texts += Array(name.utf8) + [0]
            }
            types += [place, kind << 24 | UInt32(parameters.count), type] + parameters.flatMap { [0, $0] }
        }

        var bytes: [UInt8] {
            let size = UInt32(types.count * 4)
            let words = [0x0001_eb9f, 24, 0, size, size, UInt32(texts.count)] + types
            return words.flatMap { word in withUnsafeBytes(of: word.littleEndian) { Array($0) } } + texts
        }
    }

    private static let pointer: UInt32 = 2
    private static let function: UInt32 = 12
    private static let prototype: UInt32 = 13

    private static let alias: UInt32 = 8

    private func withTypes<Result>(
        _ bytes: [UInt8], _ body: (borrowing KernelTypes) -> Result
    ) throws -> Result {
        let path = NSTemporaryDirectory() + "apus-types-\(UUID().uuidString)"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        defer { unlink(path) }
        return body(try KernelTypes(path: path))
    }

    private func signature(_ types: Types) throws -> KernelSignature? {
        try withTypes(types.bytes) { $0.signatures(of: ["f"])["f"] }
    }

    /// Short; APUS_FUZZ_SECONDS=20 goes on for that long, APUS_FUZZ_SEED=1 and so on elsewhere.
    @Test func anyTypes() throws {
        let environment = ProcessInfo.processInfo.environment
        var random = SeededGenerator(seed: UInt64(environment["APUS_FUZZ_SEED"] ?? "") ?? 42)
        let end = Date(timeIntervalSinceNow: Double(environment["APUS_FUZZ_SECONDS"] ?? "") ?? 0)
        var (round, read) = (0, 0)
        while round < 2000 || Date() < end {
            var types = Types()
            types.add(Self.function, name: "f", 2)
            types.add(Self.prototype, 3, parameters: [3, 0])
            for _ in 0..<random.below(12) {
                let next = UInt32(random.below(16))
                switch random.below(4) {
                case 0: types.add(Self.pointer, next)
                case 1: types.add(Self.alias, name: "btf_trace_t", next)
                case 2: types.add(UInt32(1 + random.below(19)), name: "n", next)
                default:
                    types.add(
                        Self.prototype, next,
                        parameters: (0..<random.below(4)).map { _ in UInt32(random.below(16)) })
                }
            }
            var bytes = types.bytes
            if random.below(2) == 0 { random.damage(&bytes) }
            // Most are refused.
            let found = try? withTypes(bytes) { types in
                _ = (types.tracepointArguments("t"), types.hasStruct("n"), types.rawTracepoints())
                return types.signatures(of: ["f", "n"]).count
            }
            read += found == nil ? 0 : 1
            round += 1
        }
        #expect(read > round / 50)
    }

    @Test func anOrdinaryOne() throws {
        var types = Types()
        types.add(Self.function, name: "f", 2)
        types.add(Self.prototype, 0, parameters: [3, 0])
        types.add(Self.pointer, 4)
        types.add(Self.prototype, 0, parameters: [3])
        let signature = try #require(try signature(types))
        #expect(signature.result == "void" && signature.arguments.count == 2)
        #expect(signature.arguments[0].type.hasPrefix("void (*)(void (*)("))
        #expect(signature.arguments[1].type == "...")
    }

    /// Eight arguments, each a function of eight arguments, and so on sixteen deep: a file of 2 KB for 2^48 types.
    @Test(.timeLimit(.minutes(1)))
    func functionsOfFunctionsOfFunctions() throws {
        var types = Types()
        types.add(Self.function, name: "f", 2)
        for level in 0..<16 as Range<UInt32> {
            types.add(Self.prototype, 0, parameters: [UInt32](repeating: 3 + 2 * level, count: 8))
            types.add(Self.pointer, level == 15 ? 2 : 4 + 2 * level)
        }
        let signature = try #require(try signature(types))
        #expect(signature.arguments.count == 8)
        #expect(signature.arguments.reduce(0) { $0 + $1.type.utf8.count } < 1 << 16)
    }
}
