// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser

/// A command whose rows are processes. `-t` is the time there, as in BCC, and threads are chosen with `--tid` alone.
package protocol ProcessCommand: TracingCommand {
    var longTargets: LongTargetOptions { get set }
    var userOption: UserOption { get }
}

extension ProcessCommand {
    package var user: UInt32? { userOption.user }

    package var targets: TargetOptions {
        get { TargetOptions(longTargets) }
        set { longTargets = LongTargetOptions(newValue) }
    }
}

/// What can be shown of a process besides what its row is about.
package struct TaskDisplay: ParsableArguments {
    @Flag(name: [.customShort("U"), .customLong("print-uid")], help: "Show the user's ID.")
    package var user = false

    @Flag(name: .customLong("print-cgroup"), help: "Show the path of the process's cgroup (v2).")
    package var cgroup = false

    @Flag(name: .customLong("print-container"), help: "Show the name of the process's container.")
    package var container = false

    package init() {}

    /// Whether programs have to find out a process's cgroup.
    func needsCgroup(_ common: CommonOptions) -> Bool { cgroup || container || common.json }
}
