// SPDX-License-Identifier: Apache-2.0
internal import CReading
internal import Glibc
internal import Symbolization

/// Demangles the names that a reader has left marked, because each may stand for gigabytes: in a process of their own,
/// which may be ended.
final class PatientDemangler {
    private let executable: String?
    private var connection: ReaderProcess.Connection?
    private let local = RiskyNames()
    private var ends = 0

    /// How long a name may be worked on, in nanoseconds; usual ones take less than a thousandth.
    private static let patience: UInt64 = 500_000_000
    /// After so many names that ended the process, such names are left as they are.
    private static let mostEnds = 16

    init(executable: String?) { self.executable = executable }

    func finish(_ place: NamedPlace) -> NamedPlace {
        guard place.names.contains(where: { RiskyNames.isMarked($0.function) }) else { return place }
        var place = place
        for index in place.names.indices {
            guard let name = place.names[index].function, RiskyNames.isMarked(name) else { continue }
            place.names[index].function = text(of: Array(name.utf8.dropFirst()))
        }
        return place
    }

    private func text(of name: [UInt8]) -> String {
        guard let executable else { return local.text(of: name) }
        let mangled = String(decoding: name, as: UTF8.self)
        guard ends < Self.mostEnds else { return mangled }
        do {
            return try ask(name, executable)
        } catch {
            ends += 1
            connection = nil
            return mangled
        }
    }

    private func ask(_ name: [UInt8], _ executable: String) throws -> String {
        let connection = try connected(executable)
        var request = MessageWriter()
        request.add(name)
        try connection.channel.send(.demangle, request)
        let answer = try connection.channel.receive(
            Patience(connection.process, work: Self.patience, slowness: 40))
        guard answer.kind == .demangled else { throw MalformedMessage() }
        var content = MessageReader(answer.bytes)
        return try content.text()
    }

    private func connected(_ executable: String) throws -> ReaderProcess.Connection {
        if let connection { return connection }
        var process: pid_t = 0
        let socket = apus_reader_start(executable, APUS_DEMANGLER_NAME, &process)
        guard socket >= 0 else { throw MessageChannel.Failure.lost }
        let made = ReaderProcess.Connection(process, MessageChannel(socket))
        var content = MessageWriter()
        ReaderSettings(demangles: true, readsLines: false, memoryLimit: 1 << 20).write(to: &content)
        try made.channel.send(.settings, content)
        // It may take a while until it runs.
        let first = try made.channel.receive(Patience(process, work: 20 * Self.patience))
        guard first.kind == .ready else { throw MalformedMessage() }
        connection = made
        return made
    }
}
