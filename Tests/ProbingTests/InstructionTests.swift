// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Probing

private func decode(_ bytes: [UInt8]) -> Instruction? { Instruction(bytes[...], at: 0) }

@Suite struct InstructionTests {
    /// Encodings with their lengths, by the Software Developer's Manual, volume 2.
    @Test(
        arguments: [
            ([0x90], 1), ([0x55], 1), ([0x41, 0x54], 2), ([0xf3, 0x0f, 0x1e, 0xfa], 4),
            ([0x48, 0x85, 0xff], 3),
            ([0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0], 10), ([0x0f, 0x1f, 0x44, 0, 0], 5),
            ([0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8], 10), ([0xb8, 1, 2, 3, 4], 5), ([0x66, 0xb8, 1, 2], 4),
            ([0x66, 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8], 11), ([0x80, 0x3d, 1, 2, 3, 4, 0], 7),
            ([0x48, 0x8b, 0x44, 0x24, 0x08], 5), ([0x48, 0x8b, 0x04, 0x25, 1, 2, 3, 4], 8),
            ([0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0], 9), ([0xf6, 0xc2, 0x01], 3), ([0xf6, 0xd2], 2),
            ([0xf7, 0xc2, 1, 2, 3, 4], 6), ([0x66, 0xf7, 0xc2, 1, 2], 5), ([0xf7, 0xd2], 2),
            ([0xc5, 0xf8, 0x77], 3), ([0xc5, 0xfd, 0x6f, 0x06], 4),
            ([0xc4, 0xe2, 0x79, 0x18, 0x05, 1, 2, 3, 4], 9),
            ([0xc4, 0xe3, 0x79, 0x16, 0xc0, 0x01], 6), ([0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x46, 0x01], 7),
            ([0x66, 0x0f, 0x3a, 0x0f, 0xc1, 0x08], 6), ([0x66, 0x0f, 0x38, 0x00, 0xc1], 5),
            ([0x66, 0x66, 0x48, 0xe8, 1, 2, 3, 4], 8), ([0xc8, 1, 2, 3], 4), ([0xc2, 1, 2], 3),
            ([0x48, 0xa1, 1, 2, 3, 4, 5, 6, 7, 8], 10), ([0x69, 0xc0, 1, 2, 3, 4], 6), ([0x6b, 0xc0, 1], 3),
            ([0xf0, 0x48, 0x0f, 0xb1, 0x0d, 1, 2, 3, 4], 9),
        ] as [([UInt8], Int)])
    func lengths(bytes: [UInt8], length: Int) {
        #expect(decode(bytes)?.length == length)
        // Nothing behind it is looked at, and what is cut is none.
        #expect(decode(bytes + [0xff, 0xff])?.length == length)
        for cut in 0..<bytes.count { #expect(decode(Array(bytes.prefix(cut)))?.length ?? 0 <= cut) }
    }

    @Test(
        arguments: [[0x06], [0x62], [0xd6], [0x0f], [0x0f, 0x04], [0xc4, 0x1f, 0, 0, 0], [0x66], []]
            as [[UInt8]])
    func whatIsNone(bytes: [UInt8]) { #expect(decode(bytes) == nil) }

    @Test func longerThanACPUTakesIsNone() {
        #expect(decode([UInt8](repeating: 0x66, count: 14) + [0x90])?.length == 15)
        #expect(decode([UInt8](repeating: 0x66, count: 15) + [0x90]) == nil)
    }

    @Test func flow() {
        #expect(decode([0xeb, 0xfe])?.flow == .jump(-2))
        #expect(decode([0xe9, 0xfb, 0xff, 0xff, 0xff])?.flow == .jump(-5))
        #expect(decode([0x74, 0x10])?.flow == .branch(16))
        #expect(decode([0x0f, 0x84, 0, 1, 0, 0])?.flow == .branch(256))
        #expect(decode([0xe8, 0, 0, 0, 0x80])?.flow == .call(-(1 << 31)))
        #expect(decode([0xff, 0xe0])?.flow == .indirectJump)
        #expect(decode([0x3e, 0xff, 0xe0])?.flow == .indirectJump)
        #expect(decode([0xff, 0x15, 1, 2, 3, 4])?.flow == .indirectCall)
        #expect(decode([0xff, 0x35, 1, 2, 3, 4])?.flow == .next)
        #expect(decode([0xc3])?.flow == .end)
        #expect(decode([0xf3, 0xc3])?.flow == .end)
    }

    @Test func whatTheKernelEmulates() {
        for bytes: [UInt8] in [
            [0x55], [0x41, 0x54], [0x90], [0x74, 5], [0xeb, 5], [0xe8, 1, 0, 0, 0], [0xe9, 1, 0, 0, 0],
            [0x0f, 0x85, 1, 0, 0, 0],
        ] { #expect(decode(bytes)?.isEmulated == true, "\(bytes)") }
        for bytes: [UInt8] in [
            [0x66, 0x55], [0x66, 0x90], [0xf3, 0x90], [0x41, 0x90], [0x66, 0xe8, 1, 0, 0, 0],
            [0x48, 0x85, 0xff],
            [0xc3], [0xff, 0xe0], [0xf3, 0x0f, 0x1e, 0xfa], [0x6a, 1], [0xff, 0x35, 1, 2, 3, 4],
        ] { #expect(decode(bytes)?.isEmulated == false, "\(bytes)") }
    }

    /// Whatever the bytes, decoding ends, and within them.
    @Test func randomBytes() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let bytes = (0..<18).map { _ in UInt8.random(in: 0...255, using: &generator) }
            let offset = Int.random(in: 0...18, using: &generator)
            if let found = Instruction(bytes[...], at: offset) {
                #expect(found.length > 0 && offset + found.length <= 18 && found.length <= 15)
            }
        }
    }
}

@Suite struct ProbePlacementTests {
    private let ret: [UInt8] = [0xc3]
    private let test: [UInt8] = [0x48, 0x85, 0xff]

    private func place(_ parts: [UInt8]...) -> ProbePlacement { ProbePlacement(parts.flatMap { $0 }[...]) }

    @Test func aPushAtTheEntry() {
        let found = place([0x55], ret)
        #expect(found.offset == 0 && found.isEmulated)
    }

    @Test func theBranchBehindATest() {
        // test rdi, rdi; je +1; push rbp; ret: free of glibc
        let found = place(test, [0x74, 0x01], [0x55], ret)
        #expect(found.offset == 3 && found.isEmulated)
    }

    @Test func behindALandingPadAndLoadsOfOtherRegisters() {
        // endbr64; mov eax, 1; xor r8d, r8d; cmp byte [rip], 0; push rbx
        let found = place(
            [0xf3, 0x0f, 0x1e, 0xfa], [0xb8, 1, 0, 0, 0], [0x45, 0x31, 0xc0], [0x80, 0x3d, 1, 2, 3, 4, 0],
            [0x53],
            ret)
        #expect(found.offset == 19)
    }

    @Test(
        arguments: [
            [0x48, 0x89, 0xf7],  // mov rdi, rsi
            [0xbe, 1, 0, 0, 0],  // mov esi, 1
            [0x31, 0xd2],  // xor edx, edx
            [0x48, 0x83, 0xec, 0x08],  // sub rsp, 8
            [0x48, 0x89, 0xe5],  // mov rbp, rsp
            [0x48, 0x89, 0x3d, 1, 2, 3, 4],  // mov [rip], rdi
            [0x58],  // pop rax
            [0x0f, 0x05],  // syscall
            [0xf0, 0xff, 0x05, 1, 2, 3, 4],  // lock inc
            [0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0],  // mov rax, fs:0
        ] as [[UInt8]])
    func nothingThatChangesWhatMattersIsPassed(bytes: [UInt8]) {
        let found = place(bytes, [0x55], ret)
        #expect(found.offset == 0)
        #expect(!found.isEmulated)
    }

    @Test func aJumpIntoWhatIsPassed() {
        // test; L: je …; jmp L
        #expect(place(test, [0x74, 0x02], [0xeb, 0xfc], ret).offset == 0)
        // The same to behind it.
        #expect(place(test, [0x74, 0x02], [0xeb, 0xfe], ret).offset == 3)
        // To the entry: it passes there as well.
        #expect(place(test, [0x74, 0x02], [0xeb, 0xf9], ret).offset == 3)
    }

    @Test func whatCannotBeProven() {
        // A jump through a register, and bytes that are no code.
        #expect(place(test, [0x74, 0x02], [0xff, 0xe0], ret).offset == 0)
        #expect(place(test, [0x74, 0x02], [0x06, 0x06], ret).offset == 0)
        #expect(place().offset == 0)
    }

    @Test func exits() {
        // call +0x100 from the end of 5 bytes; jmp behind the function
        let found = place([0xe8, 0, 1, 0, 0], [0xe9, 0, 2, 0, 0], ret)
        #expect(found.targets == [0x105, 0x20a])
        #expect(!found.callsIndirectly)
        #expect(place([0xff, 0x15, 0, 0, 0, 0], ret).callsIndirectly)
    }
}
