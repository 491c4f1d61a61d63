// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

@testable import Reporting

@Suite struct ErrnoNameTests {
    @Test(arguments: [
        (EPERM, "EPERM"), (ENOENT, "ENOENT"), (EINTR, "EINTR"), (EAGAIN, "EAGAIN"), (EACCES, "EACCES"),
        (EINVAL, "EINVAL"), (ENAMETOOLONG, "ENAMETOOLONG"), (ELOOP, "ELOOP"), (EOPNOTSUPP, "EOPNOTSUPP"),
        (512, "ERESTARTSYS"), (513, "ERESTARTNOINTR"), (514, "ERESTARTNOHAND"),
        (516, "ERESTART_RESTARTBLOCK"),
    ])
    func names(code: Int32, name: String) {
        #expect(errnoName(code) == name)
    }

    @Test(arguments: [0, -1, -2, 134, 515, 4095, .max, .min] as [Int32])
    func whatIsNoErrnoHasNoName(code: Int32) {
        #expect(errnoName(code) == nil)
    }

    @Test func everyNumberOfTheCLibraryHasItsName() {
        // 41 and 58 were never given out (asm-generic/errno.h).
        #expect((1...133 as ClosedRange<Int32>).filter { errnoName($0) == nil } == [41, 58])
        let names = (1...600 as ClosedRange<Int32>).compactMap { errnoName($0) }
        #expect(Set(names).count == names.count)
    }
}
