// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import Reporting

/// Whose allocations of the kernel count: those that it makes while one of these tasks runs.
package struct KernelTaskOptions: ParsableArguments {
    @Option(
        name: .customLong("tid"), parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Only these threads.", valueName: "tid,…"), transform: parseIDs)
    package var threadLists: [IDList] = []

    package var threads: IDList? {
        get { IDList(threadLists) }
        set { threadLists = newValue.map { [$0] } ?? [] }
    }

    package func validate() throws { try IDList.requireFew(threadLists) }

    @Option(
        help: ArgumentHelp("Only tasks with this text in their name.", valueName: "text"),
        transform: parseComm)
    package var comm: String?

    @Option(help: ArgumentHelp("Only tasks in this cgroup (v2) or below it.", valueName: "path"))
    package var cgroup: String?

    @Option(help: ArgumentHelp("Only tasks in this container.", valueName: "name|id-prefix"))
    package var container: String?

    @OptionGroup var userOption: LongUserOption

    package init() {}

    /// The first that was given, as it is spelled.
    var chosen: String? {
        if threads != nil { return "--tid" }
        if comm != nil { return "--comm" }
        if cgroup != nil { return "--cgroup" }
        if container != nil { return "--container" }
        return userOption.user != nil ? "--uid" : nil
    }
}

func parsePositive(_ text: String) throws -> Int {
    guard let count = Int(text), count > 0, count <= 1 << 31 else {
        throw ValidationError("invalid count '\(escaped(text))': expected a positive number.")
    }
    return count
}

func parseRate(_ text: String) throws -> UInt32 {
    guard let rate = UInt32(text), rate > 0 else {
        throw ValidationError("invalid sampling rate '\(escaped(text))': expected a positive number.")
    }
    return rate
}

/// A byte count that may be 0.
func parseSize(_ text: String) throws -> UInt64 { text == "0" ? 0 : try parseByteCount(text) }

func parseMilliseconds(_ text: String) throws -> UInt64 {
    guard let value = UInt64(text), value <= 1 << 43 else {
        throw ValidationError("invalid age '\(escaped(text))': expected milliseconds.")
    }
    return value
}

/// Words of a command line, with quotes and backslashes as in a shell, and nothing else of one.
func parseWords(_ text: String) throws -> [String] {
    var words: [String] = []
    var word: String?
    var quote: Character?
    var isEscaped = false
    for character in text {
        if isEscaped {
            word = (word ?? "") + String(character)
            isEscaped = false
        } else if character == "\\", quote != "'" {
            isEscaped = true
        } else if let open = quote {
            if character == open { quote = nil } else { word = (word ?? "") + String(character) }
        } else if character == "'" || character == "\"" {
            quote = character
            word = word ?? ""
        } else if character.isWhitespace {
            if let complete = word { words.append(complete) }
            word = nil
        } else {
            word = (word ?? "") + String(character)
        }
    }
    if let word { words.append(word) }
    guard quote == nil, !isEscaped, !words.isEmpty, words[0] != "" else {
        throw ValidationError(
            "invalid command '\(escaped(text))': a name is missing, or the end of a quotation.")
    }
    return words
}
