// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser

/// The commands, by the question they answer.
enum Toolkit {
    static let groups: [CommandGroup] = [
        CommandGroup(
            name: "Which process opens or writes what", subcommands: [Opensnoop.self, Filetop.self]),
        CommandGroup(
            name: "Which process starts, and how it ends", subcommands: [Execsnoop.self, Exitsnoop.self]),
        CommandGroup(name: "Which system calls are made", subcommands: [Syscount.self]),
        CommandGroup(
            name: "Which functions and events are reached, and how long they take",
            subcommands: [Funccount.self, Stackcount.self, Funclatency.self]),
        CommandGroup(
            name: "Which thread waits for the CPU, and who runs instead",
            subcommands: [Runqslower.self, Runqlat.self, Cpudist.self]),
        CommandGroup(
            name: "Where time goes", subcommands: [ProfileCommand.self, Offcputime.self]),
        CommandGroup(name: "Where memory goes", subcommands: [Memleak.self]),
    ]

    /// Every command that traces.
    static var commands: [any TracingCommand.Type] {
        groups.flatMap { $0.subcommands.compactMap { $0 as? any TracingCommand.Type } }
    }
}

/// The executable: one command that holds all others.
package struct Apus: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "apus",
        abstract: "Ready-made tracing commands for Linux: which process, which line, which thread, how long.",
        discussion: """
            Each command also runs under its own name when apus is called through a link of that name.
            """,
        version: apusFullVersion,
        subcommands: [Check.self, ProbesCommand.self, FlameGraphCommand.self],
        groupedSubcommands: Toolkit.groups)

    @Flag(help: ArgumentHelp("Print the names of all tracing commands, one a line.", visibility: .hidden))
    package var listCommands = false

    package init() {}

    package func run() throws {
        guard listCommands else { throw CleanExit.helpRequest(self) }
        for command in Toolkit.commands { print(command.configuration.commandName ?? "") }
    }
}
