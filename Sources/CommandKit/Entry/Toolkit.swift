// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser

/// The commands, by the question they answer: those whose folders `make bpf` has found.
enum Toolkit {
    /// Those that have a question, in the order of the help.
    static let groups: [CommandGroup] = areas.compactMap { area, commands in
        area.question.map { CommandGroup(name: $0, subcommands: commands) }
    }

    /// Those of areas without one.
    static let others: [any ParsableCommand.Type] = areas.filter { $0.area.question == nil }.flatMap(
        \.commands)

    private static var areas: [(area: any CommandArea.Type, commands: [any ListedCommand.Type])] {
        folders.map { area, commands in
            (area, commands.sorted { ($0.place, name(of: $0)) < ($1.place, name(of: $1)) })
        }.sorted { ($0.area.place, $0.area.question ?? "") < ($1.area.place, $1.area.question ?? "") }
    }

    private static func name(of command: any ListedCommand.Type) -> String {
        command.configuration.commandName ?? ""
    }

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
        subcommands: Toolkit.others,
        groupedSubcommands: Toolkit.groups)

    @Flag(help: ArgumentHelp("Print the names of all tracing commands, one a line.", visibility: .hidden))
    package var listCommands = false

    package init() {}

    package func run() throws {
        guard listCommands else { throw CleanExit.helpRequest(self) }
        try writeOutput(Toolkit.commands.map { $0.configuration.commandName ?? "" })
    }
}
