// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

/// Processes whose files were made so that reading them goes wrong or takes for ever, one of each kind, and one that
/// behaves.
private final class Crowd {
    /// What the processes are called.
    static let kinds = HostileKind.all.map(\.name)
    static let behaved = "behaves"
    /// Whose they are: a user that nothing else belongs to, so that the rest of a busy machine is not named as well.
    static let user = geteuid() == 0 ? 54_321 : geteuid()

    private let folder: TemporaryFolder
    private(set) var members: [String: Child] = [:]
    private var saying: [Scratch] = []

    init() throws {
        folder = try TemporaryFolder()
        let program = try Harness.program("hostile", options: ["-g", "-O1", "-fno-omit-frame-pointer"])
        let sound = folder.path("sound")
        try Data(HostileELF.named().bytes).write(to: URL(fileURLWithPath: sound))
        try start(program, Self.behaved, [sound])
        for kind in HostileKind.all {
            let path = folder.path(kind.name)
            try write(kind, to: path)
            try start(program, kind.name, kind.isPerfMap ? [sound, path] : [path])
        }
        let saying = saying
        try eventually("all to map their files", by: Array(members.values)) {
            try saying.allSatisfy { try !$0.contents().isEmpty }
        }
    }

    deinit {
        // They remove their perf maps.
        for member in members.values { member.send(SIGTERM) }
        for member in members.values { _ = member.wait() }
    }

    private func write(_ kind: HostileKind, to path: String) throws {
        try Data(kind.bytes).write(to: URL(fileURLWithPath: path))
        if kind.length > 0, truncate(path, Int(kind.length)) != 0 { throw HarnessError("truncate \(path)") }
        switch kind.companion {
        case nil: break
        case .pipe(let name): mkfifo(folder.path(name), 0o600)
        case .large(let name, let size):
            let other = folder.path(name)
            try Data(HostileELF().bytes).write(to: URL(fileURLWithPath: other))
            if truncate(other, Int(size)) != 0 { throw HarnessError("truncate \(other)") }
        }
    }

    private func start(_ program: String, _ name: String, _ files: [String]) throws {
        let said = try Scratch()
        saying.append(said)
        members[name] = try Child(
            [program, name, "\(Self.user)", files[0], "\(HostileELF.codePlace)"] + files.dropFirst(),
            Child.Streams(input: nil, output: said.descriptor, errors: nil))
    }

    /// Those that have ended.
    var lost: [String] { members.filter { $0.value.end() != nil }.map(\.key) }
}

/// A stack of whatever command.
private struct NamedStack: Decodable {
    struct Frame: Decodable { let function: String? }
    let type: String
    let comm: String?
    let frames: [Frame]?

    var isNamed: Bool {
        // Code of the crowd's file, of the program, of libc.
        let functions = frames?.compactMap(\.function) ?? []
        return functions.contains("trampoline") && functions.contains("main")
            && functions.contains { $0.hasPrefix("__libc_start") }
    }
}

extension EndToEnd {
    /// No file ends a trace, nor does one take the names of others.
    @Suite(.serialized) struct HostileFileTests {
        private func stacks(_ output: String) throws -> [NamedStack] {
            try output.split(separator: "\n").filter { $0.hasPrefix("{") }
                .map { try JSONDecoder().decode(NamedStack.self, from: Data($0.utf8)) }
                .filter { $0.type == "stack" }
        }

        @Test(arguments: [
            ["profile", "-F", "999"], ["offcputime"], ["stackcount", "-P", "c:getppid"],
        ])
        func theWholeMachine(command: [String]) throws {
            let crowd = try Crowd()
            let result = try Finished(
                [Harness.apus] + command + ["--json", "--duration", "4", "--uid", "\(Crowd.user)"],
                patience: 120)
            #expect(result.end == .exited(0), "\(result.errors.suffix(2000))")
            let stacks = try stacks(result.text)
            let met = Set(stacks.compactMap(\.comm))
            #expect(Set(Crowd.kinds).subtracting(met).isEmpty, "they were not met")
            let behaved = stacks.filter { $0.comm == Crowd.behaved }
            #expect(behaved.contains { $0.isNamed }, "\(behaved)")
            #expect(crowd.lost == [])
        }

        @Test func oneByOne() throws {
            let crowd = try Crowd()
            var waiting = crowd.members.map { ($0.key, $0.value.pid) }
            // As many at a time as the machine takes.
            while !waiting.isEmpty {
                let running = try waiting.prefix(8).map { name, pid in (name, try Memleak(pid)) }
                waiting.removeFirst(running.count)
                for (name, run) in running {
                    let end = run.child.wait(patience: 120)
                    let said = String(decoding: try run.errors.contents().suffix(2000), as: UTF8.self)
                    #expect(end == .exited(0), "\(name): \(said)")
                    let stacks = try stacks(String(decoding: try run.output.contents(), as: UTF8.self))
                    #expect(stacks.contains { !($0.frames ?? []).isEmpty }, "\(name)")
                    if name == Crowd.behaved { #expect(stacks.contains { $0.isNamed }) }
                }
            }
            #expect(crowd.lost == [])
        }

        private final class Memleak {
            let child: Child
            let output: Scratch
            let errors: Scratch

            init(_ pid: pid_t) throws {
                output = try Scratch()
                errors = try Scratch()
                child = try Child(
                    [Harness.apus, "memleak", "--json", "-p", "\(pid)", "--duration", "2", "60"],
                    Child.Streams(input: nil, output: output.descriptor, errors: errors.descriptor))
            }
        }
    }
}
