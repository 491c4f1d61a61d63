// SPDX-License-Identifier: Apache-2.0
package import Symbolization

/// A probe that a program's authors have put into it (USDT, sys/sdt.h), at one place.
package struct StaticProbe: Equatable, Sendable {
    package let provider: String
    package let name: String
    /// Of the instruction, in the file.
    package let offset: UInt64
    /// Of a counter in the file that has to be raised while the probe is watched; 0 if there is none.
    package let semaphore: UInt64
    /// How the arguments are passed: "SIZE@OPERAND …", a negative size for signed ones.
    package let arguments: String

    private static let mostNoteBytes = 1 << 24
    /// Files have a handful; each probe looks through all.
    private static let mostSegments = 64

    /// The probes of a file, in its order.
    ///
    /// The notes are those of SystemTap's sys/sdt.h, version 3: three addresses (of the probe, of the section
    /// .stapsdt.base as it was linked, and of the semaphore), then provider, name and arguments, each ending in 0.
    package static func find(in elf: ELFFile) -> [StaticProbe] {
        guard elf.is64, let section = elf.section(named: ".note.stapsdt"),
            let notes = elf.contents(of: section, limit: mostNoteBytes)
        else { return [] }
        let base = elf.section(named: ".stapsdt.base")?.address
        let segments = elf.segments.filter(\.isLoaded).prefix(mostSegments)
        var found: [StaticProbe] = []
        var position = 0
        while position <= notes.count - 12 {
            let nameSize = Int(number32(notes, position))
            let size = Int(number32(notes, position + 4))
            let type = number32(notes, position + 8)
            let start = position + 12 + (nameSize + 3) & ~3
            guard start <= notes.count, size <= notes.count - start else { break }
            if type == 3, nameSize == 8, notes[(position + 12)...].starts(with: "stapsdt\0".utf8),
                let probe = StaticProbe(notes[start..<start + size], segments, base: base)
            {
                found.append(probe)
            }
            position = start + (size + 3) & ~3
        }
        return found
    }

    private init?(_ note: ArraySlice<UInt8>, _ segments: ArraySlice<ELFFile.Segment>, base: UInt64?) {
        guard note.count > 24 else { return nil }
        let bytes = Array(note)
        let linked = Self.number64(bytes, 8)
        // What moved the file after it was linked has moved both.
        let moved = base.map { linked == 0 ? 0 : $0 &- linked } ?? 0
        let texts = bytes[24...].split(separator: 0, maxSplits: 3, omittingEmptySubsequences: false)
        guard texts.count >= 3 else { return nil }
        provider = String(decoding: texts[0], as: UTF8.self)
        name = String(decoding: texts[1], as: UTF8.self)
        arguments = String(decoding: texts[2], as: UTF8.self)
        func offset(_ address: UInt64) -> UInt64? {
            segments.first { address >= $0.address && address - $0.address < $0.fileSize }
                .map { $0.offset &+ (address - $0.address) }
        }
        guard !name.isEmpty, let place = offset(Self.number64(bytes, 0) &+ moved) else { return nil }
        self.offset = place
        let counter = Self.number64(bytes, 16)
        if counter == 0 {
            semaphore = 0
        } else {
            guard let place = offset(counter &+ moved) else { return nil }
            semaphore = place
        }
    }

    private static func number32(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
        bytes.withUnsafeBytes {
            UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        }
    }

    private static func number64(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
        bytes.withUnsafeBytes {
            UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
    }
}
