// SPDX-License-Identifier: Apache-2.0
internal import CReading
internal import Symbolization
internal import Unwinding

/// The reader's side: answers until the tracer hangs up.
///
/// What it reads are files of other users. Whatever they make of it, it has no capabilities, no files but those that
/// were handed to it, no system calls to open others, and a limit of memory.
package enum ReaderService {
    /// The name by which the executable is called to be the reader.
    package static let name = APUS_READER_NAME

    /// The same for one that demangles single names which may stand for gigabytes.
    package static let demanglerName = APUS_DEMANGLER_NAME

    /// Bytes of address space: what symbols and lines may hold, the largest section that is decompressed, and room.
    private static let mostMemory: UInt64 = 4 << 30
    private static let mostMemoryOfName: UInt64 = 256 << 20

    /// - Parameter name: The one by which the executable was called.
    /// - Returns: The exit status.
    package static func run(as name: String) -> Int32 {
        guard apus_reader_confine(name == Self.name ? mostMemory : mostMemoryOfName) == 0 else { return 125 }
        do {
            let channel = MessageChannel(Int32(APUS_READER_SOCKET))
            try channel.send(.ready)
            let first = try channel.receive()
            var reader = MessageReader(first.bytes)
            guard first.kind == .settings else { return 1 }
            try Service(channel, try ReaderSettings(&reader)).run()
            return 0
        } catch {
            // The tracer is gone, or talks nonsense: there is nothing left to do.
            return 0
        }
    }
}

private final class Service {
    private let channel: MessageChannel
    private let reader: LocalReader
    private let files: FileRequests
    private var modules: [Int: Module] = [:]

    init(_ channel: MessageChannel, _ settings: ReaderSettings) {
        self.channel = channel
        let options = SymbolizerOptions(demangle: settings.demangles, memoryLimit: settings.memoryLimit)
        let files = FileRequests(channel)
        self.files = files
        let opener: RelatedFileOpener = { module, file in try? files.ask(module.number, file) }
        reader = LocalReader(
            options, lines: settings.readsLines ? DWARFLines(opener: opener) : nil, leavesRiskyNames: true)
    }

    func run() throws {
        while true { try answer(try files.nextQuestion()) }
    }

    private func answer(_ message: Message) throws {
        var content = MessageReader(message.bytes)
        var reply = MessageWriter()
        switch message.kind {
        case .facts:
            let found = try source(&content, message.files.first).flatMap(reader.facts)
            reply.add(found != nil)
            found?.write(to: &reply)
            try channel.send(.factsFound, reply)
        case .introduce: try introduce(&content, message.files)
        case .names:
            NamedPlaces.write(reader.names(at: try places(&content)), to: &reply)
            reader.effort.write(to: &reply)
            try channel.send(.named, reply)
        case .table:
            let table = modules[Int(truncatingIfNeeded: try content.number(UInt64.self))]
                .flatMap { UnwindTable($0.source) }
            reply.add(table != nil)
            table?.write(to: &reply)
            try channel.send(.tableMade, reply)
        case .demangle:
            reply.add(reader.demangled(try content.data()))
            try channel.send(.demangled, reply)
        case .forget:
            for number in try content.raw(UInt64.self) { modules[Int(truncatingIfNeeded: number)] = nil }
        default: throw MalformedMessage()
        }
    }

    /// A file that came with the message, or bytes that are in it.
    private func source(_ content: inout MessageReader, _ file: OpenFile?) throws -> ByteSource? {
        if try content.flag() { return file.map(ByteSource.file) }
        return .memory(try content.data())
    }

    private func introduce(_ content: inout MessageReader, _ files: [OpenFile]) throws {
        let number = Int(truncatingIfNeeded: try content.number(UInt64.self))
        let path = try content.text()
        let hasDebugFile = try content.flag()
        let hasChecksum = try content.flag()
        let checksum = try content.number(UInt32.self)
        var facts = CodeFileFacts(buildID: nil, isComplete: true, segments: [], debugLink: nil)
        facts.buildID = try content.data()
        guard let source = try source(&content, files.first) else { return }
        let debugFile = hasDebugFile ? files.last : nil
        modules[number] = Module(
            number: number, path: path, source: source, facts: facts,
            debugFile: debugFile.map { DebugFile(file: $0, checksum: hasChecksum ? checksum : nil) },
            reader: reader)
    }

    private func places(_ content: inout MessageReader) throws -> [CodePlace] {
        try content.raw(UInt64.self).chunks(of: 2).map { pair in
            guard pair.count == 2, let number = pair.first, let address = pair.last,
                let module = modules[Int(truncatingIfNeeded: number)]
            else {
                throw MalformedMessage()
            }
            return CodePlace(module: module, address: address)
        }
    }
}

/// Has the tracer open files that debug information names. Meanwhile it may have sent the next question.
private final class FileRequests {
    private let channel: MessageChannel
    private var waiting: [Message] = []

    init(_ channel: MessageChannel) { self.channel = channel }

    func nextQuestion() throws -> Message {
        waiting.isEmpty ? try channel.receive() : waiting.removeFirst()
    }

    func ask(_ module: Int, _ file: RelatedFile) throws -> OpenFile? {
        var request = MessageWriter()
        request.add(UInt64(clamping: module))
        request.add(file.base.rawValue)
        request.add(file.name)
        try channel.send(.needsFile, request)
        while true {
            let answer = try channel.receive()
            if answer.kind == .relatedFile { return answer.files.first }
            waiting.append(answer)
        }
    }
}

extension Array {
    fileprivate func chunks(of size: Int) -> [ArraySlice<Element>] {
        stride(from: 0, to: count, by: size).map { self[$0..<Swift.min($0 + size, count)] }
    }
}
