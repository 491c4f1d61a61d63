// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Symbolization

@Suite struct MappingTests {
    private func mappings(_ text: String, limit: Int = 100) -> [Mapping] {
        Mapping.executable(in: Array(text.utf8), limit: limit)
    }

    @Test func executableMappingsAreRead() throws {
        let found = mappings(
            """
            55d0a0000000-55d0a0001000 r--p 00000000 fd:01 1234                       /usr/bin/with space
            55d0a0001000-55d0a0002000 r-xp 00001000 fd:01 1234                       /usr/bin/with space
            7f0000000000-7f0000001000 rwxp 00000000 00:00 0 
            7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]
            ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]

            """)
        #expect(found.map(\.cleanPath) == ["/usr/bin/with space", "", "[vdso]", "[vsyscall]"])
        let first = try #require(found.first)
        #expect(first.start == 0x55d0_a000_1000 && first.end == 0x55d0_a000_2000 && first.offset == 0x1000)
        #expect(first.device == 0xfd01 && first.inode == 1234)
        #expect(first.linkName == "55d0a0001000-55d0a0002000")
    }

    @Test func whatTheKernelAddsToPathsIsRemoved() {
        let found = mappings(
            """
            1000-2000 r-xp 0 08:01 5 /tmp/gone (deleted)
            2000-3000 r-xp 0 08:01 5 /tmp/two\\012lines
            3000-4000 r-xp 0 00:00 0 //anon (deleted)
            """)
        #expect(found.map(\.cleanPath) == ["/tmp/gone", "/tmp/two\nlines", "//anon (deleted)"])
    }

    @Test func whatIsNoMappingIsLeftOut() {
        #expect(mappings("") == [])
        #expect(mappings("\n\n\n") == [])
        #expect(mappings("2000-1000 r-xp 0 0:0 0 reversed\n1000-1000 r-xp 0 0:0 0 empty") == [])
        #expect(mappings("1000-2000 r-x 0 0:0 0 x\n1000-2000 r-xp 0 0:0\n-1000-2000 r-xp 0 0:0 0 x") == [])
        #expect(mappings("11111111111111111-2 r-xp 0 0:0 0 x\n1000-+2000 r-xp 0 0:0 0 x") == [])
        // Not in order, or overlapping.
        #expect(
            mappings("3000-5000 r-xp 0 0:0 0 a\n1000-2000 r-xp 0 0:0 0 b\n4000-6000 r-xp 0 0:0 0 c").count
                == 1)
        #expect(mappings("1000-2000 r-xp 0 0:0 0 a\n2000-3000 r-xp 0 0:0 0 b", limit: 1).count == 1)
    }
}
