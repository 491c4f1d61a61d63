// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Processes

@Suite struct ProcFSTests {
    private let host: FixtureHost
    private var proc: ProcFS { host.proc }

    init() throws { host = try FixtureHost() }

    @Test func tellsAProcessFromAThread() throws {
        try host.process(10)
        try host.write("proc/11/status", "Name:\tworker\nTgid:\t10\nPid:\t11\n")
        #expect(proc.identity(of: 10) == .process)
        #expect(proc.identity(of: 11) == .thread(of: 10))
        #expect(proc.identity(of: 12) == nil)
    }

    @Test(arguments: [
        "", "\n", "Tgid:", "Tgid:\t\n", "Tgid:\t-5\n", "Tgid:\t+5\n", "Tgid:\t0\n", "Tgid:\t5x\n",
        "Tgid:\t5 6\n", "Tgid:\t2147483648\n", "Tgid:\t99999999999999999999999\n", "Tgid\t5\n", "xTgid:\t5\n",
        "Name:\tx\\nTgid:\t5\n", "Tgid:\t5\0\n", "\0\0\0\0", "Tgid:\t٥\n",
    ])
    func malformedStatusNamesNothing(status: String) throws {
        try host.write("proc/5/status", status)
        #expect(proc.identity(of: 5) == nil)
    }

    @Test func statusNeedsNoFinalNewline() throws {
        try host.write("proc/5/status", "Name:\tx\nTgid:\t5")
        #expect(proc.identity(of: 5) == .process)
    }

    @Test func readsAStatusWithManyGroups() throws {
        // 65536 supplementary groups, the kernel's limit, come before the capabilities.
        let groups = (0..<65_536).map { "\(1_000_000_000 + $0)" }.joined(separator: " ")
        try host.write("proc/5/status", "Tgid:\t5\nGroups:\t\(groups) \nCapEff:\t000001ffffffffff\n")
        #expect(proc.effectiveCapabilities(of: 5) == 0x1FF_FFFF_FFFF)
    }

    @Test func hugeStatusEnds() throws {
        try host.write("proc/5/status", repeatElement(UInt8(ascii: "\n"), count: 3 << 20))
        #expect(proc.identity(of: 5) == nil)
        try host.write("proc/6/status", [UInt8](repeating: 0xFF, count: 3 << 20) + Array("\nTgid:\t6\n".utf8))
        #expect(proc.identity(of: 6) == nil)
    }

    @Test func idsThatNoProcessCanHaveAreNil() throws {
        try host.write("proc/0/status", "Tgid:\t0\nPPid:\t0\n")
        try host.write("proc/-1/status", "Tgid:\t-1\nPPid:\t1\n")
        for id in [0, -1, Int32.min, Int32.max] {
            #expect(proc.identity(of: id) == nil)
            #expect(proc.parent(of: id) == nil)
            #expect(proc.comm(of: id) == nil)
            #expect(proc.threadIDs(of: id) == [])
            #expect(proc.cgroupPaths(of: id) == [])
            #expect(proc.mountNamespace(of: id) == nil)
        }
    }

    @Test func listsProcessesInOrder() throws {
        for name in ["10", "9", "4194304", "self", "007", "0", "-3", "+4", "1x", "2147483648", "٣", "sys"] {
            try host.write("proc/\(name)/status", "")
        }
        #expect(proc.processIDs() == [9, 10, 4_194_304])
    }

    @Test func listsThreadsInOrder() throws {
        for tid in [31, 30, 200] { try host.write("proc/30/task/\(tid)/status", "") }
        #expect(proc.threadIDs(of: 30) == [30, 31, 200])
        #expect(proc.threadIDs(of: 31) == [])
    }

    @Test(arguments: [
        ("bash\n", "bash"), ("a b\n", "a b"), ("two\nlines\n", "two\nlines"), ("\n", ""), ("none", "none"),
        ("", ""),
    ])
    func commIsAllButTheKernelsNewline(file: String, comm: String) throws {
        try host.write("proc/5/comm", file)
        #expect(proc.comm(of: 5) == comm)
    }

    @Test func commOfAnyBytesIsText() throws {
        try host.write("proc/5/comm", [0xFF, 0x41, 0x0A])
        #expect(proc.comm(of: 5) == "\u{FFFD}A")
        try host.write("proc/6/comm", repeatElement(UInt8(ascii: "x"), count: 1 << 20))
        #expect(proc.comm(of: 6)?.utf8.count == 256)
    }

    @Test func readsParentAndNamespaceIDs() throws {
        try host.process(5, parent: 0, namespaceIDs: [5, 12, 1])
        #expect(proc.parent(of: 5) == 0)
        #expect(proc.namespaceIDs(of: 5) == [5, 12, 1])
    }

    @Test(
        arguments: [
            ("0000000000000000", 0), ("000001ffffffffff", 0x1FF_FFFF_FFFF), ("ffffffffffffffff", UInt64.max),
            ("-1", nil), ("0x1f", nil), ("", nil), ("1ffffffffffffffff", nil), ("g", nil),
        ] as [(String, UInt64?)])
    func readsCapabilities(field: String, expected: UInt64?) throws {
        try host.write("proc/5/status", "CapPrm:\t00000000000000ff\nCapEff:\t\(field)\n")
        #expect(proc.effectiveCapabilities(of: 5) == expected)
    }

    @Test(
        arguments: [
            ("mnt:[4026531832]", 4_026_531_832), ("mnt:[18446744073709551615]", UInt64.max),
            ("mnt:[18446744073709551616]", nil), ("mnt:[-1]", nil), ("mnt:[]", nil), ("mnt:[1", nil),
            ("pid:[1]", nil), ("mnt:", nil), ("/etc/passwd", nil), ("mnt:[1]x", nil),
        ] as [(String, UInt64?)])
    func readsNamespaceLinks(target: String, expected: UInt64?) throws {
        try host.link("proc/5/ns/mnt", to: target)
        #expect(proc.mountNamespace(of: 5) == expected)
        #expect(proc.pidNamespace(of: 5) == nil)
    }

    @Test func readsCgroupLines() throws {
        try host.write(
            "proc/5/cgroup",
            """
            12:cpu,cpuacct:/docker/x
            1:name=systemd:/a:b:c
            nonsense
            -1:cpu:/
            4294967296:cpu:/
            7:cpu:relative
            7:cpu
            0::/user.slice
            """)
        let found = proc.cgroupPaths(of: 5)
        #expect(found.map(\.hierarchy) == [12, 1, 0])
        #expect(found.map(\.controllers) == [["cpu", "cpuacct"], ["name=systemd"], []])
        #expect(found.map(\.path) == ["/docker/x", "/a:b:c", "/user.slice"])
        #expect(found.map(\.isUnified) == [false, false, true])
    }

    @Test func hugeCgroupFileGivesFewMemberships() throws {
        try host.write("proc/5/cgroup", String(repeating: "1:cpu:/\n", count: 1 << 19))
        #expect(proc.cgroupPaths(of: 5).count == 64)
        try host.write("proc/6/cgroup", "0::/" + String(repeating: "a/", count: 1 << 20))
        #expect(proc.cgroupPaths(of: 6).count == 1)
        #expect(proc.cgroupPaths(of: 6)[0].path.utf8.count < 1 << 17)
    }

    private func thread(_ thread: Int32, of process: Int32, _ state: String) throws {
        try host.write("proc/\(process)/task/\(thread)/stat", "\(thread) (a) Z (b) \(state) 1 1 0\n")
    }

    @Test func anotherThreadStandsForAProcessWhoseFirstHasEnded() throws {
        try thread(7, of: 7, "S")
        try thread(8, of: 7, "R")
        #expect(proc.livingThread(of: 7) == 7 && !proc.hasEnded(7) && proc.hasOtherThreads(7))
        try thread(9, of: 9, "Z")
        try thread(10, of: 9, "X")
        try thread(11, of: 9, "D")
        #expect(proc.livingThread(of: 9) == 11 && !proc.hasEnded(9) && proc.hasOtherThreads(9))
        // All have ended, or there is no such process.
        try thread(12, of: 12, "Z")
        try thread(13, of: 12, "Z")
        #expect(proc.livingThread(of: 12) == 12 && proc.hasEnded(12) && !proc.hasOtherThreads(12))
        #expect(proc.livingThread(of: 14) == 14 && proc.hasEnded(14) && !proc.hasOtherThreads(14))
    }
}
