// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Processes

@Suite struct MountTests {
    private let host: FixtureHost

    init() throws { host = try FixtureHost() }

    private func mounts(_ text: String) throws -> [Mount] {
        try host.write("proc/self/mountinfo", text)
        return host.proc.mounts()
    }

    @Test func readsEveryFieldOfALine() throws {
        let found = try mounts(
            "36 35 98:0 /sub /mnt rw,noatime shared:1 master:2 - fuse.sshfs host:/x rw,user_id=0\n")
        #expect(found.count == 1)
        #expect(found[0].mountPoint == "/mnt")
        #expect(found[0].root == "/sub")
        #expect(found[0].fileSystem == "fuse.sshfs")
        #expect(found[0].options == ["rw", "noatime", "rw", "user_id=0"])
    }

    @Test func readsLinesWithoutTagsAndWithAnEmptySource() throws {
        #expect(
            try mounts("1 2 0:1 / /a rw - cgroup2  rw\n2 2 0:1 / /b rw - proc proc rw").map(\.mountPoint) == [
                "/a", "/b",
            ])
    }

    @Test(arguments: [
        (#"/a\040b"#, "/a b"), (#"/\011\012\134"#, "/\t\n\\"), (#"/\303\251"#, "/é"),
        (#"/\377"#, "/\u{FFFD}"),
        (#"/a\04"#, #"/a\04"#), (#"/a\"#, #"/a\"#), (#"/a\999"#, #"/a\999"#), (#"/a\777"#, #"/a\777"#),
        (#"/a\-12"#, #"/a\-12"#), (#"/\043x"#, "/#x"), (#"/\134040"#, #"/\040"#),
    ])
    func undoesOctalEscapes(escaped: String, path: String) throws {
        #expect(try mounts("1 2 0:1 / \(escaped) rw - proc proc rw\n").map(\.mountPoint) == [path])
    }

    @Test(arguments: [
        "", "\n\n", "-", "1 2 3 4 5 6 7 8 9 10", "1 2 0:1 / /a rw - proc proc",
        "1 2 0:1 / /a rw shared:1 proc proc rw",
        "1 2 0:1 / relative rw - proc proc rw", "1 2 0:1 / - - - proc", "\0\0\0", "1 2 0:1 / /a rw -",
    ])
    func skipsMalformedLines(line: String) throws {
        #expect(try mounts(line) == [])
        #expect(try mounts(line + "\n1 2 0:1 / /good rw - proc proc rw\n").map(\.mountPoint) == ["/good"])
    }

    @Test func hugeFileEnds() throws {
        try host.write("proc/self/mountinfo", repeatElement(UInt8(ascii: " "), count: 2 << 20))
        #expect(host.proc.mounts() == [])
        try host.write("proc/self/mountinfo", repeatElement(UInt8(ascii: "\n"), count: 2 << 20))
        #expect(host.proc.mounts() == [])
    }

    @Test func missingFileIsNoMounts() {
        #expect(host.proc.mounts() == [])
        #expect(host.proc.cgroup2Mount() == nil)
        #expect(host.proc.tracefs() == nil)
    }

    @Test(
        arguments: [
            // Version 2 alone, with a copy that Calico makes and one that shows a part only.
            (
                """
                30 23 0:26 /kubepods /early rw - cgroup2 cgroup2 rw
                31 23 0:26 / /run/calico/cgroup rw - cgroup2 none rw
                32 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate
                """, "/sys/fs/cgroup"
            ),
            // Both versions.
            (
                """
                31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs rw,mode=755
                32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
                41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
                """, "/sys/fs/cgroup/unified"
            ),
            // Elsewhere.
            ("41 31 0:38 / /mnt/my\\040groups rw - cgroup2 cgroup2 rw", "/mnt/my groups"),
            // Version 1 alone; a part only, to which no path can be appended; hidden under another.
            ("32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory", nil),
            ("30 23 0:26 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw", nil),
            (
                """
                30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
                31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
                """, nil
            ),
        ] as [(String, String?)])
    func findsCgroup2(mountinfo: String, expected: String?) throws {
        _ = try mounts(mountinfo)
        #expect(host.proc.cgroup2Mount() == expected)
    }

    @Test(
        arguments: [
            (
                [
                    "debugfs /sys/kernel/debug", "tracefs /sys/kernel/debug/tracing",
                    "tracefs /sys/kernel/tracing",
                ], "/sys/kernel/tracing"
            ),
            (
                ["debugfs /sys/kernel/debug", "tracefs /sys/kernel/debug/tracing"],
                "/sys/kernel/debug/tracing"
            ),
            (["tracefs /trace"], "/trace"),
            (["debugfs /sys/kernel/debug"], nil),
            (["proc /proc", "tracefs2 /sys/kernel/tracing"], nil),
        ] as [([String], String?)])
    func findsTracefs(mounted: [String], expected: String?) throws {
        _ = try mounts(
            mounted.map { line in
                let words = line.split(separator: " ")
                return "1 2 0:1 / \(words[1]) rw - \(words[0]) none rw\n"
            }.joined())
        #expect(host.proc.tracefs() == expected)
    }
}
