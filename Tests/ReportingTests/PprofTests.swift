// SPDX-License-Identifier: Apache-2.0
import CZlib
import Glibc
import TestSupport
import Testing

@testable import Reporting

/// A message as its fields: numbers or bytes, in the order in which they came.
private struct Message {
    enum Value: Equatable {
        case number(UInt64)
        case bytes([UInt8])
    }

    private(set) var fields: [(number: UInt64, value: Value)] = []

    /// nil if it is not well formed.
    init?(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            guard let key = Self.varint(&rest) else { return nil }
            switch key & 7 {
            case 0:
                guard let number = Self.varint(&rest) else { return nil }
                fields.append((key >> 3, .number(number)))
            case 2:
                guard let length = Self.varint(&rest), length <= rest.count else { return nil }
                fields.append((key >> 3, .bytes(Array(rest.prefix(Int(length))))))
                rest = rest.dropFirst(Int(length))
            default: return nil
            }
        }
    }

    static func varint(_ rest: inout ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: 0 as UInt64, to: 64, by: 7) {
            guard let byte = rest.popFirst() else { return nil }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        return nil
    }

    func number(_ field: UInt64) -> UInt64 {
        for case (field, .number(let number)) in fields { return number }
        return 0
    }

    func all(_ field: UInt64) -> [[UInt8]] {
        fields.compactMap {
            if $0.number == field, case .bytes(let bytes) = $0.value { bytes } else { nil }
        }
    }

    func messages(_ field: UInt64) -> [Message] { all(field).compactMap(Message.init) }

    func packed(_ field: UInt64) -> [UInt64] {
        var values: [UInt64] = []
        for bytes in all(field) {
            var rest = bytes[...]
            while let value = Self.varint(&rest) { values.append(value) }
        }
        return values
    }
}

private func gunzipped(_ bytes: [UInt8]) throws -> [UInt8] {
    var stream = z_stream()
    var input = bytes
    var output = [UInt8](repeating: 0, count: 1 << 22)
    let used = output.count
    let produced: Int = input.withUnsafeMutableBufferPointer { input in
        output.withUnsafeMutableBufferPointer { output in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(input.count)
            stream.next_out = output.baseAddress
            stream.avail_out = UInt32(output.count)
            inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
            let code = inflate(&stream, Z_FINISH)
            inflateEnd(&stream)
            return code == Z_STREAM_END ? used - Int(stream.avail_out) : -1
        }
    }
    try #require(produced >= 0)
    return Array(output.prefix(produced))
}

private func decoded(_ profile: Profile) throws -> Message {
    let writer = ByteWriter()
    try profile.writePprof(to: writer)
    return try #require(Message(try gunzipped(Array(writer.bytes))))
}

private func strings(_ message: Message) -> [String] {
    message.all(6).map { String(decoding: $0, as: UTF8.self) }
}

@Suite struct PprofTests {
    @Test func headIsComplete() throws {
        let message = try decoded(ExampleProfiles.server())
        let strings = strings(message)
        #expect(strings[0] == "")
        #expect(Set(strings).count == strings.count)
        let types = message.messages(1).map { [strings[Int($0.number(1))], strings[Int($0.number(2))]] }
        #expect(types == [["samples", "count"], ["cpu", "nanoseconds"]])
        #expect(message.number(9) == 1_700_000_000_000_000_000)
        #expect(message.number(10) == 10_000_000_000)
        #expect(message.number(12) == 1_000_000)
        #expect(message.messages(11).map { strings[Int($0.number(1))] } == ["cpu"])
        #expect(message.packed(13).map { strings[Int($0)] } == ["an example"])
        #expect(strings[Int(message.number(14))] == "samples")
    }

    @Test func everythingReferredToExists() throws {
        let message = try decoded(ExampleProfiles.server())
        let strings = strings(message)
        let ids = [3, 4, 5].map { field in message.messages(UInt64(field)).map { $0.number(1) } }
        for list in ids { #expect(list == Array(1...UInt64(list.count))) }
        for sample in message.messages(2) {
            #expect(sample.packed(1).allSatisfy { $0 >= 1 && $0 <= ids[1].count })
            #expect(sample.packed(2).count == 2)
        }
        for location in message.messages(4) {
            #expect(location.number(2) <= ids[0].count)
            #expect(location.messages(4).allSatisfy { $0.number(1) >= 1 && $0.number(1) <= ids[2].count })
        }
        for function in message.messages(5) {
            #expect(function.number(2) > 0 && function.number(2) < strings.count)
            #expect(function.number(4) < strings.count)
        }
    }

    @Test func samplesHaveTheirStacksValuesAndLabels() throws {
        let profile = ExampleProfiles.server()
        let message = try decoded(profile)
        let strings = strings(message)
        let functions = message.messages(5).map { strings[Int($0.number(2))] }
        let locations = message.messages(4)
        let samples = message.messages(2)
        #expect(samples.count == profile.count)
        for (index, sample) in samples.enumerated() {
            let names = sample.packed(1).flatMap { id in
                let lines = locations[Int(id) - 1].messages(4)
                return lines.isEmpty
                    ? ["[unknown] libvendor.so"] : lines.map { functions[Int($0.number(1)) - 1] }
            }
            // Leaf first, inlined functions before what they are inlined into.
            #expect(names == profile[index].frames.reversed().map(\.text))
            #expect(sample.packed(2) == profile[index].values)
            let labels = sample.messages(3).map { label in
                let text = strings[Int(label.number(2))]
                return strings[Int(label.number(1))] + "="
                    + (text.isEmpty ? String(label.number(3)) : text)
            }
            #expect(labels == profile[index].labels.map { $0.key + "=" + $0.text })
        }
    }

    @Test func inlinedFunctionsAreLinesOfOneLocation() throws {
        var profile = Profile()
        profile.add(
            [
                Frame(.inlined, "alone"), Frame(.user, "f", moduleOffset: 64, file: "f.c", line: 10),
                Frame(.inlined, "g", file: "g.h", line: 20), Frame(.inlined, "h", file: "h.h", line: 30),
                Frame(.kernel, "k"),
            ], values: [1])
        let message = try decoded(profile)
        let lines = message.messages(4).map { $0.messages(4).map { $0.number(2) } }
        #expect(lines == [[0], [30, 20, 10], [0]])
        #expect(message.messages(4)[1].number(3) == 64)
    }

    @Test func mappingsPutTheProgramFirstAndKnowTheirBuild() throws {
        let message = try decoded(ExampleProfiles.server())
        let strings = strings(message)
        let mappings = message.messages(3)
        let files = mappings.map { strings[Int($0.number(5))] }
        #expect(files.first == "/usr/bin/web-server")
        #expect(Set(files.suffix(2)) == ["[kernel.kallsyms]", "[kernel]"])
        #expect(strings[Int(mappings[0].number(6))] == "aabbccdd")
        let vendor = try #require(
            mappings.first { strings[Int($0.number(5))] == "/opt/lib/libvendor.so" })
        // Its frames have no names: a reader that has the file may find them.
        #expect(vendor.number(7) == 0)
        #expect(vendor.number(2) == 0 && vendor.number(3) == 0x9a)
        #expect(mappings[0].number(7) == 1 && mappings[0].number(9) == 1)
    }

    @Test func largestNumbersSurvive() throws {
        var profile = Profile()
        profile.add(
            [Frame(.kernel, "k", address: .max)], values: [.max], labels: [.init("n", -1, unit: "bytes")])
        let sample = try #require(decoded(profile).messages(2).first)
        #expect(sample.packed(2) == [UInt64(Int64.max)])
        #expect(sample.messages(3).first?.number(3) == .max)
    }

    @Test func theSameProfileGivesTheSameFile() throws {
        let (one, other) = (ByteWriter(), ByteWriter())
        try ExampleProfiles.server().writePprof(to: one)
        try ExampleProfiles.server().writePprof(to: other)
        #expect(Array(one.bytes) == Array(other.bytes))
    }

    @Test func largeInputIsCompressedWhole() throws {
        var random = SeededGenerator(seed: 5)
        let bytes = (0..<1_000_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        for count in [0, 1, 65_535, 65_536, 1_000_000] {
            let writer = ByteWriter()
            try bytes.prefix(count).withUnsafeBytes { try appendGzip($0, to: writer) }
            #expect(try gunzipped(Array(writer.bytes)) == Array(bytes.prefix(count)))
        }
    }
}

/// What the reference implementation makes of it.
@Suite(.require(.file("/usr/bin/go")))
struct GoPprofTests {
    private func output(_ arguments: String, of profile: Profile) throws -> String {
        let writer = ByteWriter()
        try profile.writePprof(to: writer)
        var name = Array("/tmp/apus-pprof-test-XXXXXX".utf8CString)
        let descriptor = mkstemp(&name)
        try #require(descriptor >= 0)
        close(descriptor)
        let path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        writeFile(path, writer.bytes)
        defer { unlink(path) }
        let pipe = try #require(
            popen("HOME=/tmp PPROF_TMPDIR=/tmp /usr/bin/go tool pprof \(arguments) \(path) 2>&1", "r"))
        var text: [UInt8] = []
        var byte = getc(pipe)
        while byte != EOF {
            text.append(UInt8(truncatingIfNeeded: byte))
            byte = getc(pipe)
        }
        let status = pclose(pipe)
        #expect(status == 0)
        return String(decoding: text, as: UTF8.self)
    }

    @Test func totalsAreExact() throws {
        let profile = ExampleProfiles.server()
        let samples = try output("-top -sample_index=samples", of: profile)
        #expect(samples.contains("File: web-server"))
        #expect(samples.contains("Build ID: aabbccdd"))
        #expect(samples.contains("of \(profile.totals[0]) total"), "\(samples)")
        let cpu = try output("-top -unit=ns -sample_index=cpu", of: profile)
        #expect(cpu.contains("of \(profile.totals[1])ns total"), "\(cpu)")
    }

    @Test func labelsCanBeSelected() throws {
        let profile = ExampleProfiles.server()
        let text = try output("-top -sample_index=samples -tagfocus=process=swapper", of: profile)
        #expect(text.contains("of \(profile.totals[0]) total") && text.contains("300"), "\(text)")
    }

    @Test func inlinedFunctionsAndLinesAreRead() throws {
        let text = try output("-raw", of: ExampleProfiles.server())
        #expect(text.contains("Array.append(_:) stdlib/Array.swift:1180"), "\(text)")
        #expect(text.contains("container:[shop/web]") && text.contains("state:[running]"))
    }

    @Test func anythingIsAccepted() throws {
        for profile in [Profile(), ExampleProfiles.hostile(), ExampleProfiles.deep()] {
            let text = try output("-top", of: profile)
            #expect(!text.contains("malformed") && !text.contains("failed"), "\(text)")
        }
    }
}
