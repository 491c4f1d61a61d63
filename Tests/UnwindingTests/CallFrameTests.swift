// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import Testing

@testable import Unwinding

/// What instructions and encodings mean, of entries made by hand.
@Suite struct CallFrameTests {
    private static let start: UInt64 = 0x1100
    private static let none = unwind_rule(CFA_NO_RULE)

    /// The rules at the first bytes of a function of 64 bytes.
    private func rules(
        _ instructions: [UInt8], common: [UInt8] = FrameSection.usual, code: UInt8 = 1,
        at offsets: [UInt64] = [0]
    ) throws -> [unwind_rule] {
        var section = FrameSection()
        section.addCommon(code: code, common)
        section.addFunction(Self.start, 64, instructions)
        let table = try #require(FrameImage(frames: section.bytes).table)
        return offsets.map { table.rule(at: Self.start + $0) }
    }

    @Test func aFunctionWithAFramePointer() throws {
        // push %rbp; mov %rsp,%rbp; ... pop %rbp; ret
        let found = try rules(
            [0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x50, 0x0c, 7, 8, 0xc6], at: [0, 1, 3, 4, 19, 20, 63])
        #expect(
            found == [
                unwind_rule(CFA_STACK, 8), unwind_rule(CFA_STACK, 16, FRAME_POINTER_SAVED, -16),
                unwind_rule(CFA_STACK, 16, FRAME_POINTER_SAVED, -16),
                unwind_rule(CFA_FRAME, 16, FRAME_POINTER_SAVED, -16),
                unwind_rule(CFA_FRAME, 16, FRAME_POINTER_SAVED, -16),
                unwind_rule(CFA_STACK, 8), unwind_rule(CFA_STACK, 8),
            ])
    }

    /// Each of these advances by 4, to where the stack is 16 bytes.
    @Test(
        arguments: [
            [0x44], [0x02, 4], [0x03, 4, 0], [0x04, 4, 0, 0, 0], [0x1d, 4, 0, 0, 0, 0, 0, 0, 0],
            [0x01] + number(0x1104 as UInt64), [0x00, 0x42, 0x00, 0x42],
        ] as [[UInt8]])
    func advances(_ instruction: [UInt8]) throws {
        let found = try rules(instruction + [0x0e, 16], at: [0, 3, 4, 63])
        #expect(found.map(\.cfa_offset) == [8, 8, 16, 16])
    }

    @Test func advancesByTheAlignmentOfCode() throws {
        #expect(try rules([0x44, 0x0e, 16], code: 4, at: [15, 16]).map(\.cfa_offset) == [8, 16])
    }

    /// How the canonical frame address is said.
    @Test(
        arguments: [
            ([0x0c, 6, 0x90, 1], unwind_rule(CFA_FRAME, 144)),
            ([0x12, 7, 0x7e], unwind_rule(CFA_STACK, 16)),
            ([0x13, 0x7d], unwind_rule(CFA_STACK, 24)),
            ([0x0d, 3], unwind_rule(CFA_REGISTER, 8, register: 3)),
            ([0x0e, 0x80, 0x80, 0x80, 0x80, 0x08], none),
            ([0x0c, 40, 8], none),
            // rsp + 8 by an expression; *(rbp - 8); *(rsp + 16) + 8, in several ways
            ([0x0f, 2, 0x77, 8], unwind_rule(CFA_STACK, 8)),
            ([0x0f, 3, 0x76, 0x78, 0x06], unwind_rule(CFA_FRAME_DEREFERENCED, -8)),
            ([0x0f, 5, 0x77, 16, 0x06, 0x23, 8], unwind_rule(CFA_STACK_DEREFERENCED, 16, addend: 8)),
            (
                [0x0f, 7, 0x92, 7, 16, 0x06, 0x08, 8, 0x22],
                unwind_rule(CFA_STACK_DEREFERENCED, 16, addend: 8)
            ),
            ([0x0f, 5, 0x77, 16, 0x06, 0x38, 0x1c], unwind_rule(CFA_STACK_DEREFERENCED, 16, addend: -8)),
            ([0x0f, 3, 0x73, 0x78, 0x06], none),
            // The expression of .plt, and nearly that
            (
                [0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22],
                unwind_rule(CFA_PLT, 11)
            ),
            ([0x0f, 11, 0x77, 16, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22], none),
            ([0x0f, 0], none), ([0x0f, 1, 0x77], none),
        ] as [([UInt8], unwind_rule)])
    func addresses(_ instructions: [UInt8], _ expected: unwind_rule) throws {
        #expect(try rules(instructions) == [expected])
    }

    /// Where rbp is said to be.
    @Test(
        arguments: [
            ([0x86, 2], FRAME_POINTER_SAVED, -16), ([0x05, 6, 3], FRAME_POINTER_SAVED, -24),
            ([0x11, 6, 0x7e], FRAME_POINTER_SAVED, 16), ([0x2f, 6, 2], FRAME_POINTER_SAVED, 16),
            ([0x86, 2, 0xc6], FRAME_POINTER_SAME, 0), ([0x86, 2, 0x06, 6], FRAME_POINTER_SAME, 0),
            ([0x86, 2, 0x08, 6], FRAME_POINTER_SAME, 0), ([0x07, 6], FRAME_POINTER_UNKNOWN, 0),
            ([0x09, 6, 3], FRAME_POINTER_UNKNOWN, 0), ([0x14, 6, 2], FRAME_POINTER_UNKNOWN, 0),
            ([0x15, 6, 2], FRAME_POINTER_UNKNOWN, 0), ([0x16, 6, 2, 0x76, 0], FRAME_POINTER_UNKNOWN, 0),
            ([0x10, 6, 2, 0x76, 0x70], FRAME_POINTER_AT_FRAME, -16),
            ([0x10, 6, 2, 0x77, 0x70], FRAME_POINTER_UNKNOWN, 0),
            // Other registers, and what is of no interest
            ([0x83, 2, 0x10, 3, 2, 0x76, 0x70, 0x2e, 16, 0x2d], FRAME_POINTER_SAME, 0),
        ] as [([UInt8], unwind_frame_pointer, Int32)])
    func framePointers(_ instructions: [UInt8], _ kind: unwind_frame_pointer, _ offset: Int32) throws {
        #expect(try rules(instructions) == [unwind_rule(CFA_STACK, 8, kind, offset)])
    }

    /// Where the return address is said to be.
    @Test func returnAddresses() throws {
        #expect(try rules([0x07, 16]) == [unwind_rule(CFA_ROOT)])
        #expect(try rules([0x90, 2]) == [unwind_rule(CFA_STACK, 8, ra: -16)])
        #expect(try rules([0x90, 2, 0xd0]) == [unwind_rule(CFA_STACK, 8)])
        for instructions: [UInt8] in [
            [0x08, 16], [0x09, 16, 3], [0x90, 0x80, 0x80, 2], [0x16, 16, 1, 0x30],
        ] {
            #expect(try rules(instructions) == [Self.none])
        }
        // Nobody says where it is.
        #expect(try rules([], common: [0x0c, 7, 8]) == [Self.none])
    }

    @Test func rememberedStatesCountFromTheLast() throws {
        let found = try rules(
            [0x0a, 0x0c, 6, 32, 0x86, 4, 0x0a, 0x0e, 64, 0x41, 0x0b, 0x41, 0x0b], at: [0, 1, 2, 63])
        #expect(
            found == [
                unwind_rule(CFA_FRAME, 64, FRAME_POINTER_SAVED, -32),
                unwind_rule(CFA_FRAME, 32, FRAME_POINTER_SAVED, -32), unwind_rule(CFA_STACK, 8),
                unwind_rule(CFA_STACK, 8),
            ])
    }

    /// What makes no sense ends the description there, and so does what is cut; what was said before holds.
    @Test(
        arguments: [
            [0x0b, 0x41], [0x3f, 0x41], [0x01] + number(0x1000 as UInt64) + [0x41],
            [0x0f, 3, 0x76, 0, 0x06, 0x0e, 8, 0x41], [UInt8](repeating: 0x0a, count: 65) + [0x41],
            [0x02], [0x03, 1], [0x0f, 0xff, 0xff, 3, 0x77], [0x05, 6, 0xff], [0x86], [0x0e], [0x0c, 7],
        ] as [[UInt8]])
    func nonsenseEndsADescription(_ nonsense: [UInt8]) throws {
        var section = FrameSection()
        section.addCommon()
        section.addFunction(Self.start, 64, [0x44] + nonsense)
        section.addFunction(Self.start + 64, 64, [])
        let table = try #require(FrameImage(frames: section.bytes).table)
        #expect(table.rule(at: Self.start + 3) == unwind_rule(CFA_STACK, 8))
        #expect(table.rule(at: Self.start + 4) == Self.none)
        #expect(table.rule(at: Self.start + 63) == Self.none)
        #expect(table.rule(at: Self.start + 64) == unwind_rule(CFA_STACK, 8))
        #expect(table.statistics.malformedEntries == 1 && table.statistics.entries == 2)
    }

    // MARK: Entries

    /// How the address of a function can be written, which is at 0x1100 and has 32 bytes. It is written at 0x10001e:
    /// the section's address, 22 bytes of the common entry, and 8 of this one.
    @Test(
        arguments: [
            (0x00, number(0x1100 as UInt64) + number(32 as UInt64)), (0x01, [0x80, 0x22, 32]),
            (0x02, number(0x1100 as UInt16) + number(32 as UInt16)),
            (0x03, number(0x1100 as UInt32) + number(32 as UInt32)),
            (0x04, number(0x1100 as UInt64) + number(32 as UInt64)), (0x09, [0x80, 0x22, 32]),
            (0x0a, number(0x1100 as UInt16) + number(32 as UInt16)),
            (0x0b, number(0x1100 as UInt32) + number(32 as UInt32)),
            (0x0c, number(0x1100 as UInt64) + number(32 as UInt64)),
            (0x1b, number(0x1100 - 0x10001e as Int32) + number(32 as UInt32)),
            (0x1c, number(0x1100 - 0x10001e as Int64) + number(32 as UInt64)),
            (0x50, [0, 0] + number(0x1100 as UInt64) + number(32 as UInt64)),
        ] as [(UInt8, [UInt8])])
    func encodings(_ encoding: UInt8, _ range: [UInt8]) throws {
        var section = FrameSection()
        section.addCommon("zR", data: [encoding])
        #expect(section.bytes.count == 22)
        section.addFunction(range: range, data: [0], [])
        let table = try #require(FrameImage(frames: section.bytes).table)
        #expect(table.rule(at: 0x1100) == unwind_rule(CFA_STACK, 8))
        #expect(table.rule(at: 0x111f) == unwind_rule(CFA_STACK, 8))
        #expect(table.rule(at: 0x10ff) == Self.none && table.rule(at: 0x1120) == Self.none)
    }

    /// An address that must be fetched from memory, one relative to what the file has not, and unknown forms.
    @Test(arguments: [0x80, 0x9b, 0x3b, 0x2b, 0x4b, 0x05, 0x0f, 0x60, 0xff] as [UInt8])
    func otherEncodingsAreRefused(_ encoding: UInt8) {
        var section = FrameSection()
        section.addCommon("zR", data: [encoding])
        section.addFunction(Self.start, 64, data: [0], [])
        #expect(FrameImage(frames: section.bytes).table == nil)
    }

    @Test(
        arguments: [
            // A personality and a language's data, as C++ has them
            ("zPLR", [0x9b, 1, 2, 3, 4, 0x1b, 0x00], [4, 1, 2, 3, 4]), ("zR", [0x00], [0]), ("z", [], [0]),
            ("zX", [9, 9], [0]), ("", [], []),
        ] as [(String, [UInt8], [UInt8])])
    func augmentations(_ augmentation: String, _ data: [UInt8], _ functionData: [UInt8]) throws {
        for version: UInt8 in [1, 3, 4] {
            var section = FrameSection()
            section.addCommon(augmentation, data: data, version: version)
            section.addFunction(Self.start, 64, data: functionData, [0x0e, 24])
            let table = try #require(FrameImage(frames: section.bytes).table)
            #expect(table.rule(at: Self.start) == unwind_rule(CFA_STACK, 24))
        }
    }

    @Test func entriesOf64BitsAndOfDebugFrame() throws {
        for (isDebug, is64) in [(false, true), (true, false), (true, true)] {
            var section = FrameSection(isDebug: isDebug, is64: is64)
            section.addCommon(version: isDebug ? 4 : 1)
            section.addFunction(Self.start, 64, [0x0e, 24])
            let image =
                isDebug ? FrameImage(debugFrames: section.bytes) : FrameImage(frames: section.bytes)
            #expect(image.table?.rule(at: Self.start) == unwind_rule(CFA_STACK, 24))
        }
    }
}
