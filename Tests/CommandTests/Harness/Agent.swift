// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A text for the agent.
enum AgentPath {
    case bytes([UInt8])
    /// A pointer that leads nowhere.
    case bad

    static func text(_ text: String) -> AgentPath { .bytes(Array(text.utf8)) }

    fileprivate var word: String {
        switch self {
        case .bytes(let bytes): hexadecimal(bytes)
        case .bad: "!"
        }
    }
}

/// A process that makes the system calls it is told to make, and tells what came of them.
final class Agent {
    /// The kernel's AT_FDCWD.
    static let here: Int32 = -100

    private let child: Child
    private let commands = try? Pipe()
    private let answers = try? Pipe()

    var pid: Int32 { child.pid }
    var process: String { String(child.pid) }

    /// - Parameters:
    ///   - narrow: a 32-bit program; fails where the compiler cannot make one.
    ///   - through: a command in front, such as setpriv with its options.
    init(narrow: Bool = false, through: [String] = []) throws {
        guard let commands, let answers else { throw HarnessError("no pipes") }
        let program = try Harness.program("agent", options: narrow ? ["-m32", "-static"] : ["-static"])
        child = try Child(
            through + [program], Child.Streams(input: commands.reader, output: answers.writer, errors: 2))
        commands.closeReader()
        answers.closeWriter()
    }

    /// Sends a command and returns the answer.
    @discardableResult
    func tell(_ words: Any..., patience: TimeInterval = Harness.patience) throws -> String {
        guard let commands, let answers else { throw HarnessError("no pipes") }
        try commands.write(words.map { "\($0)" }.joined(separator: " ") + "\n")
        return try answers.line(by: child, patience: patience).trimmingCharacters(in: .whitespaces)
    }

    /// Sends a command that must succeed.
    func must(_ command: String, _ words: String...) throws {
        let answer = try tell(([command] + words).joined(separator: " "))
        guard let result = Int(answer), result >= 0 else {
            throw HarnessError("the agent's \(command): \(answer)")
        }
    }

    /// The same with a path.
    func must(_ command: String, path: String) throws { try must(command, hexadecimal(path.utf8)) }

    /// Opens a file and keeps it open.
    ///
    /// - Returns: the descriptor, or minus the errno.
    @discardableResult
    func open(
        _ path: AgentPath, call: String = "openat", flags: UInt64 = 0, mode: UInt32 = 0,
        directory: Int32 = Agent.here, int80: Bool = false
    ) throws -> Int {
        let answer = try tell(int80 ? "call32" : "call", call, directory, path.word, flags, mode)
        guard let result = Int(answer) else { throw HarnessError("the agent answers '\(answer)'") }
        return result
    }

    @discardableResult
    func open(
        _ path: String, call: String = "openat", flags: UInt64 = 0, mode: UInt32 = 0,
        directory: Int32 = Agent.here, int80: Bool = false
    ) throws -> Int {
        try open(
            .text(path), call: call, flags: flags, mode: mode, directory: directory, int80: int80)
    }

    /// What getcwd says.
    func currentDirectory() throws -> [UInt8] { bytes(hexadecimal: try tell("cwd")) }

    func target(ofLink path: String) throws -> [UInt8] {
        bytes(hexadecimal: try tell("link", hexadecimal(path.utf8)))
    }

    /// A new thread for each, waiting; returns their IDs.
    @discardableResult
    func startThreads(_ count: Int) throws -> [Int32] {
        try tell("threads", count).split(separator: " ").compactMap { Int32($0) }
    }

    /// Each thread, or the process if it has started none, opens PATH-TID-NUMBER for so many numbers.
    func openNumbered(_ count: Int, _ path: String) throws {
        try must("each", "\(count)", hexadecimal(path.utf8))
    }

    /// Seen by runs that show only this process.
    var sentinel: Sentinel { Sentinel { [self] in try self.open($0) } }

    /// Lets it end.
    func finish() -> End {
        commands?.closeWriter()
        return child.wait()
    }
}
