// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Testing

@testable import Commands

/// The command lines in the documentation of BCC, libbpf-tools and bpftrace, which fingers know: a command takes those
/// of its name. Tests/Commands/AREA/NAME/peer-lines.tsv has them, a line each, with tabs between the words.
@Suite struct PeerLineTests {
    /// Lines that are not taken, and why.
    private static let others: [String: String] = [
        "opensnoop -c": "the documentation leaves out the value",
        "execsnoop -u user": "this user is not there; a name that is, is taken",
    ]

    private func lines() throws -> [(command: any TracingCommand.Type, words: [String])] {
        let root = Harness.packageRoot.appendingPathComponent("Tests/Commands").path
        let files = try FileManager.default.subpathsOfDirectory(atPath: root)
            .filter { $0.hasSuffix("/peer-lines.tsv") }
        return try files.sorted().flatMap { file in
            let name = file.split(separator: "/").dropLast().last.map(String.init)
            let command = try #require(Toolkit.commands.first { $0.configuration.commandName == name })
            return try String(contentsOfFile: root + "/" + file, encoding: .utf8)
                .split(separator: "\n", omittingEmptySubsequences: false).dropLast()
                .map { (command, $0.split(separator: "\t").map(String.init)) }
        }
    }

    @Test func everyLineIsTaken() throws {
        let lines = try lines()
        #expect(Set(lines.map { $0.command.configuration.commandName }).count >= 14)
        var refused: Set<String> = []
        for (command, words) in lines {
            do {
                _ = try command.parseAsRoot(words)
            } catch  where command.exitCode(for: error) == .success {
                // Help was asked for.
            } catch {
                let line = ([command.configuration.commandName ?? ""] + words).joined(separator: " ")
                refused.insert(line)
                #expect(Self.others[line] != nil, "\(line): \(command.message(for: error))")
            }
        }
        #expect(refused == Set(Self.others.keys), "what is taken now needs no reason")
    }
}
