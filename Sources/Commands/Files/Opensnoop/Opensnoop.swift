// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Reporting
internal import Tracing

/// Which process opens which file.
package struct Opensnoop: TracingCommand {
    package static let place = 1
    package static let configuration = CommandConfiguration(
        commandName: "opensnoop",
        abstract: "Show which process opens which file, as it happens.",
        discussion: opensnoopDiscussion)

    @OptionGroup(title: "Which tasks") package var targets: TargetOptions
    @OptionGroup(title: "Which tasks") package var shortCgroup: ShortCgroupOption
    @OptionGroup(title: "Which tasks") package var userOption: UserOption
    @OptionGroup(title: "Which opens") package var selection: OpenSelection
    @OptionGroup(title: "What is shown") package var display: OpenDisplay
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package var user: UInt32? { userOption.user }

    package mutating func validate() throws {
        try targets.setCgroup(shortCgroup.take())
        if let name = selection.name {
            guard targets.comm == nil else {
                throw ValidationError("-n and --comm mean the same: give one of them.")
            }
            targets.comm = name
            selection.name = nil
        }
        try common.setDuration(selection.duration)
        selection.duration = nil
        if let pages = selection.bufferPages {
            guard common.bufferSize == nil else {
                throw ValidationError("--buffer-pages and --buffer-size mean the same: give one of them.")
            }
            common.bufferSize = UInt64(pages) * 4096
            selection.bufferPages = nil
        }
        if !selection.exec.isEmpty {
            guard targets.command.isEmpty else { throw ValidationError("give the command to run once.") }
            targets.command =
                selection.exec.first == "--" ? Array(selection.exec.dropFirst()) : selection.exec
        }
    }

    private var config: opensnoop_config {
        var config = opensnoop_config()
        for flag in selection.flags.map(OpenFlags.ownBits) {
            if flag == 0 {
                config.read_only = 1
            } else {
                config.flag_mask |= UInt32(truncatingIfNeeded: flag)
            }
        }
        config.failed_only = selection.failedOnly ? 1 : 0
        config.full_path = display.fullPath ? 1 : 0
        config.parent = display.parent || common.json ? 1 : 0
        config.cgroup = display.needsCgroup || common.json ? 1 : 0
        return config
    }

    package func trace(_ session: Session) throws {
        let choice = try ioUringPrograms(session)
        let object = try session.open("opensnoop")
        object.setConstant("opensnoop_config", to: config)
        let programs = [
            "io_uring_submitted", "io_uring_submitted_sqe", "io_uring_completed", "io_uring_completed_result",
        ]
        for program in programs where !choice.wanted.contains(program) { object.disable(program) }
        if choice.reason != nil {
            for program in ["io_uring_submitted_record", "io_uring_completed_record"] {
                object.disable(program)
            }
        }
        if let reason = choice.reason {
            session.explain("opens through io_uring are not shown: " + reason)
            try object.resize("io_uring_pending", to: 1)
        }
        let printer = OpenPrinter(display, json: common.json, path: selection.path)
        let loaded = try session.load(object)
        try session.run(
            loaded, of: "opens", ready: { try printer.heading(session.output) },
            record: { try printer.print($0, to: session.output) }, afterRound: printer.synchronizeClock)
    }

    /// The programs that fit how this kernel announces io_uring's requests, or why opens of io_uring cannot be seen.
    private func ioUringPrograms(_ session: Session) throws -> (wanted: Set<String>, reason: String?) {
        // Megabytes: gone again before libbpf reads them for itself.
        let kernel = try session.kernelTypes()
        var wanted: Set<String> = []
        var reason: String?
        if kernel.tracepointArguments("io_uring_submit_req") == 1 {
            wanted = ["io_uring_submitted"]
        } else if kernel.tracepointArguments("io_uring_submit_sqe") == 2 {
            wanted = ["io_uring_submitted_sqe"]
        } else {
            reason = "no tracepoint of this kernel says which request is submitted"
        }
        if !kernel.hasStruct("io_open") { reason = "this kernel's BTF does not describe struct io_open" }
        // (ctx, req, cqe) or (ctx, req, user_data, res, …)
        switch kernel.tracepointArguments("io_uring_complete") {
        case 3: wanted.insert("io_uring_completed")
        case .some(4...): wanted.insert("io_uring_completed_result")
        default: reason = "no tracepoint of this kernel says which request is complete"
        }
        return (reason == nil ? wanted : [], reason)
    }
}

/// Which opens are shown.
package struct OpenSelection: ParsableArguments {
    @Flag(name: [.customShort("x"), .customLong("failed")], help: "Only opens that failed.")
    package var failedOnly = false

    @Option(
        name: [
            .customShort("f", allowingJoined: true), .customLong("flag-filter"), .customLong("flag_filter"),
        ],
        help: ArgumentHelp(
            "Only opens with this flag, such as O_WRONLY; may be repeated: any of them.", valueName: "flag"),
        transform: parseOpenFlag)
    package var flags: [UInt64] = []

    @Option(
        name: .customLong("path"),
        help: ArgumentHelp(
            "Only paths, as shown, that match: * any text (also /), ? one byte, [a-z] [!a] sets, \\ quotes.",
            valueName: "glob"),
        transform: { try Glob($0) })
    package var path: Glob?

    @Option(
        name: [.customShort("n", allowingJoined: true), .customLong("name")],
        help: ArgumentHelp("The same as --comm.", valueName: "text"), transform: parseComm)
    package var name: String?

    @Option(
        name: .customShort("d", allowingJoined: true), parsing: .unconditional,
        help: ArgumentHelp("The same as --duration.", valueName: "seconds"), transform: parseSeconds)
    package var duration: Double?

    @Option(
        name: [.customShort("b", allowingJoined: true), .customLong("buffer-pages")], parsing: .unconditional,
        help: ArgumentHelp("The same as --buffer-size, in pages of 4096 bytes.", valueName: "pages"),
        transform: parsePages)
    package var bufferPages: UInt32?

    @Option(
        name: .customLong("exec"), parsing: .remaining,
        help: ArgumentHelp("The same as -- with a command.", valueName: "command"))
    package var exec: [String] = []

    package init() {}
}

/// What is shown of each open.
package struct OpenDisplay: ParsableArguments {
    @Flag(
        name: [.customShort("T"), .customLong("timestamp")],
        help: "Show the time of day, HH:MM:SS. (BCC's Python tool shows seconds since the first open.)")
    package var timestamp = false

    @Flag(name: [.customShort("U"), .customLong("print-uid")], help: "Show the user's ID.")
    package var userColumn = false

    @Flag(name: [.customShort("P"), .customLong("print-ppid")], help: "Show the parent process's ID.")
    package var parent = false

    @Flag(name: .customLong("print-tid"), help: "Show the thread's ID beside the process's.")
    package var threadColumn = false

    @Flag(name: .customLong("print-cgroup"), help: "Show the path of the caller's cgroup (v2).")
    package var cgroup = false

    @Flag(name: .customLong("print-container"), help: "Show the name of the caller's container.")
    package var container = false

    @Flag(
        name: [.customShort("e"), .customLong("extended-fields"), .customLong("extended_fields")],
        help: "Show flags and mode, in octal.")
    package var extended = false

    @Flag(
        name: [.customShort("F"), .customLong("full-path")],
        help: "Complete relative paths with the directory they start from, as seen from the caller's root.")
    package var fullPath = false

    package init() {}

    var needsCgroup: Bool { cgroup || container }
}

private func parseOpenFlag(_ text: String) throws -> UInt64 {
    guard let mask = OpenFlags.mask(named: text) else {
        throw ValidationError(
            "invalid flag of open(2) '\(escaped(text))': expected a name such as O_WRONLY or O_CREAT.")
    }
    return mask
}

private func parsePages(_ text: String) throws -> UInt32 {
    guard let pages = UInt32(text), pages > 0, pages <= 1 << 19 else {
        throw ValidationError("invalid number of pages '\(escaped(text))': expected 1 to \(1 << 19).")
    }
    return pages
}

let opensnoopDiscussion = """
    Prints a line for each open, openat, openat2 and creat of every process, 64-bit and 32-bit, when the call \
    returns, and for each open through io_uring where the kernel can show it. FD is the new descriptor, or -1; \
    ERR is the errno of a failure, or 0.

    OUTPUT: Control characters in names are shown as escapes (\\n, \\x1b), a backslash as two. With --json each \
    line is an object with time_ns (Unix time), uid, ppid, pid, tid, comm, fd, errno, error (its name), flags, \
    flag_names, mode (null where the call has none), call, dirfd, cgroup_id and path; path_hex is added where \
    the path is not UTF-8, incomplete where not all of it is known.

    EXAMPLES: What does nginx fail to open?

        opensnoop -n nginx -x

    Who writes to files below /etc, with full paths:

        opensnoop -F -f O_WRONLY -f O_RDWR --path '/etc/*'

    All files that a command reads from its first instruction on:

        opensnoop -- ls /tmp

    OVERHEAD: One small program runs at the return of every system call, and does more only for opens. \
    docs/benchmarks.md has figures.

    LIMITS: The path shown is the one that the caller passed; another thread may change it while the call runs. \
    -F completes it and does not follow symbolic links. The opens of execve, of the kernel itself and of \
    open_by_handle_at are not shown, nor those of io_uring before Linux 6.0, or with \
    IOSQE_CQE_SKIP_SUCCESS; to the flags of io_uring's opens the kernel has added O_LARGEFILE. apus does not show \
    its own opens.

    COMPATIBILITY: The options of BCC's opensnoop and of libbpf-tools' are there with their short names, but for \
    --callers. The table is that of libbpf-tools.
    """
