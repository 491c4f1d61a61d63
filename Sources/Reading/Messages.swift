// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Symbolization
internal import Unwinding

/// What the reader is to do, said once at its start.
struct ReaderSettings: Sendable {
    var demangles: Bool
    var readsLines: Bool
    var memoryLimit: Int

    func write(to writer: inout MessageWriter) {
        writer.add(demangles)
        writer.add(readsLines)
        writer.add(UInt64(clamping: memoryLimit))
    }

    init(demangles: Bool, readsLines: Bool, memoryLimit: Int) {
        self.demangles = demangles
        self.readsLines = readsLines
        self.memoryLimit = memoryLimit
    }

    init(_ reader: inout MessageReader) throws(MalformedMessage) {
        demangles = try reader.flag()
        readsLines = try reader.flag()
        memoryLimit = Int(clamping: try reader.number(UInt64.self))
    }
}

extension CodeFileFacts {
    func write(to writer: inout MessageWriter) {
        writer.add(buildID ?? [])
        writer.add(isComplete)
        writer.add(debugLink != nil)
        writer.add(debugLink?.name ?? "")
        writer.add(debugLink?.checksum ?? 0)
        writer.add(UInt32(segments.count))
        for segment in segments {
            writer.add(segment.type)
            writer.add(segment.flags)
            writer.add(segment.offset)
            writer.add(segment.address)
            writer.add(segment.fileSize)
        }
    }

    init(_ reader: inout MessageReader) throws(MalformedMessage) {
        let buildID = try reader.data()
        let isComplete = try reader.flag()
        let hasLink = try reader.flag()
        let link = DebugLink(name: try reader.text(), checksum: try reader.number())
        // It goes into paths, which the reader must not choose.
        guard buildID.count <= 64, !link.name.utf8.contains(UInt8(ascii: "/")) else {
            throw MalformedMessage()
        }
        var segments: [ELFFile.Segment] = []
        for _ in 0..<(try reader.count(least: 32)) {
            segments.append(
                ELFFile.Segment(
                    type: try reader.number(), flags: try reader.number(), offset: try reader.number(),
                    address: try reader.number(), fileSize: try reader.number()))
        }
        self.init(
            buildID: buildID.isEmpty ? nil : buildID, isComplete: isComplete, segments: segments,
            debugLink: hasLink ? link : nil)
    }
}

extension ReaderEffort {
    func write(to writer: inout MessageWriter) {
        for value in [symbolsIndexed, evictions, bytesHeld] { writer.add(UInt64(clamping: value)) }
    }

    init(_ reader: inout MessageReader) throws(MalformedMessage) {
        self.init(
            symbolsIndexed: Int(clamping: try reader.number(UInt64.self)),
            evictions: Int(clamping: try reader.number(UInt64.self)),
            bytesHeld: Int(clamping: try reader.number(UInt64.self)))
    }
}

/// Named places, in which each text stands once.
enum NamedPlaces {
    /// Demangled names and paths have at most 64 KB, and a path the folder in front.
    private static let longestText = 1 << 18

    static func write(_ places: [NamedPlace], to writer: inout MessageWriter) {
        var texts: [String] = []
        var numbers: [String: UInt32] = [:]
        func number(_ text: String?) -> UInt32 {
            guard let text else { return 0 }
            if let known = numbers[text] { return known }
            texts.append(text)
            numbers[text] = UInt32(texts.count)
            return UInt32(texts.count)
        }
        var body = MessageWriter()
        body.add(UInt32(places.count))
        for place in places {
            body.add(place.offset != nil)
            body.add(place.offset ?? 0)
            // Compilers inline some tens deep; DWARF that says more is cut by its reader.
            let names = place.names.suffix(Int(UInt8.max))
            body.add(UInt8(names.count))
            for name in names {
                body.add(number(name.function))
                body.add(number(name.file))
                body.add(UInt32(clamping: name.line ?? 0))
                body.add(name.isInlined)
            }
        }
        writer.add(UInt32(texts.count))
        for text in texts { writer.add(text) }
        writer.add(body.bytes)
    }

    static func read(_ reader: inout MessageReader) throws(MalformedMessage) -> [NamedPlace] {
        var texts: [String?] = [nil]
        for _ in 0..<(try reader.count(least: 4)) {
            let text = try reader.text()
            // It may be that of a million frames.
            guard text.utf8.count <= longestText else { throw MalformedMessage() }
            texts.append(text)
        }
        var body = MessageReader(try reader.data())
        func text() throws(MalformedMessage) -> String? {
            let number = Int(try body.number(UInt32.self))
            guard number < texts.count else { throw MalformedMessage() }
            return texts[number]
        }
        var places: [NamedPlace] = []
        for _ in 0..<(try body.count(least: 10)) {
            let hasOffset = try body.flag()
            let offset = try body.number(UInt64.self)
            var names: [NamedPlace.Name] = []
            for _ in 0..<(try body.number(UInt8.self)) {
                let (function, file) = (try text(), try text())
                let line = try body.number(UInt32.self)
                names.append(
                    NamedPlace.Name(
                        function: function, file: file, line: line > 0 ? Int(line) : nil,
                        isInlined: try body.flag()))
            }
            guard !names.isEmpty else { throw MalformedMessage() }
            places.append(NamedPlace(offset: hasOffset ? offset : nil, names: names))
        }
        return places
    }
}

extension UnwindTable {
    func write(to writer: inout MessageWriter) {
        writer.add(base)
        writer.add(raw: pages.map { UInt32($0.count) })
        writer.add(raw: rows)
        writer.add(raw: rules)
    }

    init(_ reader: inout MessageReader) throws(MalformedMessage) {
        let base = try reader.number(UInt64.self)
        let table = UnwindTable(
            base: base, pageSizes: try reader.raw(UInt32.self), rows: try reader.raw(UInt32.self),
            rules: try reader.raw(unwind_rule.self))
        guard let table else { throw MalformedMessage() }
        self = table
    }
}
