// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser
internal import CSupport
internal import Glibc
internal import Reading
internal import Reporting

/// Runs the command that the arguments, or the name of the link we were called through, ask for.
///
/// - Returns: the exit status: 0, 1 for a failure at run time, 64 for wrong usage (EX_USAGE of sysexits.h).
package func runApus(_ arguments: [String]) -> Int32 {
    apus_fill_standard_descriptors()
    if arguments == [ReaderService.name] || arguments == [ReaderService.demanglerName] {
        return ReaderService.run(as: arguments[0])
    }
    Reader.enable()
    let link = arguments.first?.split(separator: "/").last.map(String.init) ?? "apus"
    let command: any ParsableCommand.Type =
        Toolkit.commands.first { $0.configuration.commandName == link } ?? Apus.self
    return run(command, name: command.configuration.commandName ?? link, Array(arguments.dropFirst()))
}

private func run(_ command: any ParsableCommand.Type, name: String, _ arguments: [String]) -> Int32 {
    do {
        return try perform(command, name: name, arguments)
    } catch Output.WriteError.failed(let code) {
        let reason = errnoName(code) ?? "error \(code)"
        writeError("\(messageName(name, arguments)): cannot write the output: \(reason)")
        return 1
    } catch {
        // Whoever read our output has seen enough.
        return 0
    }
}

/// - Throws: `WriteError`; all else is said here.
private func perform(
    _ command: any ParsableCommand.Type, name: String, _ arguments: [String]
) throws(Output.WriteError) -> Int32 {
    if command == Apus.self, let complaint = CommandNames.complaint(arguments.first) {
        writeError("\(name): \(complaint)")
        return ExitCode.validationFailure.rawValue
    }
    // Of the commands by their own names, too.
    if arguments.last == "--version", arguments.count == 1 || command == Apus.self && arguments.count == 2 {
        try writeOutput([apusFullVersion])
        return 0
    }
    do {
        var parsed = try command.parseAsRoot(arguments)
        // An empty variable behind it would have the whole machine traced.
        if arguments.last == "--", (parsed as? any TracingCommand)?.targets.command.isEmpty ?? false {
            throw ValidationError("there is no command behind '--': give one, or leave out '--'.")
        }
        try parsed.run()
        return 0
    } catch let error as Output.WriteError {
        throw error
    } catch let failure as CommandFailure {
        writeError("\(messageName(name, arguments)): \(failure)")
        return 1
    } catch let exit as ExitCode {
        // What there is to say has been said.
        return exit.rawValue
    } catch {
        let status = command.exitCode(for: error)
        if status == .success {
            // Help and version were asked for: they are the output.
            try writeOutput([command.fullMessage(for: error)])
            return 0
        }
        writeError(
            "\(messageName(name, arguments)): \(usageSentence(command.message(for: error))) (--help shows the options)"
        )
        return status.rawValue
    }
}

/// Writes lines to standard output.
func writeOutput(_ lines: [String]) throws(Output.WriteError) {
    let output = Output()
    output.collect(lines)
    try output.flush()
}

/// "opensnoop" also for `apus opensnoop`.
private func messageName(_ name: String, _ arguments: [String]) -> String {
    guard name == "apus", let first = arguments.first,
        Toolkit.commands.contains(where: { $0.configuration.commandName == first })
    else { return name }
    return first
}

/// The parser's message as one plain sentence: for a value that we refused, our own reason alone.
private func usageSentence(_ message: String) -> String {
    // "The value 'abc' is invalid for '-p <pid,…>': REASON", or '<seconds>' for an argument without a name
    let line = message.split(separator: "\n").first.map(String.init) ?? message
    let sentence = line.hasSuffix(".") ? String(line.dropLast()) : line
    let marker = " is invalid for '"
    guard let start = offset(of: marker, in: sentence, from: 0) else { return sentence }
    let option = start + marker.utf8.count
    guard let end = offset(of: "': ", in: sentence, from: option) else { return sentence }
    let name = sentence.utf8.dropFirst(option).prefix { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "'") }
    return "\(Substring(name)): \(Substring(sentence.utf8.dropFirst(end + 3)))"
}

/// Where `part` next begins in `text`, in bytes. (The library's search would link its regular expressions.)
private func offset(of part: String, in text: String, from start: Int) -> Int? {
    let text = Array(text.utf8)
    let part = Array(part.utf8)
    guard text.count >= start + part.count else { return nil }
    return (start...text.count - part.count).first { text[$0..<$0 + part.count].elementsEqual(part) }
}
