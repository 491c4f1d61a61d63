// SPDX-License-Identifier: Apache-2.0
import Foundation
import Processes
import TestSupport
import Testing

@testable import Commands

/// A thread that waits until this goes away.
private final class OtherThread: @unchecked Sendable {
    private(set) var id: Int32 = 0
    private let started = DispatchSemaphore(value: 0)
    private let finish = DispatchSemaphore(value: 0)

    init() {
        let (started, finish) = (started, finish)
        Thread { [weak self] in
            let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self")
            self?.id = link.flatMap { Int32($0.split(separator: "/")[2]) } ?? 0
            started.signal()
            finish.wait()
        }.start()
        started.wait()
    }

    deinit { finish.signal() }
}

/// Against the machine the tests run on, as any user.
@Suite struct TargetFilterTests {
    private let own = getpid()

    private func filter(_ words: String...) throws -> TargetFilter {
        try TargetFilter(try opensnoop(words).targets, user: nil)
    }

    private func failure(_ words: String...) throws -> String? {
        let targets = try opensnoop(words).targets
        let error = #expect(throws: CommandFailure.self) { _ = try TargetFilter(targets, user: nil) }
        return error?.description
    }

    private func beyond() throws -> Int32 {
        let limit = try String(contentsOfFile: "/proc/sys/kernel/pid_max", encoding: .utf8)
        return try #require(Int32(limit.trimmingCharacters(in: .whitespacesAndNewlines))) + 1
    }

    @Test func withoutOptionsThereAreNoTargets() throws {
        let filter = try filter()
        #expect(filter.processes == [])
        #expect(filter.threads == [])
        #expect(filter.notes == [])
    }

    @Test func aProcessIsAProcess() throws {
        let filter = try filter("-p", "\(own)")
        #expect(filter.processes == [own])
        #expect(filter.threads == [])
        #expect(filter.notes == [])
    }

    @Test func theIDOfAThreadMeansThatThreadAndSaysSo() throws {
        let other = OtherThread()
        try #require(other.id > 0)
        try withExtendedLifetime(other) {
            let filter = try filter("-p", "\(other.id)")
            #expect(filter.processes == [])
            #expect(filter.threads == [other.id])
            #expect(
                filter.notes == ["\(other.id) is a thread of process \(own): tracing that thread only"])
        }
    }

    @Test func threadsAskedForAreThreads() throws {
        let other = OtherThread()
        try #require(other.id > 0)
        try withExtendedLifetime(other) {
            let filter = try filter("-t", "\(other.id),\(own)")
            #expect(filter.processes == [])
            #expect(filter.threads == [other.id, own])
            #expect(filter.notes == [])
        }
    }

    @Test func processesAndThreadsAddUp() throws {
        let parent = getppid()
        let filter = try filter("-p", "\(own),\(parent)", "-t", "\(own)")
        #expect(filter.processes == [own, parent])
        #expect(filter.threads == [own])
    }

    @Test func whatIsNotThereIsOneSentenceWithTheRemedy() throws {
        let id = try beyond()
        #expect(
            try failure("-p", "\(id)") == "there is no process \(id): look for the right ID with ps or pgrep")
        #expect(try failure("-t", "\(id)") == "there is no thread \(id): look for the right ID with ps -eL")
        #expect(try failure("-p", "\(own),\(id)")?.hasPrefix("there is no process \(id): ") == true)
    }

    @Test func aCommandThatWasStartedIsAProcess() throws {
        var filter = try filter()
        filter.addLaunched(own)
        #expect(filter.processes == [own])
    }

    @Test(arguments: ["/no/such/cgroup", "/proc", "\u{1b}[2J"])
    func aPathThatIsNoCgroupIsOneSentenceWithTheRemedy(path: String) throws {
        let mount = ProcFS().cgroup2Mount()
        let text = try #require(try failure("--cgroup", path))
        #expect(
            mount == nil
                ? text.hasSuffix(": mount -t cgroup2 none /sys/fs/cgroup")
                : text.hasSuffix(" is not a cgroup v2 directory: give one below \(mount ?? "")"))
        #expect(!text.unicodeScalars.contains { $0.value < 32 })
    }

    @Test(
        .require(
            Requirement(
                "cgroup v2 is not mounted", isExpected: false, isMet: ProcFS().cgroup2Mount() != nil)))
    func aCgroupCanBeNamedFromTheRootOfEither() throws {
        let mount = try #require(ProcFS().cgroup2Mount())
        for path in [mount, mount + "/", "/"] {
            #expect(throws: Never.self) { _ = try filter("--cgroup", path) }
        }
    }

    @Test func aContainerThatIsNotThereIsOneSentence() throws {
        let text = try #require(try failure("--container", "no such container"))
        #expect(text.contains("no such container"))
        #expect(!text.contains("\n"))
    }
}
