// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Processes

@Suite struct ReadFileTests {
    private let host: FixtureHost

    init() throws { host = try FixtureHost() }

    @Test func readsAllBytesOfAFileLongerThanOneRead() throws {
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try host.write("file", bytes)
        #expect(readFile(host.path + "/file") == bytes)
    }

    @Test func readsFilesThatSayTheyAreEmpty() throws {
        let status = try #require(readFile("/proc/self/status"))
        #expect(String(decoding: status, as: UTF8.self).hasPrefix("Name:\t"))
    }

    @Test(arguments: [(0, 0), (1, 1), (9, 9), (10, 10), (11, 10), (-1, 0)])
    func neverReadsMoreThanTheLimit(limit: Int, expected: Int) throws {
        try host.write("file", "0123456789")
        #expect(readFile(host.path + "/file", limit: limit) == Array("0123456789".utf8.prefix(expected)))
    }

    @Test func stopsAtTheLimitOfAnEndlessFile() {
        #expect(readFile("/dev/zero", limit: 50_000)?.count == 50_000)
    }

    @Test func emptyFileIsNotAnError() throws {
        try host.write("file", "")
        #expect(readFile(host.path + "/file") == [])
    }

    @Test func whatIsNoFileIsNil() throws {
        try host.link("loop", to: "loop")
        try host.link("dangling", to: "nowhere")
        for name in ["missing", "loop", "dangling", "", "loop/x"] {
            #expect(readFile(host.path + "/" + name) == nil, "\(name)")
        }
    }

    @Test func pathWithANulNamesNoOtherFile() throws {
        try host.write("file", "x")
        #expect(readFile(host.path + "/file\0.txt") == nil)
        #expect(directoryEntries(host.path + "\0/nowhere", limit: 10) == [])
        #expect(linkTarget("/proc/self\0") == nil)
    }

    @Test(.timeLimit(.minutes(1))) func aPipeNobodyWritesToDoesNotHang() throws {
        #expect(mkfifo(host.path + "/pipe", 0o600) == 0)
        #expect(readFile(host.path + "/pipe") == [])
    }

    @Test func closesWhatItOpens() throws {
        try host.write("file", "x")
        let before = directoryEntries("/proc/self/fd", limit: 1 << 20).count
        for _ in 0..<800 {
            _ = readFile(host.path + "/file")
            _ = readFile(host.path)
            _ = directoryEntries(host.path, limit: 10)
        }
        let after = directoryEntries("/proc/self/fd", limit: 1 << 20).count
        // Other tests run at the same time and have files open too.
        #expect(before > 0 && after > 0 && after - before < 400)
    }

    @Test func listsADirectoryUpToTheLimit() throws {
        for name in ["a", "b", "c", ".hidden"] { try host.write("folder/\(name)", "") }
        #expect(Set(directoryEntries(host.path + "/folder", limit: 10)) == ["a", "b", "c", ".hidden"])
        #expect(directoryEntries(host.path + "/folder", limit: 2).count == 2)
        #expect(directoryEntries(host.path + "/missing", limit: 10) == [])
    }

    @Test func linkTargetIsWholeOrNil() throws {
        try host.link("short", to: "mnt:[1]")
        try host.link("fits", to: String(repeating: "x", count: 255))
        try host.link("long", to: String(repeating: "x", count: 256))
        #expect(linkTarget(host.path + "/short") == Array("mnt:[1]".utf8))
        #expect(linkTarget(host.path + "/fits")?.count == 255)
        #expect(linkTarget(host.path + "/long") == nil)
        #expect(linkTarget(host.path + "/proc") == nil)
    }
}
