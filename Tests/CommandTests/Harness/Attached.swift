// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A program that waits for lines on its stdin, and one that traces it.
final class Attached {
    let target: Child
    private let input: FileHandle
    private let said: Scratch
    let tracer: Child
    private let output: Scratch
    private let errors: Scratch

    init(
        _ words: [String], _ options: [String] = ["1"], through: [String] = [],
        format: [String] = ["--json", "-T", "1000"]
    ) throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw HarnessError("pipe: \(errno)") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        input = FileHandle(fileDescriptor: ends[1], closeOnDealloc: true)
        said = try Scratch()
        target = try Child(
            through + words, Child.Streams(input: ends[0], output: said.descriptor, errors: nil))
        close(ends[0])
        output = try Scratch()
        errors = try Scratch()
        let said = said
        try eventually("the program to begin", by: [target]) {
            String(decoding: try said.contents(), as: UTF8.self).contains("ready")
        }
        tracer = try Child(
            [Harness.apus, "memleak", "-p", "\(target.pid)"] + format + options,
            Child.Streams(input: nil, output: output.descriptor, errors: errors.descriptor))
        try waitFor("attaching")
    }

    func waitFor(_ text: String) throws {
        do {
            try eventually("'\(text)' on stderr", by: [target, tracer]) { try complaints().contains(text) }
        } catch {
            throw HarnessError("\(error); stderr: \(try complaints())")
        }
    }

    func complaints() throws -> String { String(decoding: try errors.contents(), as: UTF8.self) }

    func printed() throws -> String { String(decoding: try said.contents(), as: UTF8.self) }

    func sendLine(_ line: String = "") throws { try input.write(contentsOf: Data("\(line)\n".utf8)) }

    /// For programs that answer each line with itself once they have done what it says.
    func obey(_ line: String) throws {
        func answers() throws -> Int { try printed().split(separator: "\n").filter { $0 == line }.count }
        let before = try answers()
        try sendLine(line)
        try eventually("an answer to '\(line)'", by: [target]) { try answers() > before }
    }

    /// Waits until the program has printed a text.
    func waitUntilItPrints(_ text: String) throws {
        try eventually("'\(text)' of the program", by: [target]) { try printed().contains(text) }
    }

    func reported() throws -> String { String(decoding: try output.contents(), as: UTF8.self) }

    /// Ends the tracer, and then the program.
    func interrupt() throws -> String {
        tracer.send(SIGINT)
        let end = tracer.wait(patience: 60)
        guard end == .exited(0) else { throw HarnessError("\(end): \(try complaints())") }
        try input.close()
        guard target.wait() == .exited(0) else { throw HarnessError(target.fate) }
        return try reported()
    }

    /// Waits until the program has said how its work ended, lets it end, and the tracer with it.
    func finish(after text: String) throws -> String {
        try waitUntilItPrints(text)
        try input.close()
        let end = tracer.wait(patience: 60)
        guard end == .exited(0) else { throw HarnessError("\(end): \(try complaints())") }
        guard target.wait() == .exited(0) else { throw HarnessError(target.fate) }
        return String(decoding: try output.contents(), as: UTF8.self)
    }
}
