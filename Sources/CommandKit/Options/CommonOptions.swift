// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import Reporting

/// What every command understands.
package struct CommonOptions: ParsableArguments {
    @Option(
        name: .customLong("duration"), parsing: .unconditional,
        help: ArgumentHelp("End after this many seconds.", valueName: "seconds"),
        transform: parseSeconds)
    package var duration: Double?

    @Flag(name: .customLong("json"), help: "Print one JSON object a line instead of a table.")
    package var json = false

    @Option(
        name: .customLong("buffer-size"), parsing: .unconditional,
        help: ArgumentHelp(
            "Bytes of the buffer between the kernel and apus, such as 64M; rounded up to a power of two.",
            valueName: "bytes"),
        transform: parseByteCount)
    package var bufferSize: UInt64?

    @Flag(name: .customLong("dry-run"), help: "Load and attach everything, then detach and exit.")
    package var dryRun = false

    @Option(
        name: .customLong("btf"),
        help: ArgumentHelp(
            "Read the kernel's types from this file, where /sys/kernel/btf/vmlinux is missing.",
            valueName: "path"))
    package var btf: String?

    @Flag(name: .shortAndLong, help: "Print diagnostic details to stderr.")
    package var verbose = false

    package init() {}

    /// Takes over a command's own spelling of --duration.
    mutating func setDuration(_ seconds: Double?) throws {
        guard let seconds else { return }
        guard duration == nil else { throw ValidationError("the duration was given twice.") }
        duration = seconds
    }
}

/// How the option is spelled that chooses threads: some commands need its letter for something else.
package protocol ThreadOptionNames: Sendable {
    static var names: NameSpecification { get }
}

package enum UsualThreadOption: ThreadOptionNames {
    package static var names: NameSpecification {
        [.customShort("t", allowingJoined: true), .customLong("tid")]
    }
}

package enum LongThreadOption: ThreadOptionNames {
    package static var names: NameSpecification { .customLong("tid") }
}

package typealias TargetOptions = Targets<UsualThreadOption>
/// The same for a command whose `-t` is another option, as it is in BCC.
package typealias LongTargetOptions = Targets<LongThreadOption>

/// Which tasks a command looks at. All conditions must hold; processes and threads add up.
package struct Targets<ThreadOption: ThreadOptionNames>: ParsableArguments {
    @Option(
        name: [.customShort("p", allowingJoined: true), .customLong("pid")],
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "Only these processes; the ID of another thread means that thread.", valueName: "pid,…"),
        transform: parseIDs)
    package var processLists: [IDList] = []

    package var processes: IDList? {
        get { IDList(processLists) }
        set { processLists = newValue.map { [$0] } ?? [] }
    }

    @Option(
        name: ThreadOption.names, parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Only these threads.", valueName: "tid,…"),
        transform: parseIDs)
    package var threadLists: [IDList] = []

    package var threads: IDList? {
        get { IDList(threadLists) }
        set { threadLists = newValue.map { [$0] } ?? [] }
    }

    @Option(
        name: [.customLong("comm")],
        help: ArgumentHelp("Only tasks with this text in their name.", valueName: "text"),
        transform: parseComm)
    package var comm: String?

    /// Set by commands whose own option asks for names that begin with the text.
    package var commIsPrefix = false

    @Option(
        name: .customLong("cgroup"),
        help: ArgumentHelp(
            "Only tasks in this cgroup (v2) or below it: a directory, or a path as in /proc/PID/cgroup.",
            valueName: "path"))
    package var cgroup: String?

    @Option(
        name: .customLong("cgroupmap"),
        help: ArgumentHelp(
            "Only tasks in a cgroup whose ID is a key of this pinned BPF map.", valueName: "path"))
    package var cgroupMap: String?

    @Option(
        name: .customLong("mntnsmap"),
        help: ArgumentHelp(
            "Only tasks in a mount namespace whose inode number is a key of this pinned BPF map.",
            valueName: "path"))
    package var mountNamespaceMap: String?

    @Option(
        name: .customLong("container"),
        help: ArgumentHelp(
            "Only tasks in this container of docker, podman, containerd, Kubernetes, LXC or systemd-nspawn.",
            valueName: "name|id-prefix"))
    package var container: String?

    @Flag(name: .customLong("follow"), help: "Also the children that the chosen processes start from now on.")
    package var follow = false

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp(
            "Behind --: run this command, trace it from its first instruction, and end with it.",
            valueName: "command"))
    package var command: [String] = []

    package init() {}

    package func validate() throws {
        try IDList.requireFew(processLists)
        try IDList.requireFew(threadLists)
    }

    /// The same choice under other names.
    init<Other: ThreadOptionNames>(_ other: Targets<Other>) {
        processes = other.processes
        threads = other.threads
        comm = other.comm
        commIsPrefix = other.commIsPrefix
        cgroup = other.cgroup
        cgroupMap = other.cgroupMap
        mountNamespaceMap = other.mountNamespaceMap
        container = other.container
        follow = other.follow
        command = other.command
    }

    /// Takes over the short spelling of --cgroup.
    mutating func setCgroup(_ path: String?) throws {
        guard let path else { return }
        guard cgroup == nil else { throw ValidationError("-c and --cgroup mean the same: give one of them.") }
        cgroup = path
    }

}

/// The short name of --cgroup, apart from the others because some commands of BCC use the letter for something else.
package struct ShortCgroupOption: ParsableArguments {
    @Option(
        name: .customShort("c", allowingJoined: true),
        help: ArgumentHelp("The same as --cgroup.", valueName: "path"))
    package var cgroup: String?

    package init() {}

    /// The path, for once.
    mutating func take() -> String? {
        defer { cgroup = nil }
        return cgroup
    }
}

/// The user filter, apart from the others because commands of BCC differ in its short name.
package struct UserOption: ParsableArguments {
    @Option(
        name: [.customShort("u", allowingJoined: true), .customLong("uid")], parsing: .unconditional,
        help: ArgumentHelp("Only tasks of this user: a number or a name.", valueName: "user"),
        transform: parseUser)
    package var user: UInt32?

    package init() {}
}
