// SPDX-License-Identifier: Apache-2.0
import Foundation
import Symbolization
import TestSupport
import Testing

@testable import Probing

/// Of files that are made here: one segment, the notes of sys/sdt.h, and the section that says how far they moved.
@Suite struct StaticProbeTests {
    private struct Note {
        var address: UInt64
        var semaphore: UInt64 = 0
        var texts = "server\0request\0-4@%edi 8@-16(%rbp)\0"
        var owner = "stapsdt\0"
        var type: UInt32 = 3

        func bytes(base: UInt64) -> [UInt8] {
            let content = [address, base, semaphore].flatMap(little) + Array(texts.utf8)
            let head = [UInt32(owner.utf8.count), UInt32(content.count), type].flatMap(little)
            return (head + Array(owner.utf8)).padded() + content.padded()
        }
    }

    /// - Parameter moved: by how much the file's addresses are larger than when it was linked.
    private func file(_ notes: [Note], moved: UInt64 = 0) -> [UInt8] {
        let base: UInt64 = 0x5000
        let names = "\0.note.stapsdt\0.stapsdt.base\0.shstrtab\0"
        let noteBytes = notes.flatMap { $0.bytes(base: base) }
        let noteStart = 64 + 56
        let nameStart = noteStart + noteBytes.count
        let sectionStart = (nameStart + names.utf8.count + 7) & ~7
        var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
        bytes += [UInt16(3), 62].flatMap(little) + little(UInt32(1))
        bytes += [UInt64(0), 64, UInt64(sectionStart)].flatMap(little) + little(UInt32(0))
        bytes += [UInt16(64), 56, 1, 64, 4, 3].flatMap(little)
        // A segment at 0x1000 of the file's first 0x800 bytes, as the header says: there need not be so many.
        bytes += [UInt32(1), 5].flatMap(little)
        bytes += [UInt64(0), 0x1000 + moved, 0x1000 + moved, 0x800, 0x800, 0x1000].flatMap(little)
        bytes += noteBytes + Array(names.utf8)
        bytes += [UInt8](repeating: 0, count: sectionStart - bytes.count + 64)
        for (name, type, address, start, size) in [
            (1, 7, 0, noteStart, noteBytes.count), (15, 1, Int(base + moved), 0, 1),
            (29, 3, 0, nameStart, names.utf8.count),
        ] {
            bytes += [UInt32(name), UInt32(type)].flatMap(little)
            bytes += [0, address, start, size].flatMap { little(UInt64($0)) }
            bytes += [UInt8](repeating: 0, count: 24)
        }
        return bytes
    }

    private func probes(_ bytes: [UInt8]) -> [StaticProbe]? {
        ELFFile(.memory(bytes)).map { StaticProbe.find(in: $0) }
    }

    @Test func placesNamesAndArguments() throws {
        let found = try #require(
            probes(file([Note(address: 0x1010), Note(address: 0x1020, semaphore: 0x1100)])))
        #expect(found.map(\.offset) == [0x10, 0x20])
        #expect(found.map(\.semaphore) == [0, 0x100])
        #expect(found.allSatisfy { $0.provider == "server" && $0.name == "request" })
        #expect(found.allSatisfy { $0.arguments == "-4@%edi 8@-16(%rbp)" })
    }

    @Test func aFileThatMovedAfterItWasLinked() throws {
        let notes = [Note(address: 0x1010, semaphore: 0x1100)]
        let found = try #require(probes(file(notes, moved: 0x40_0000)))
        #expect(found.map(\.offset) == [0x10] && found.map(\.semaphore) == [0x100])
    }

    @Test func whatIsNoProbeIsLeftOut() throws {
        let notes = [
            Note(address: 0x9000), Note(address: 0x1010, semaphore: 0x9000),
            Note(address: 0x1010, texts: "a\0"),
            Note(address: 0x1010, texts: "a\0\0\0"), Note(address: 0x1010, owner: "GNU\0", type: 3),
            Note(address: 0x1010, type: 1), Note(address: 0x1030, texts: "a\0b\0\0"),
        ]
        #expect(try #require(probes(file(notes))).map(\.name) == ["b"])
        #expect(probes(file([])) == [])
    }

    /// Short; APUS_FUZZ_SECONDS=20 goes on for that long, APUS_FUZZ_SEED=1 and so on elsewhere.
    @Test func damagedNotes() throws {
        let environment = ProcessInfo.processInfo.environment
        var random = SeededGenerator(seed: UInt64(environment["APUS_FUZZ_SEED"] ?? "") ?? 42)
        let end = Date(timeIntervalSinceNow: Double(environment["APUS_FUZZ_SECONDS"] ?? "") ?? 0)
        let whole = file((0..<20).map { Note(address: 0x1000 + 16 * $0, semaphore: $0 % 2 * 0x1200) })
        #expect(probes(whole)?.count == 20)
        var round = 0
        while round < 3000 || Date() < end {
            var bytes = whole
            for _ in 0...random.below(6) where !bytes.isEmpty { random.damage(&bytes) }
            let start = cpuSeconds()
            #expect((probes(bytes) ?? []).allSatisfy { !$0.name.isEmpty })
            #expect(cpuSeconds() - start < 5, "round \(round)")
            round += 1
        }
    }
}

private func little(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

extension [UInt8] {
    /// Up to a multiple of four bytes.
    fileprivate func padded() -> [UInt8] { self + [UInt8](repeating: 0, count: (4 - count % 4) % 4) }
}
