// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@testable import Commands

@Suite struct OpenFlagsTests {
    @Test(arguments: [
        ("O_RDONLY", O_RDONLY), ("O_WRONLY", O_WRONLY), ("O_RDWR", O_RDWR), ("O_CREAT", O_CREAT),
        ("O_EXCL", O_EXCL), ("O_NOCTTY", O_NOCTTY), ("O_TRUNC", O_TRUNC), ("O_APPEND", O_APPEND),
        ("O_NONBLOCK", O_NONBLOCK), ("O_NDELAY", O_NDELAY), ("O_DSYNC", O_DSYNC), ("O_SYNC", O_SYNC),
        ("O_ASYNC", O_ASYNC), ("O_DIRECT", __O_DIRECT), ("O_DIRECTORY", __O_DIRECTORY),
        ("O_NOFOLLOW", __O_NOFOLLOW), ("O_NOATIME", __O_NOATIME), ("O_CLOEXEC", __O_CLOEXEC),
        ("O_PATH", __O_PATH),
    ])
    func masksAreThoseOfTheCLibrary(name: String, value: Int32) {
        #expect(OpenFlags.mask(named: name) == UInt64(value))
        #expect(OpenFlags.mask(named: String(name.dropFirst(2))) == UInt64(value))
        #expect(OpenFlags.mask(named: name.lowercased()) == UInt64(value))
    }

    @Test func temporaryFilesAreDirectoriesToo() {
        // __O_TMPFILE | O_DIRECTORY (asm-generic/fcntl.h), which Swift does not import.
        #expect(OpenFlags.mask(named: "O_TMPFILE") == 0o20000000 | UInt64(__O_DIRECTORY))
    }

    @Test func largeFilesHaveTheKernelsBit() {
        // Zero in the C library of a 64-bit machine, and not for the kernel (asm-generic/fcntl.h).
        #expect(OpenFlags.mask(named: "O_LARGEFILE") == 0o100000)
        #expect(OpenFlags.names(0o100000) == ["O_RDONLY", "O_LARGEFILE"])
    }

    @Test(arguments: ["", "O_", "O", "O_NOPE", "WRONLY ", "O_O_WRONLY", "O_WRONLY|O_CREAT", "1", "O_ACCMODE"])
    func whatIsNoFlagHasNoMask(name: String) {
        #expect(OpenFlags.mask(named: name) == nil)
    }

    @Test(
        arguments: [
            (0, ["O_RDONLY"]), (1, ["O_WRONLY"]), (2, ["O_RDWR"]), (3, ["O_ACCMODE"]),
            (0o1101, ["O_WRONLY", "O_CREAT", "O_TRUNC"]),
            (0o2000000, ["O_RDONLY", "O_CLOEXEC"]),
            (0o2200000, ["O_RDONLY", "O_DIRECTORY", "O_CLOEXEC"]),
            // Flags that contain another one's bit.
            (0o4010000, ["O_RDONLY", "O_SYNC"]), (0o10000, ["O_RDONLY", "O_DSYNC"]),
            (0o20200002, ["O_RDWR", "O_TMPFILE"]), (0o200000, ["O_RDONLY", "O_DIRECTORY"]),
            // What has no name.
            (0o4000000, ["O_RDONLY", "04000000"]), (4, ["O_RDONLY", "04"]),
            (0o104, ["O_RDONLY", "O_CREAT", "04"]),
            (1 << 32, ["O_RDONLY", "040000000000"]),
        ] as [(UInt64, [String])])
    func names(flags: UInt64, names: [String]) {
        #expect(OpenFlags.names(flags) == names)
    }

    @Test func namesTellAllBitsAndNoOthers() {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<2000 {
            // Fewer bits with each term, so that few and many are set.
            let flags = random.next() & random.next() & (Bool.random(using: &random) ? .max : 0o377_777_774)
            let total = OpenFlags.names(flags).map { name -> UInt64 in
                if name == "O_ACCMODE" { return 3 }
                return OpenFlags.mask(named: name) ?? UInt64(name, radix: 8) ?? 0
            }
            #expect(total.reduce(0, |) == flags)
        }
    }
}
