// SPDX-License-Identifier: Apache-2.0

extension Profile {
    /// Writes the profile as pprof's profile.proto, not compressed.
    ///
    /// - Parameter defaultValue: the value type that readers show first.
    package func writeProtobuf(to writer: ByteWriter, defaultValue: Int = 0) {
        let encoder = PprofEncoder(self, writer)
        encoder.write(defaultValue: defaultValue)
    }
}

/// Field numbers are those of the public schema (github.com/google/pprof/proto/profile.proto).
private final class PprofEncoder {
    private let profile: Profile
    private let writer: ByteWriter
    private let scratch = ByteWriter()
    private let inner = ByteWriter()

    private var strings: [String] = [""]
    private var stringNumbers: [String: UInt64] = ["": 0]

    private struct Mapping: Hashable {
        let file: String
        let buildID: String
    }

    private struct MappingFacts {
        var limit: UInt64 = 0
        var hasNames = true
        var hasFiles = false
        var hasLines = false
        var hasInlined = false
    }

    private var mappings: [Mapping] = []
    private var mappingNumbers: [Mapping: UInt64] = [:]
    private var facts: [MappingFacts] = []

    private struct Function: Hashable {
        let name: String
        let file: String
    }

    private var functions: [Function: UInt64] = [:]
    private var locations: PprofLocations

    init(_ profile: Profile, _ writer: ByteWriter) {
        self.profile = profile
        self.writer = writer
        locations = PprofLocations(profile)
    }

    func write(defaultValue: Int) {
        for type in profile.valueTypes { message(1) { append(type, to: $0) } }
        numberMappings()
        for sample in 0..<profile.count { write(sample: sample) }
        for location in 0..<locations.used.count { write(location: location) }
        writeMappings()
        writeFunctions()
        let comments = profile.comments.map(string)
        let defaultType = string(profile.valueTypes[defaultValue].name)
        writer.appendField(9, profile.timeNanoseconds)
        writer.appendField(10, profile.durationNanoseconds)
        if let type = profile.periodType { message(11) { append(type, to: $0) } }
        writer.appendField(12, profile.period)
        writer.appendField(13, packed: comments)
        writer.appendField(14, defaultType)
        // Last, because all of the above add to it. The empty one is written too: it is number 0.
        for text in strings {
            var text = text
            text.withUTF8 { writer.appendField(6, bytes: UnsafeRawBufferPointer($0)) }
        }
    }

    private func message(_ field: UInt64, _ build: (ByteWriter) -> Void) {
        scratch.removeAll()
        build(scratch)
        writer.appendField(field, bytes: scratch.bytes)
    }

    private func string(_ text: String) -> UInt64 {
        if let number = stringNumbers[text] { return number }
        let number = UInt64(strings.count)
        strings.append(text)
        stringNumbers[text] = number
        return number
    }

    private func append(_ type: Profile.ValueType, to message: ByteWriter) {
        message.appendField(1, string(type.name))
        message.appendField(2, string(type.unit))
    }

    private func write(sample: Int) {
        let path = locations.path(of: profile.samples.firsts[sample])
        let labels = profile.labelSets[Int(profile.samples.seconds[sample])]
        let first = sample * profile.valueTypes.count
        message(2) { message in
            message.appendField(1, packed: path)
            message.appendField(2, packed: profile.values[first..<first + profile.valueTypes.count])
            for label in labels { append(label, to: message) }
        }
    }

    private func append(_ label: Profile.Label, to message: ByteWriter) {
        inner.removeAll()
        inner.appendField(1, string(label.key))
        switch label.value {
        case .text(let text): inner.appendField(2, string(text))
        case .number(let number, let unit):
            inner.appendField(3, signed: number)
            inner.appendField(4, string(unit))
        }
        message.appendField(3, bytes: inner.bytes)
    }
}

extension PprofEncoder {
    private func mapping(_ frame: Profile.Frame) -> Mapping? {
        let module = frame.module ?? (frame.isOfKernel ? "[kernel.kallsyms]" : nil)
        if module == nil && frame.buildID == nil { return nil }
        return Mapping(file: module ?? "", buildID: frame.buildID ?? "")
    }

    /// Readers take the first mapping for the program itself: executables come before libraries and the kernel.
    private func numberMappings() {
        func rank(_ frame: Profile.Frame) -> Int {
            guard !frame.isOfKernel, let module = frame.module, !module.hasPrefix("[") else { return 2 }
            let name = module.lastPathComponent
            return name.hasSuffix(".so") || name.contains(".so.") ? 1 : 0
        }
        let ranks = profile.frames.map(rank)
        for wanted in 0...2 {
            for (frame, rank) in zip(profile.frames, ranks) where rank == wanted {
                guard let mapping = mapping(frame), mappingNumbers[mapping] == nil else { continue }
                mappings.append(mapping)
                mappingNumbers[mapping] = UInt64(mappings.count)
                facts.append(MappingFacts())
            }
        }
    }

    /// One machine address; the functions inlined there are lines of it, innermost first.
    private func write(location index: Int) {
        let frames = locations.frames(index)
        guard let base = frames.last else { return }
        let mapped = frames.lazy.compactMap(mapping).first
        let number = mapped.flatMap { mappingNumbers[$0] } ?? 0
        // An offset survives the process and the next boot, and is what the mapping's file can be asked about.
        let address = frames.lazy.compactMap { $0.moduleOffset ?? $0.address }.first ?? 0
        if number > 0 { learn(frames, address: address, mapping: Int(number) - 1) }
        message(4) { message in
            message.appendField(1, UInt64(index) + 1)
            message.appendField(2, number)
            message.appendField(3, address)
            // Without a line, a reader that has the file may find the name by itself.
            if frames.count == 1 && base.function.isEmpty && number > 0 { return }
            for frame in frames {
                let function = function(Function(name: frame.text, file: frame.file ?? ""))
                inner.removeAll()
                inner.appendField(1, function)
                inner.appendField(2, signed: Int64(frame.line ?? 0))
                message.appendField(4, bytes: inner.bytes)
            }
        }
    }

    private func learn(_ frames: [Profile.Frame], address: UInt64, mapping: Int) {
        facts[mapping].limit = max(facts[mapping].limit, address == .max ? address : address + 1)
        if frames.contains(where: { $0.function.isEmpty }) { facts[mapping].hasNames = false }
        if frames.contains(where: { $0.file != nil }) { facts[mapping].hasFiles = true }
        if frames.contains(where: { $0.line != nil }) { facts[mapping].hasLines = true }
        if frames.count > 1 { facts[mapping].hasInlined = true }
    }

    private func function(_ function: Function) -> UInt64 {
        if let number = functions[function] { return number }
        let number = UInt64(functions.count) + 1
        functions[function] = number
        return number
    }

    private func writeMappings() {
        for (index, mapping) in mappings.enumerated() {
            message(3) { message in
                message.appendField(1, UInt64(index) + 1)
                message.appendField(3, facts[index].limit)
                message.appendField(5, string(mapping.file))
                message.appendField(6, string(mapping.buildID))
                message.appendField(7, flag: facts[index].hasNames)
                message.appendField(8, flag: facts[index].hasFiles)
                message.appendField(9, flag: facts[index].hasLines)
                message.appendField(10, flag: facts[index].hasInlined)
            }
        }
    }

    private func writeFunctions() {
        for (function, number) in functions.sorted(by: { $0.value < $1.value }) {
            message(5) { message in
                message.appendField(1, number)
                message.appendField(2, string(function.name))
                message.appendField(3, string(function.name))
                message.appendField(4, string(function.file))
            }
        }
    }
}
