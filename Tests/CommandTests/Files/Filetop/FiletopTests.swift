// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Bytes and calls of a program that knows them, and the kernel's own sums.
    @Suite struct FiletopTests {
        private func check(
            _ row: [String: Any]?, _ reads: Int, _ readBytes: Int, _ writes: Int, _ written: Int
        ) {
            let found = ["reads", "read_bytes", "writes", "written_bytes"].map { row?.number($0) ?? -1 }
            #expect(found == [reads, readBytes, writes, written])
        }

        @Test func everyCallAndByteOfFilesPipesAndSockets() throws {
            let folder = try TemporaryFolder()
            let found = try JSONLines.of([
                "filetop", "--json", "-a", "--", try Harness.program("transfers"), folder.path,
            ])
            func row(_ name: String) -> [String: Any]? {
                found.rows.first { $0.text("path") == folder.path(name) }
            }
            check(row("one"), 12, 4493, 8, 5100)
            check(row("two"), 0, 0, 2, 3333)
            check(row("renamed"), 0, 0, 2, 20)
            var status = stat()
            try #require(stat(folder.path("one"), &status) == 0)
            #expect(row("one")?.number("inode") == Int(status.st_ino))
            let pipes = found.rows.filter { $0.text("type") == "pipe" }
            #expect(pipes.count == 1 && pipes.allSatisfy { $0.text("path").hasPrefix("pipe:[") })
            check(pipes.first, 2, 540, 2, 540)
            let sockets = found.rows.filter { $0.text("type") == "socket" }.sorted {
                $0.number("writes") > $1.number("writes")
            }
            #expect(sockets.count == 2)
            check(sockets.first, 0, 0, 3, 40)
            check(sockets.last, 3, 40, 0, 0)
            // What the kernel has counted of the files: without what was spliced from one.
            #expect(found.others == ["\(4493 - 500) \(5100 + 3333 + 20)"])
        }

        @Test(arguments: [("--read-only", (12, 4493, 0, 0)), ("--write-only", (0, 0, 8, 5100))])
        func onlyOneDirection(option: String, counts: (Int, Int, Int, Int)) throws {
            let folder = try TemporaryFolder()
            let found = try JSONLines.of([
                "filetop", "--json", option, "--", try Harness.program("transfers"), folder.path,
            ])
            let one = found.rows.first { $0.text("path") == folder.path("one") }
            check(one, counts.0, counts.1, counts.2, counts.3)
            // What is only written.
            let two = found.rows.contains { $0.text("path") == folder.path("two") }
            #expect(two == (option == "--write-only"))
        }

        @Test func whatFindsNoRoomIsSaidWithTheRemedy() throws {
            let folder = try TemporaryFolder()
            let result = try Finished([
                Harness.apus, "filetop", "--json", "-a", "--max-files", "2", "--",
                try Harness.program("transfers"), folder.path,
            ])
            #expect(result.end == .exited(0))
            #expect(try JSONLines(result.text).rows.count == 2)
            let said = result.errors.split(separator: "\n").filter { $0.contains("no row") }
            #expect(said.count == 1 && said.allSatisfy { $0.contains("--max-files") }, "\(result.errors)")
        }

        @Test func ddInAnotherDirectory() throws {
            let folder = try TemporaryFolder()
            let found = try JSONLines.of([
                "filetop", "--json", "--follow", "--", "sh", "-c",
                "cd \(folder.path); dd if=/dev/zero of=out bs=4096 count=500 2>/dev/null; "
                    + "dd if=out of=/dev/null bs=8192 2>/dev/null; true",
            ])
            let rows = found.rows.filter { $0.text("path") == folder.path("out") }
            #expect(rows.count == 2)
            check(rows.first { $0.number("writes") > 0 }, 0, 0, 500, 500 * 4096)
            check(rows.first { $0.number("writes") == 0 }, 251, 500 * 4096, 0, 0)
        }

        @Test func intervalsAndOrder() throws {
            let folder = try TemporaryFolder()
            let found = try JSONLines.of([
                "filetop", "--json", "-s", "wbytes", "0.2", "--follow", "--", "sh", "-c",
                "cd \(folder.path); head -c 70000 /dev/zero > large; head -c 10 /dev/zero > small; "
                    + Harness.untilOutputHas(#"/small""#) + "head -c 5 /dev/zero >> small",
            ])
            let large = found.rows.filter { $0.text("path") == folder.path("large") }
            #expect(large.reduce(0) { $0 + $1.number("written_bytes") } == 70_000)
            let small = found.rows.filter { $0.text("path") == folder.path("small") }
            #expect(small.map { $0.number("written_bytes") } == [10, 5])
            #expect(
                small.first.map { $0.number("time_ns") } ?? 0 < small.last.map { $0.number("time_ns") } ?? 0)
        }

        @Test func requestsOfAsynchronousIO() throws {
            let folder = try TemporaryFolder()
            let found = try JSONLines.of([
                "filetop", "--json", "--", try Harness.program("requests"), folder.path,
            ])
            func row(_ name: String) -> [String: Any]? {
                found.rows.first { $0.text("path") == folder.path(name) }
            }
            // The program prints what the kernel has let it do.
            #expect(found.others.contains("aio"))
            check(row("aio"), 43, 168_340, 62, 248_760)
            if found.others.contains("io_uring") { check(row("ring"), 13, 8000, 14, 13_600) }
        }

        /// Where it makes its folders, and whether inode numbers come back there at once.
        @Test(arguments: ["plain", "tmpfs", "overlay"])
        func aNumberThatIsUsedAgainIsAnotherFile(kind: String) throws {
            let folder = try TemporaryFolder()
            for name in ["place", "lower", "upper", "work"] { try folder.folder(name) }
            let place = folder.path("place")
            let mounts = [
                "tmpfs": ["mount", "-t", "tmpfs", "none", place],
                "overlay": [
                    "mount", "-t", "overlay", "overlay", "-o",
                    "lowerdir=\(folder.path("lower")),upperdir=\(folder.path("upper")),workdir=\(folder.path("work"))",
                    place,
                ],
            ]
            try folder.file("lower/old")
            if let mount = mounts[kind] { try #require(Finished(mount).end == .exited(0), "\(mount)") }
            defer { if mounts[kind] != nil { _ = try? Finished(["umount", place]) } }
            let found = try JSONLines.of([
                "filetop", "--json", "--", "sh", "-c",
                "cd \(place); exec 3> first; printf aaa >&3; printf aaa >&3; exec 3>&-; rm first; "
                    + "exec 3> second; printf bbbb >&3; exec 3>&-; "
                    + "if [ -e old ]; then exec 3<> old; read line <&3; printf cc >&3; fi; true",
            ])
            let rows = found.rows.filter { $0.text("path").hasPrefix(place) && $0.number("writes") > 0 }
            #expect(
                rows.map { "\($0.text("path").dropFirst(place.count + 1)) \($0.number("written_bytes"))" }
                    .sorted()
                    == ["first 6"] + (kind == "overlay" ? ["old 2"] : []) + ["second 4"])
        }

        @Test func aDeletedFileAndAnOddName() throws {
            let folder = try TemporaryFolder()
            let table = try Finished([
                Harness.apus, "filetop", "--follow", "--", "sh", "-c",
                "cd \(folder.path); exec 3> gone; rm gone; echo x >&3; echo y > \"$(printf 'a\\033[31m')\"",
            ])
            #expect(table.text.contains("R \(folder.path)/gone (deleted)\n"), "\(table.text)")
            #expect(table.text.contains("R \(folder.path)/a\\x1b[31m\n"), "\(table.text)")
            #expect(!table.text.contains("\u{1b}"))
        }
    }
}
