// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import Reporting
internal import Tracing

/// What can be traced here.
package struct ProbesCommand: ListedCommand {
    package static let place = 2
    package static let configuration = CommandConfiguration(
        commandName: "probes",
        abstract: "List what can be traced: tracepoints, functions, USDT probes, events.",
        discussion: probesDiscussion)

    @Argument(
        help: ArgumentHelp("What to list; without it, all of the kernel.", valueName: "pattern"),
        transform: parseProbePattern)
    package var pattern: ProbePattern?

    @Option(
        name: [.customShort("p", allowingJoined: true), .customLong("pid")], parsing: .unconditional,
        help: ArgumentHelp(
            "The user functions and USDT probes of the files that this process has mapped.", valueName: "pid"),
        transform: parseProcess)
    package var process: Int32?

    @Flag(name: .shortAndLong, help: "Also the arguments: type, offset, size, and what values stand for.")
    package var verbose = false

    @Flag(name: .customLong("json"), help: "Print one JSON object a line.")
    package var json = false

    @Option(
        name: .customLong("btf"),
        help: ArgumentHelp("Read the kernel's types from this file.", valueName: "path"))
    package var btf: String?

    package init() {}

    package func validate() throws {
        guard let pattern, process == nil, pattern.scope == nil, pattern.kinds.isSubset(of: [.uprobe, .usdt])
        else { return }
        throw ValidationError(
            "'\(escaped(pattern.text))' names no file: write u:FILE:NAME, or choose a process with -p.")
    }

    package func run() throws {
        LibbpfLog.install(verbose: false)
        do {
            let listing = ProbeListing(self)
            try listing.print()
            guard listing.printed == 0 else { return }
        } catch let error as BPFError {
            throw CommandFailure(error.description)
        }
        guard let pattern else {
            let place =
                process.map { "the files of process \($0) have no functions or" } ?? "this kernel has no"
            throw CommandFailure("\(place) probes that we can read")
        }
        throw CommandFailure(
            "nothing here matches '\(escaped(pattern.text))'" + (process.map { " in process \($0)" } ?? ""))
    }
}

/// The ID of one process.
func parseProcess(_ text: String) throws -> Int32 {
    let ids = try parseIDs(text).ids
    guard ids.count == 1 else { throw ValidationError("give one process ID.") }
    return ids[0]
}

let probesDiscussion = """
    Lists places that programs can be attached to, by name: KIND:NAME, sorted in each kind. Kinds are tracepoint (t), \
    rawtracepoint (rt), kprobe (k, functions of the kernel), uprobe (functions of a file), usdt (probes that a \
    program's authors have put into it; u stands for both), software (s) and hardware (h). * ? and [a-z] stand for \
    any text, a character, one of these. A pattern without a kind is looked for in all of the kernel's names.

    OUTPUT: One name a line. With -v the arguments are below it: of tracepoints with type, offset and size in the \
    record, and the names of values and flags; of functions and raw tracepoints as C declares them; of user \
    functions and USDT probes the place in the file. With --json each line is an object with probe, kind, category or \
    file, name and, with -v, arguments and result. On stderr: which kinds this kernel cannot trace, and what it needs.

    EXAMPLES: What does the kernel's file system layer offer?

        apus probes 'kprobe:vfs_*'

    What does this tracepoint tell?

        apus probes -v tracepoint:syscalls:sys_enter_write

    Which functions and probes does a file, or a process, have?

        apus probes 'u:/bin/bash:read*'
        apus probes -p 1234 'usdt:*'
        apus probes 'u:c:*alloc*'

    OVERHEAD: None: nothing is traced.

    LIMITS: Tracepoints are listed in tracefs, which usually only root can read; it need not be mounted. Without it \
    the kernel's types still have raw tracepoints. Functions of modules have no signature. Functions of the kernel \
    are those that it lists as traceable, where it does, else all of /proc/kallsyms, of which some cannot be traced. \
    Names of C++ and Rust are as the linker has them.

    COMPATIBILITY: Patterns are those of bpftrace -l and of BCC's tplist and funccount.
    """
