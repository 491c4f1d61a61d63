// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Tracing

/// Records as the kernel lays them out (perf_event_open(2)), made by hand.
private enum Made {
    static func record(_ type: UInt32, flags: UInt16 = 0, time: UInt64 = 7, _ body: [UInt8]) -> [UInt8] {
        let trailer = bytes(UInt32(1)) + bytes(UInt32(1)) + bytes(time)
        let size = UInt16(8 + body.count + trailer.count)
        return bytes(type) + bytes(flags) + bytes(size) + body + trailer
    }

    static func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number) { Array($0) }
    }

    static func life(_ type: UInt32, _ ids: [Int32], time: UInt64 = 7) -> [UInt8] {
        record(type, time: time, ids.flatMap { bytes($0) } + bytes(time))
    }

    static func mapping(
        process: Int32 = 12, start: UInt64 = 0x7000, length: UInt64 = 0x2000, protection: UInt32 = 5,
        flags: UInt16 = 2, path: String = "/usr/lib/libc.so.6"
    ) -> [UInt8] {
        var text = Array(path.utf8) + [0]
        text += [UInt8](repeating: 0, count: (8 - text.count % 8) % 8)
        return record(
            10, flags: flags,
            bytes(process) + bytes(Int32(13)) + bytes(start) + bytes(length) + bytes(UInt64(0x26000))
                + bytes(UInt32(259)) + bytes(UInt32(3)) + bytes(UInt64(4711)) + bytes(UInt64(99))
                + bytes(protection) + bytes(UInt32(2)) + text)
    }
}

private func parsed(_ bytes: some Collection<UInt8>) -> TaskRecord? {
    Array(bytes).withUnsafeBytes { TaskRecord($0.bytes) }
}

/// What a ring with these bytes in it, from one position to another, holds.
private func read(_ ring: [UInt8], from tail: UInt64, to head: UInt64) -> [TaskRecord] {
    var found: [TaskRecord] = []
    var joined: [UInt8] = []
    ring.withUnsafeBytes {
        TaskRing.records(in: $0, from: tail, to: head, joined: &joined) { found.append($0) }
    }
    return found
}

@Suite struct TaskRecordTests {
    @Test func aMappingIsReadWhole() {
        let expected = MappedCode(
            process: 12, thread: 13, start: 0x7000, length: 0x2000, offset: 0x26000, major: 259, minor: 3,
            inode: 4711, generation: 99, protection: 5, path: "/usr/lib/libc.so.6")
        #expect(parsed(Made.mapping()) == .event(.mapped(expected), time: 7))
        // A path that fills its room to the last byte but one, and none.
        for path in ["/234567", "", "/" + String(repeating: "x", count: 4000)] {
            guard case .event(.mapped(let code), _) = parsed(Made.mapping(path: path)) else {
                Issue.record("\(path)")
                continue
            }
            #expect(code.path == path)
        }
    }

    @Test func whatIsNoCodeOrNoMemoryIsLeftOut() {
        #expect(parsed(Made.mapping(protection: 1)) == nil)
        #expect(parsed(Made.mapping(length: 0)) == nil)
        #expect(parsed(Made.mapping(start: .max - 5, length: 100)) == nil)
        // A build ID where numbers were expected.
        #expect(parsed(Made.mapping(flags: 1 << 14)) == nil)
    }

    @Test func livesOfProcessesAreToldFromThoseOfThreads() {
        #expect(parsed(Made.life(7, [20, 10, 20, 10])) == .event(.forked(parent: 10, child: 20), time: 7))
        #expect(parsed(Made.life(7, [10, 10, 21, 10])) == nil)
        #expect(parsed(Made.life(4, [20, 10, 20, 10])) == .event(.exited(process: 20), time: 7))
        #expect(parsed(Made.life(4, [20, 20, 21, 20])) == .event(.threadExited(process: 20), time: 7))
        let comm = Made.bytes(Int32(20)) + Made.bytes(Int32(20)) + Array("ls\0\0\0\0\0\0".utf8)
        #expect(parsed(Made.record(3, flags: 1 << 13, comm)) == .event(.executed(process: 20), time: 7))
        // A thread that only gives itself a name.
        #expect(parsed(Made.record(3, comm)) == nil)
    }

    @Test func processesOfOtherNamespacesAreLeftOut() {
        #expect(parsed(Made.life(7, [0, 10, 0, 10])) == nil)
        #expect(parsed(Made.life(4, [-1, 10, -1, 10])) == nil)
        #expect(parsed(Made.mapping(process: 0)) == nil)
        #expect(parsed(Made.life(7, [20, 0, 20, 0])) == .event(.forked(parent: 0, child: 20), time: 7))
    }

    @Test func lossesAreCounted() {
        #expect(parsed(Made.record(2, Made.bytes(UInt64(5)) + Made.bytes(UInt64(123)))) == .lost(123))
    }

    @Test func cutRecordsAreNotRead() {
        for whole in [Made.mapping(), Made.life(7, [20, 10, 20, 10])] {
            for length in 0..<whole.count {
                // As long as the fixed part and the trailer are there, a shorter path is a record, too.
                if let record = parsed(whole.prefix(length)) {
                    #expect(length >= 88, "\(length): \(record)")
                }
            }
        }
    }
}

@Suite struct TaskRingTests {
    private let lives = (1...5).map { Made.life(7, [$0 + 100, 1, $0 + 100, 1], time: UInt64($0)) }

    private func expected(_ number: Int32) -> TaskRecord {
        .event(.forked(parent: 1, child: number + 100), time: UInt64(number))
    }

    @Test func recordsAreReadWhereverTheRingEnds() {
        let stream = lives.flatMap { $0 }
        for first in stride(from: UInt64(0), to: 512, by: 8) {
            // Positions only grow; near the top of 64 bits, too.
            for base in [UInt64(0), 1 << 40, UInt64.max - 511] {
                var ring = [UInt8](repeating: 0xee, count: 256)
                let tail = base &+ first
                for (index, byte) in stream.enumerated() {
                    ring[Int(truncatingIfNeeded: (tail &+ UInt64(index)) & 255)] = byte
                }
                let found = read(ring, from: tail, to: tail &+ UInt64(stream.count))
                #expect(found == (1...5).map { expected($0) }, "from \(tail)")
            }
        }
    }

    @Test func hostileSizesEndTheReading() {
        for size in [UInt16(0), 1, 7, 257, .max] {
            var ring = lives.flatMap { $0 } + [UInt8](repeating: 0, count: 16)
            ring.replaceSubrange(54..<56, with: Made.bytes(size))
            #expect(read(ring, from: 0, to: 240) == [expected(1)], "\(size)")
        }
        // More than the ring holds, a part of a header, and a position inside a header at the very end.
        let ring = [UInt8](repeating: 1, count: 256)
        #expect(read(ring, from: 0, to: 257).isEmpty)
        #expect(read(ring, from: 5, to: 4).isEmpty)
        #expect(read(ring, from: 0, to: 7).isEmpty)
        #expect(read(ring, from: 252, to: 300).isEmpty)
    }

    @Test func nonsenseIsSurvived() {
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<2_000 {
            var ring = (0..<512).map { _ in UInt8.random(in: 0...255, using: &generator) }
            // Sizes and types that get further than most.
            for place in stride(from: 0, to: 512, by: 8) where Bool.random(using: &generator) {
                ring[place] = UInt8.random(in: 0...11, using: &generator)
                ring.replaceSubrange(place + 1..<place + 4, with: [0, 0, 0])
                ring.replaceSubrange(
                    place + 6..<place + 8,
                    with: Made.bytes(UInt16.random(in: 0...160, using: &generator) & ~7))
            }
            let tail = UInt64.random(in: 0...512, using: &generator)
            for record in read(ring, from: tail, to: tail + UInt64.random(in: 0...512, using: &generator)) {
                if case .event(.mapped(let code), _) = record { #expect(code.path.utf8.count <= 512 * 3) }
            }
        }
    }
}

/// CAP_PERFMON or a machine that lets everybody look.
private let watching = Requirement(
    "watching all processes needs CAP_PERFMON", isMet: (try? TaskEvents()) != nil)

/// The whole machine is watched; what others do changes nothing but what is lost.
@Suite(.serialized, .require(watching)) struct TaskEventsTests {
    @Test func everyLifeIsToldInOrder() throws {
        var children: [Int32] = []
        var lives: [Int32: [String]] = [:]
        try whileNothingIsLost { events in
            (children, lives) = ([], [:])
            var last: UInt64 = 0
            for _ in 0..<50 {
                children.append(try runTrue())
                events.drain { event, time in
                    #expect(time >= last)
                    last = time
                    switch event {
                    case .forked(let parent, let child):
                        if parent == getpid() { lives[child] = ["forked"] }
                    case .executed(let process): lives[process]?.append("executed")
                    case .mapped(let code):
                        if code.path.hasSuffix("/true") || code.path == "[vdso]" {
                            let name = code.path.split(separator: "/").last.map(String.init) ?? ""
                            lives[code.process]?.append(name)
                        }
                    case .exited(let process): lives[process]?.append("exited")
                    case .threadExited: break
                    }
                }
            }
        }
        for child in children {
            let life = try #require(lives[child])
            #expect(life.first == "forked" && life.last == "exited", "\(life)")
            #expect(life.dropFirst().first == "executed", "\(life)")
            #expect(life.contains("true") && life.contains("[vdso]"), "\(life)")
        }
    }

    @Test func theFileIsTheOneThatStatSees() throws {
        var information = stat()
        try #require(stat("/bin/true", &information) == 0)
        var found: MappedCode?
        try whileNothingIsLost { events in
            found = nil
            let child = try runTrue()
            events.drain { event, _ in
                if case .mapped(let code) = event, code.process == child, code.path.hasSuffix("/true") {
                    found = code
                }
            }
        }
        let code = try #require(found)
        #expect(code.inode == UInt64(information.st_ino))
        #expect(code.start & 0xfff == 0 && code.length > 0 && code.protection & UInt32(PROT_EXEC) != 0)
    }

    @Test func theDescriptorSaysWhenToReadAndWhenThereIsNothing() throws {
        let events = try TaskEvents()
        let child = try runTrue()
        var found = false
        // Each time it is readable something is due, until a moment passes without any event on the machine.
        var rounds = 0
        while rounds < 2000 {
            rounds += 1
            var poll = pollfd(fd: events.descriptor, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, 1000) > 0 else { break }
            events.drain { event, _ in if event == .exited(process: child) { found = true } }
        }
        #expect(found)
        // And it wakes again.
        let next = try runTrue()
        var poll = pollfd(fd: events.descriptor, events: Int16(POLLIN), revents: 0)
        #expect(Glibc.poll(&poll, 1, 10_000) == 1)
        found = false
        events.drain { event, _ in if event == .exited(process: next) { found = true } }
        #expect(found)
    }

    @Test func lossesAreToldWhenNobodyReads() throws {
        let events = try TaskEvents()
        // More than a hundred bytes each, on one CPU, whose ring has 256 KiB.
        let status = try String(contentsOfFile: "/proc/thread-self/status", encoding: .utf8)
        let allowed = try #require(status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") })
        let cpu = String(try #require(allowed.split { !$0.isNumber }.first))
        let loop = "i=0; while [ $i -lt 8000 ]; do (:); i=$((i+1)); done"
        _ = try run(["/usr/bin/taskset", "-c", cpu, "/bin/sh", "-c", loop])
        events.drain { _, _ in }
        // The kernel tells of the loss with the first record that finds room, in the ring of the CPU that lost some.
        _ = try run(["/usr/bin/taskset", "-c", cpu, "/bin/sh", "-c", "(:); (:)"])
        events.drain { _, _ in }
        #expect(events.lost > 0)
    }

    /// The rings are for the whole machine: what others do may fill one. Then once more, with new ones.
    private func whileNothingIsLost(_ body: (TaskEvents) throws -> Void) throws {
        for _ in 0..<10 {
            let events = try TaskEvents()
            try body(events)
            if events.lost == 0 { return }
        }
        Issue.record("other processes have filled the rings ten times")
    }

    /// Runs /bin/true to its end.
    private func runTrue() throws -> Int32 { try run(["/bin/true"]) }

    private func run(_ words: [String]) throws -> Int32 {
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var child: pid_t = 0
        try #require(posix_spawn(&child, words[0], nil, nil, &arguments, environ) == 0)
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0 && errno == EINTR {}
        return child
    }
}
