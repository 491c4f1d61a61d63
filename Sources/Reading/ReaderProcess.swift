// SPDX-License-Identifier: Apache-2.0
internal import CReading
internal import Glibc
package import Symbolization
package import Unwinding

/// Has files of code read by a process without privileges, which is started again if it ends.
///
/// A file that ends it twice is not read again: its names are lost, and counted. Where no such process can be had, the
/// files are read by this one. Not for use by several threads.
package final class ReaderProcess: CodeReader {
    /// What went wrong so far.
    package struct Losses: Equatable, Sendable {
        /// How often the process ended, or had to be ended.
        package var ends = 0
        /// Addresses that have no name because of that.
        package var names = 0
        /// Files of which nothing is known because of that.
        package var files = 0
    }

    package private(set) var losses = Losses()
    /// Why files are read by this process; nil if they are not.
    package private(set) var refusal: String?
    package private(set) var effort = ReaderEffort()

    private let executable: String?
    private let settings: ReaderSettings
    private var connection: Connection?
    private lazy var local = LocalReader(
        SymbolizerOptions(demangle: settings.demangles, memoryLimit: settings.memoryLimit),
        lines: settings.readsLines ? DWARFLines() : nil)
    private var strikes: [Int: Int] = [:]
    private var badFiles: Set<FileIdentity> = []
    private var forgotten: [UInt64] = []
    private let patientDemangler: PatientDemangler
    /// How long an answer may be worked on, in nanoseconds: less after each that did not come.
    private var patience: UInt64 = 20_000_000_000
    private static let leastPatience: UInt64 = 2_000_000_000

    /// Places in one question.
    private static let batch = 4096
    private static let mostStrikes = 2
    /// Tables that are asked for at a time.
    private static let tablesUnderWay = 3
    /// After so many ends no more is asked.
    private static let mostEnds = 64

    /// Starts the process, and does not wait for it.
    ///
    /// - Parameters:
    ///   - executable: This program's; nil to read files here.
    ///   - lines: Whether files and lines are wanted, and inlined functions.
    package init(executable: String?, options: SymbolizerOptions, lines: Bool) {
        self.executable = executable
        settings = ReaderSettings(
            demangles: options.demangle, readsLines: lines, memoryLimit: options.memoryLimit)
        patientDemangler = PatientDemangler(executable: executable)
        if executable == nil { refusal = "this program cannot be started again" }
        connection = start()
    }

    /// The process that reads, for tests and for those who look; nil if there is none.
    package var process: Int32? { connection?.process }

    // MARK: - Questions

    package func facts(of source: ByteSource) -> CodeFileFacts? {
        var identity: FileIdentity?
        if case .file(let file) = source { identity = file.identity }
        if let identity, badFiles.contains(identity) { return nil }
        for _ in 0..<Self.mostStrikes {
            var request = MessageWriter()
            let files = Self.add(source, to: &request)
            let answer = ask(.facts, request, files: files, expecting: .factsFound) {
                reader throws(MalformedMessage) in
                try reader.flag() ? try CodeFileFacts(&reader) : nil
            }
            switch answer {
            case .answer(let facts): return facts
            case .unavailable: return local.facts(of: source)
            case .lost: continue
            }
        }
        if let identity { badFiles.insert(identity) }
        losses.files += 1
        return nil
    }

    package func names(at places: [CodePlace]) -> [NamedPlace] {
        var result = [NamedPlace](repeating: NamedPlace(), count: places.count)
        var parts: [ArraySlice<Int>] = []
        var start = 0
        while start < places.count {
            parts.append(Array(start..<min(start + Self.batch, places.count))[...])
            start += Self.batch
        }
        let done = nameAll(places, parts, into: &result)
        for part in parts.dropFirst(done) {
            // One of the files has ended the reader: the others shall have their names.
            for (_, ofOne) in Dictionary(grouping: part, by: { places[$0].module.number }) {
                if nameAll(places, [ofOne[...]], into: &result) == 1 { continue }
                if let number = ofOne.first { strikes[places[number].module.number, default: 0] += 1 }
                losses.names += ofOne.count
            }
        }
        return result
    }

    /// Names some places after others; while one answer is taken apart here, the next is made there.
    ///
    /// - Returns: How many parts were named before the reader was lost, if it was.
    private func nameAll(
        _ places: [CodePlace], _ parts: [ArraySlice<Int>], into result: inout [NamedPlace]
    ) -> Int {
        var asked: [[Int]] = []
        for (done, part) in parts.enumerated() {
            while asked.count < min(done + 2, parts.count) {
                let askable = parts[asked.count].filter {
                    strikes[places[$0].module.number, default: 0] < Self.mostStrikes
                }
                losses.names += parts[asked.count].count - askable.count
                asked.append(askable)
                guard !askable.isEmpty else { continue }
                var request = MessageWriter()
                request.add(raw: askable.flatMap { [UInt64(places[$0].module.number), places[$0].address] })
                switch send(.names, request, about: askable.map { places[$0].module }) {
                case .answer: break
                case .lost: return done
                case .unavailable:
                    let named = local.names(at: part.map { places[$0] })
                    for (index, number) in part.enumerated() { result[number] = named[index] }
                    effort = local.effort
                }
            }
            guard refusal == nil, !asked[done].isEmpty else { continue }
            guard receiveNames(asked[done], places, into: &result) else { return done }
        }
        return parts.count
    }

    private func receiveNames(
        _ numbers: [Int], _ places: [CodePlace], into result: inout [NamedPlace]
    ) -> Bool {
        let answer = receive(.named, about: numbers.map { places[$0].module }) {
            reader throws(MalformedMessage) in
            let named = try NamedPlaces.read(&reader)
            guard named.count == numbers.count else { throw MalformedMessage() }
            return (named, try ReaderEffort(&reader))
        }
        guard case .answer(let (named, effort)) = answer else { return false }
        self.effort = effort
        for (index, number) in numbers.enumerated() {
            result[number] = patientDemangler.finish(named[index])
        }
        return true
    }

    /// The call frame information of modules, as the programs search it; nil where there is none. Each is used here
    /// while the next is made there.
    package func unwindTables(of modules: [Module], _ use: (Module, UnwindTable?) -> Void) {
        let isSafe = modules.allSatisfy { strikes[$0.number] == nil }
        var (asked, done) = (0, 0)
        while isSafe, done < modules.count {
            while asked < min(done + Self.tablesUnderWay, modules.count), case .answer = ask(modules[asked]) {
                asked += 1
            }
            guard done < asked, case .answer(let table) = receiveTable(of: modules[done]) else { break }
            use(modules[done], table)
            done += 1
        }
        // One of the files may have ended the reader: the others shall have their tables.
        for module in modules[done...] { use(module, unwindTable(of: module)) }
    }

    /// The same of one module.
    package func unwindTable(of module: Module) -> UnwindTable? {
        while strikes[module.number, default: 0] < Self.mostStrikes {
            switch ask(module) {
            case .answer: if case .answer(let table) = receiveTable(of: module) { return table }
            case .unavailable: return UnwindTable(module.source)
            case .lost: break
            }
            strikes[module.number, default: 0] += 1
            if strikes[module.number] == Self.mostStrikes { losses.files += 1 }
        }
        return nil
    }

    /// Asks for a module's table.
    private func ask(_ module: Module) -> Answer<Void> {
        var request = MessageWriter()
        request.add(UInt64(module.number))
        return send(.table, request, about: [module])
    }

    private func receiveTable(of module: Module) -> Answer<UnwindTable?> {
        receive(.tableMade, about: [module]) { reader throws(MalformedMessage) in
            try reader.flag() ? try UnwindTable(&reader) : nil
        }
    }

    package func forget(module number: Int) {
        strikes[number] = nil
        if connection?.introduced.remove(number) != nil { forgotten.append(UInt64(number)) }
        if refusal != nil { local.forget(module: number) }
    }

    // MARK: - The process

    final class Connection {
        let process: Int32
        let channel: MessageChannel
        var introduced: Set<Int> = []
        var isReady = false

        init(_ process: Int32, _ channel: MessageChannel) {
            self.process = process
            self.channel = channel
        }

        deinit { apus_reader_end(process) }
    }

    private enum Answer<Content> {
        case answer(Content)
        /// The reader ended, or was ended.
        case lost
        /// There is none to ask.
        case unavailable
    }

    private func start() -> Connection? {
        guard refusal == nil, let executable else { return nil }
        var process: pid_t = 0
        let socket = apus_reader_start(executable, APUS_READER_NAME, &process)
        guard socket >= 0 else {
            refusal = "no process can be started for it"
            return nil
        }
        let channel = MessageChannel(socket)
        channel.limitSending(seconds: 10)
        let connection = Connection(process, channel)
        var content = MessageWriter()
        settings.write(to: &content)
        do throws(MessageChannel.Failure) { try channel.send(.settings, content) } catch {}
        forgotten = []
        return connection
    }

    private func ask<Content>(
        _ kind: MessageKind, _ request: MessageWriter, files: [Int32] = [], about modules: [Module] = [],
        expecting expected: MessageKind,
        read: (inout MessageReader) throws(MalformedMessage) -> Content
    ) -> Answer<Content> {
        switch send(kind, request, files: files, about: modules) {
        case .answer: receive(expected, about: modules, read: read)
        case .lost: .lost
        case .unavailable: .unavailable
        }
    }

    private func send(
        _ kind: MessageKind, _ request: MessageWriter, files: [Int32] = [], about modules: [Module]
    ) -> Answer<Void> {
        guard refusal == nil else { return .unavailable }
        guard losses.ends < Self.mostEnds else { return .lost }
        if connection == nil { connection = start() }
        guard let connection else { return .unavailable }
        do {
            try prepare(connection, modules)
            try connection.channel.send(kind, request, files: files)
            return .answer(())
        } catch {
            return lose(connection, error)
        }
    }

    private func receive<Content>(
        _ expected: MessageKind, about modules: [Module],
        read: (inout MessageReader) throws(MalformedMessage) -> Content
    ) -> Answer<Content> {
        guard let connection else { return .lost }
        do {
            let message = try answer(from: connection, about: modules)
            guard message.kind == expected else { throw MalformedMessage() }
            var reader = MessageReader(message.bytes)
            return .answer(try read(&reader))
        } catch {
            return lose(connection, error)
        }
    }

    private func lose<Content>(_ lost: Connection, _ error: any Error) -> Answer<Content> {
        if case MessageChannel.Failure.late = error { patience = max(patience / 2, Self.leastPatience) }
        connection = nil
        // It could not give up its privileges, or not even run: the next would not either.
        if !lost.isReady, losses.ends == 0 {
            refusal = "the kernel has no seccomp filters, or refused them"
            return .unavailable
        }
        losses.ends += 1
        return .lost
    }

    private func prepare(_ connection: Connection, _ modules: [Module]) throws {
        if !connection.isReady {
            let first = try connection.channel.receive(Patience(connection.process, work: patience))
            guard first.kind == .ready else { throw MalformedMessage() }
            connection.isReady = true
        }
        if !forgotten.isEmpty {
            var content = MessageWriter()
            content.add(raw: forgotten)
            forgotten = []
            try connection.channel.send(.forget, content)
        }
        for module in modules where connection.introduced.insert(module.number).inserted {
            try introduce(module, to: connection)
        }
    }

    private func introduce(_ module: Module, to connection: Connection) throws {
        var content = MessageWriter()
        content.add(UInt64(module.number))
        content.add(module.path)
        content.add(module.debugFile != nil)
        content.add(module.debugFile?.checksum != nil)
        content.add(module.debugFile?.checksum ?? 0)
        content.add(module.buildIDBytes)
        var files = Self.add(module.source, to: &content)
        if let debugFile = module.debugFile { files.append(debugFile.file.descriptor) }
        try connection.channel.send(.introduce, content, files: files)
    }

    private static func add(_ source: ByteSource, to content: inout MessageWriter) -> [Int32] {
        switch source {
        case .file(let file):
            content.add(true)
            return [file.descriptor]
        case .memory(let bytes):
            content.add(false)
            content.add(bytes)
            return []
        }
    }

    /// Waits for an answer, and meanwhile opens what the reader needs besides.
    private func answer(from connection: Connection, about modules: [Module]) throws -> Message {
        let patience = Patience(connection.process, work: patience)
        while true {
            let message = try connection.channel.receive(patience)
            guard message.kind == .needsFile else { return message }
            var content = MessageReader(message.bytes)
            let number = try content.number(UInt64.self)
            let base = RelatedFile.Base(rawValue: try content.number(UInt8.self))
            let name = try content.text()
            let module = modules.first { UInt64($0.number) == number }
            guard let base, let module, !name.isEmpty else { throw MalformedMessage() }
            let file = Self.open(RelatedFile(base: base, name: name), of: module)
            try connection.channel.send(.relatedFile, files: file.map { [$0.descriptor] } ?? [])
        }
    }

    /// Only ELF files are handed over: nothing else is debug information, whatever a file says it needs.
    private static func open(_ related: RelatedFile, of module: Module) -> OpenFile? {
        guard case .file = module.source, let file = related.open(module.owner),
            ByteSource.file(file).bytes(at: 0, upTo: 4) == [0x7f, 0x45, 0x4c, 0x46]
        else { return nil }
        return file
    }
}
