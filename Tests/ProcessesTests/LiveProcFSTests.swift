// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Processes

/// Against the machine the tests run on, as any user.
@Suite struct LiveProcFSTests {
    private let proc = ProcFS()
    private let own = getpid()

    @Test func thisIsAProcess() {
        #expect(proc.identity(of: own) == .process)
        #expect(proc.processIDs().contains(own))
        #expect(proc.threadIDs(of: own).contains(own))
        #expect(proc.parent(of: own) == getppid())
    }

    @Test func anotherThreadIsAThreadOfThisProcess() throws {
        final class Box: @unchecked Sendable { var id: Int32 = 0 }
        let box = Box()
        let started = DispatchSemaphore(value: 0)
        let finish = DispatchSemaphore(value: 0)
        let thread = Thread {
            // glibc's gettid is not imported. The link says PID/task/TID.
            let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self")
            box.id = link.flatMap { Int32($0.split(separator: "/")[2]) } ?? 0
            started.signal()
            finish.wait()
        }
        thread.start()
        started.wait()
        defer { finish.signal() }
        #expect(box.id > 0 && box.id != own)
        #expect(proc.identity(of: box.id) == .thread(of: own))
        #expect(proc.threadIDs(of: own).contains(box.id))
        #expect(!proc.processIDs().contains(box.id))
    }

    @Test func anIDAboveTheLimitIsNothing() throws {
        let limit = try String(contentsOfFile: "/proc/sys/kernel/pid_max", encoding: .utf8)
        let beyond = try #require(Int32(limit.trimmingCharacters(in: .whitespacesAndNewlines))) + 1
        #expect(proc.identity(of: beyond) == nil)
        #expect(proc.comm(of: beyond) == nil)
        #expect(proc.threadIDs(of: beyond) == [])
    }

    @Test func aChildIsSeenUntilItEnds() throws {
        let child = Process()
        child.executableURL = URL(fileURLWithPath: "/bin/sleep")
        child.arguments = ["100"]
        try child.run()
        let pid = child.processIdentifier
        #expect(proc.identity(of: pid) == .process)
        #expect(proc.parent(of: pid) == own)
        #expect(proc.mountNamespace(of: pid) == proc.mountNamespace(of: own))
        #expect(proc.cgroupPaths(of: pid) == proc.cgroupPaths(of: own))
        // Not SIGTERM, which children of a Dispatch worker thread inherit as blocked.
        kill(pid, SIGKILL)
        child.waitUntilExit()
        #expect(proc.identity(of: pid) == nil)
    }

    @Test func namespacesAreTheInodesOfTheirFiles() throws {
        var information = stat()
        #expect(stat("/proc/self/ns/mnt", &information) == 0)
        #expect(proc.mountNamespace(of: own) == UInt64(information.st_ino))
        #expect(stat("/proc/self/ns/pid", &information) == 0)
        #expect(proc.pidNamespace(of: own) == UInt64(information.st_ino))
    }

    @Test func capabilitiesAreThoseOfThisProcess() throws {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("CapEff:") })
        let expected = try #require(UInt64(line.dropFirst(8), radix: 16))
        #expect(proc.effectiveCapabilities(of: own) == expected)
    }

    @Test func everyCgroupLineIsRead() throws {
        let lines = try String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8).split(separator: "\n")
        let found = proc.cgroupPaths(of: own).map {
            "\($0.hierarchy):\($0.controllers.joined(separator: ",")):\($0.path)"
        }
        #expect(found == lines.map(String.init))
    }

    @Test func everyMountIsRead() throws {
        func lines() throws -> [Substring] {
            try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8).split(separator: "\n")
        }
        // Others mount and unmount meanwhile: what is compared was the same before and behind.
        var (before, found, after) = (try lines(), proc.mounts(), try lines())
        for _ in 0..<1000 where before != after {
            (before, found, after) = (after, proc.mounts(), try lines())
        }
        #expect(found.count == after.count && before == after)
        #expect(proc.mounts().contains { $0.mountPoint == "/proc" && $0.fileSystem == "proc" })
    }

    @Test func mountPointsFoundAreThere() {
        // A machine need not have either; what is named must have the file by which it is known.
        if let cgroup = proc.cgroup2Mount() {
            #expect(access(cgroup + "/cgroup.procs", F_OK) == 0)
        }
        let hasCgroup2 = proc.mounts().contains { $0.fileSystem == "cgroup2" && $0.root == "/" }
        #expect((proc.cgroup2Mount() != nil) == hasCgroup2)
    }

    @Test func searchOfThisMachineIsSound() {
        let containers = ContainerFinder(proc: proc).all()
        for container in containers {
            #expect(!container.id.isEmpty && !container.displayName.isEmpty && !container.processes.isEmpty)
        }
        #expect(throws: ContainerFinder.FindError.self) {
            try ContainerFinder(proc: proc).find("no such container, for it has spaces")
        }
    }
}
