// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A run of a command whose output goes to files.
final class TracedRun {
    private let child: Child
    private let output: Scratch
    private let errors: Scratch

    var pid: pid_t { child.pid }

    /// - Parameters:
    ///   - command: which command of ours.
    ///   - through: a command in front, such as setpriv with its options.
    init(
        _ arguments: [String], command: String = "opensnoop", through: [String] = [], input: Int32? = nil
    ) throws {
        output = try Scratch()
        errors = try Scratch()
        child = try Child(
            through + [Harness.apus, command] + arguments,
            Child.Streams(input: input, output: output.descriptor, errors: errors.descriptor))
    }

    /// Waits until a text stands in the output; `poke` is called before each look.
    func wait(for text: String, poke: () throws -> Void = {}) throws {
        let needle = Data(text.utf8)
        var seen = Data()
        var offset = 0
        do {
            try eventually("'\(text)' in the output", by: [child]) {
                try poke()
                let more = try output.contents(from: offset)
                offset += more.count
                // What was looked through stays only as far as the text may have begun in it.
                seen = seen.suffix(needle.count) + more
                return seen.range(of: needle) != nil
            }
        } catch {
            let said = String(decoding: try errors.contents(), as: UTF8.self)
            throw HarnessError("\(error); stderr: \(said)")
        }
    }

    /// Waits until probes are attached, by opening a path of its own until that is seen.
    func waitUntilAttached(_ sentinel: Sentinel) throws {
        try wait(for: sentinel.path) { try sentinel.open(sentinel.path) }
    }

    func send(_ signal: Int32) { child.send(signal) }

    /// Waits for a number that the command behind -- prints at the end of a line.
    func number(behind text: String) throws -> Int32 {
        var number: Int32?
        try eventually("'\(text)' and a number", by: [child]) {
            let lines = String(decoding: try output.contents(), as: UTF8.self).components(separatedBy: "\n")
            number =
                lines.dropLast().lazy.filter { $0.hasPrefix(text) }
                .compactMap { Int32($0.dropFirst(text.count)) }.first
            return number != nil
        }
        return number ?? 0
    }

    /// Waits until a text stands in standard error.
    func waitUntilItSays(_ text: String) throws {
        func said() throws -> String { String(decoding: try errors.contents(), as: UTF8.self) }
        do {
            try eventually("'\(text)' on stderr", by: [child]) { try said().contains(text) }
        } catch {
            throw HarnessError("\(error); stderr: \(try said())")
        }
    }

    /// Waits for the end, which something else brings about.
    func finish(patience: TimeInterval = Harness.patience) throws -> Outcome {
        let end = child.wait(patience: patience)
        return Outcome(
            end: end, output: try output.contents(),
            errors: String(decoding: try errors.contents(), as: UTF8.self))
    }
}

/// A path that nothing else opens, and who opens it to find out whether a run is attached.
struct Sentinel {
    let path: String
    let open: (String) throws -> Void

    /// - Parameter name: for runs that select by path. The folder does not exist, so every open fails.
    init(_ name: String = "sentinel", open: @escaping (String) throws -> Void) {
        path = "/apus-\(UUID().uuidString)/\(name)"
        self.open = open
    }

    /// Opened by the process of the tests.
    static var own: Sentinel {
        Sentinel { path in
            let descriptor = Foundation.open(path, O_RDONLY | O_CLOEXEC)
            if descriptor >= 0 { close(descriptor) }
        }
    }
}

/// Traces while `body` runs: waits until probes are attached, and ends with SIGINT.
func trace(
    _ arguments: [String] = [], sentinel: Sentinel = .own, json: Bool = true, through: [String] = [],
    patience: TimeInterval = Harness.patience, body: () throws -> Void
) throws -> Outcome {
    let run = try TracedRun((json ? ["--json"] : []) + arguments, through: through)
    try run.waitUntilAttached(sentinel)
    try body()
    run.send(SIGINT)
    return try run.finish(patience: patience)
}

/// The same where the agent's opens are those that pass the filter.
func trace(_ arguments: [String], by agent: Agent, body: () throws -> Void) throws -> Outcome {
    try trace(arguments, sentinel: agent.sentinel, body: body)
}
