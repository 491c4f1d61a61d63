// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Testing

@testable import Commands

private let names = Toolkit.commands.map { $0.configuration.commandName ?? "" }

/// What holds for every command that traces.
@Suite struct ToolkitTests {
    private func command(_ name: String) throws -> any TracingCommand.Type {
        try #require(Toolkit.commands.first { $0.configuration.commandName == name })
    }

    @Test func everyCommandHasANameOfItsOwn() {
        #expect(!names.isEmpty)
        #expect(Set(names).count == names.count)
        #expect(!names.contains(""))
        // The name of a link to the executable, too.
        #expect(names.allSatisfy { $0.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "-" } })
    }

    /// The list is made by make: a folder that is newer than it has no command yet.
    @Test func everyFolderIsACommand() throws {
        let root = Harness.packageRoot.appendingPathComponent("Sources/Commands").path
        let folders = try FileManager.default.subpathsOfDirectory(atPath: root).filter { path in
            path.split(separator: "/").count == 2 && !path.hasSuffix(".swift")
        }
        #expect(!folders.isEmpty)
        #expect(Toolkit.folders.flatMap(\.commands).count == folders.count, "make bpf writes the list anew")
    }

    /// Sorting them says which is which.
    @Test func noTwoHaveOnePlace() {
        for (_, commands) in Toolkit.folders {
            let places = commands.map { $0.place }.filter { $0 != .max }
            #expect(Set(places).count == places.count)
        }
        let places = Toolkit.folders.map { $0.area.place }.filter { $0 != .max }
        #expect(Set(places).count == places.count)
    }

    @Test func everyCommandOfAGroupTraces() {
        #expect(Toolkit.groups.flatMap { $0.subcommands }.count == names.count)
    }

    @Test(arguments: names)
    func helpSaysWhatItDoesAndWhatItCosts(name: String) throws {
        let configuration = try command(name).configuration
        #expect(configuration.abstract.hasSuffix("."))
        #expect(configuration.discussion.contains("OVERHEAD: "))
        // A line of the list of commands.
        #expect(configuration.abstract.count <= 80)
        #expect(!configuration.abstract.contains("\n"))
    }

    @Test(arguments: names)
    func commonOptionsAreUnderstood(name: String) throws {
        let parsed = try command(name).parse([
            "--json", "--duration", "2.5", "--buffer-size", "1M", "--dry-run", "-v", "--btf", "/x",
        ])
        let common = parsed.common
        #expect(common.json && common.dryRun && common.verbose)
        #expect(common.duration == 2.5)
        #expect(common.bufferSize == 1 << 20)
        #expect(common.btf == "/x")
    }

    /// But memleak is about one process, or the kernel.
    @Test(arguments: names.filter { $0 != "memleak" })
    func targetsAreUnderstood(name: String) throws {
        let parsed = try command(name).parse([
            "-p", "1,2", "--tid", "3", "--comm", "x", "--cgroup", "/a", "--container", "web", "--follow",
            "--",
            "ls", "-l",
        ])
        let targets = parsed.targets
        #expect(targets.processes == IDList(ids: [1, 2]))
        #expect(targets.threads == IDList(ids: [3]))
        #expect(targets.comm == "x")
        #expect(targets.cgroup == "/a")
        #expect(targets.container == "web")
        #expect(targets.follow)
        #expect(targets.command == ["ls", "-l"])
    }

    @Test(arguments: names)
    func isReachedThroughTheExecutable(name: String) throws {
        let parsed = try Apus.parseAsRoot([name, "--json"])
        #expect(type(of: parsed).configuration.commandName == name)
        #expect((parsed as? any TracingCommand)?.common.json == true)
    }

    @Test(arguments: names)
    func theHelpOfTheExecutableListsIt(name: String) {
        #expect(Apus.helpMessage(columns: 200).contains("  \(name) "))
    }
}
