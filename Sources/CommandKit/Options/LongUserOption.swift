// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser

/// The user filter of commands in which -u means something else.
package struct LongUserOption: ParsableArguments {
    @Option(
        name: .customLong("uid"), parsing: .unconditional,
        help: ArgumentHelp("Only tasks of this user: a number or a name.", valueName: "user"),
        transform: parseUser)
    package var user: UInt32?

    package init() {}
}
