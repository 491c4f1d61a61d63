// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Glibc
internal import Reporting
internal import Tracing

/// Which process reads and writes which file.
package struct Filetop: TracingCommand {
    package static let configuration = CommandConfiguration(
        commandName: "filetop",
        abstract: "Show which process reads and writes which file, how often and how much.",
        discussion: filetopDiscussion)

    @Argument(
        help: "Print every so many seconds (1; with --duration or a command, once at the end).",
        transform: parseSeconds)
    package var interval: Double?

    @Argument(help: "End after so many prints.", transform: parseCount)
    package var count: Int?

    @Flag(
        name: [.customShort("a"), .customLong("all-files")],
        help: "Include sockets, pipes and devices.")
    package var allFiles = false

    @Option(
        name: .customLong("max-files"), parsing: .unconditional,
        help: ArgumentHelp("How many files, of each process, can be counted (65536).", valueName: "count"),
        transform: parseFileCount)
    package var maxFiles: UInt32 = 65_536

    @OptionGroup(title: "What is shown") package var display: FiletopDisplay
    @OptionGroup(title: "Which tasks") package var targets: TargetOptions
    @OptionGroup(title: "Which tasks") package var userOption: UserOption
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package var user: UInt32? { userOption.user }

    package func validate() throws {
        guard !(display.readOnly && display.writeOnly) else {
            throw ValidationError("--read-only and --write-only exclude each other: give one of them.")
        }
    }

    package func trace(_ session: Session) throws {
        let ioUring = try ioUringProgram(session)
        let object = try session.open("filetop")
        for program in ["io_uring_completed", "io_uring_completed_result"] where program != ioUring {
            object.disable(program)
        }
        if ioUring != "io_uring_completed" { object.disable("io_uring_completed_record") }
        var config = filetop_config()
        config.all = allFiles ? 1 : 0
        config.launched = session.launchedProcess.map { UInt32($0) } ?? 0
        if config.launched == 0 { object.disable("program_started") }
        object.setConstant("filetop_config", to: config)
        object.setConstant("file_calls", to: FiletopCalls.table)
        try object.resize("totals", to: maxFiles)
        let loaded = try session.load(object)
        let report = FiletopReport(session, display, count: count)
        let isOneReport = interval == nil && (common.duration != nil || session.launchedProcess != nil)
        try session.run(
            loaded, of: "names of files",
            lostTotals: "reads and writes are in no row: too many files; use a larger --max-files",
            ready: { session.say("tracing reads and writes; Ctrl-C to end") },
            interval: isOneReport ? nil : (interval ?? 1, { try report.print(loaded) }),
            record: { record in
                guard let event = FiletopEvent(record) else { return }
                report.name(event)
            },
            atEnd: { if report.wantsMore { try report.print(loaded) } })
    }

    /// The program that fits how this kernel announces what io_uring has done; nil if it does not say of which request.
    private func ioUringProgram(_ session: Session) throws -> String? {
        let kernel = try session.kernelTypes()
        switch kernel.tracepointArguments("io_uring_complete") {
        // (ctx, req, cqe); in kernels without the other tracepoint it was (ctx, user_data, res).
        case 3 where kernel.tracepointArguments("io_uring_submit_req") != nil: return "io_uring_completed"
        // (ctx, req, user_data, res, cflags, …)
        case .some(5...): return "io_uring_completed_result"
        default:
            session.explain(
                "reads and writes through io_uring are not seen: no tracepoint of this kernel says which request "
                    + "is complete")
            return nil
        }
    }
}

/// How files are shown.
package struct FiletopDisplay: ParsableArguments {
    package enum Order: String, CaseIterable, Sendable {
        case all, reads, writes, rbytes, wbytes, pid, comm, file

        static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }
    }

    @Flag(name: [.customShort("C"), .customLong("noclear")], help: "Do not clear the screen between prints.")
    package var keepScreen = false

    @Option(
        name: [.customShort("r", allowingJoined: true), .customLong("maxrows")], parsing: .unconditional,
        help: ArgumentHelp("Show so many rows (20; with --json all).", valueName: "count"),
        transform: parseCount)
    package var rows: Int?

    @Option(
        name: [.customShort("s", allowingJoined: true), .customLong("sort")],
        help: ArgumentHelp(
            "What comes first: \(Order.names) (all: the sum of the four numbers).", valueName: "column"),
        transform: parseOrder)
    package var order: Order = .all

    @Flag(name: .customLong("read-only"), help: "Count reads only.")
    package var readOnly = false

    @Flag(name: .customLong("write-only"), help: "Count writes only.")
    package var writeOnly = false

    @Flag(name: .customLong("bytes"), help: "Show bytes, not kilobytes.")
    package var bytes = false

    package init() {}
}

private func parseFileCount(_ text: String) throws -> UInt32 {
    guard let count = UInt32(text), count > 0, count <= 1 << 22 else {
        throw ValidationError("invalid number of files '\(escaped(text))': expected 1 to \(1 << 22).")
    }
    return count
}

private func parseOrder(_ text: String) throws -> FiletopDisplay.Order {
    guard let order = FiletopDisplay.Order(rawValue: text) else {
        throw ValidationError(
            "invalid column to sort by '\(escaped(text))': expected \(FiletopDisplay.Order.names).")
    }
    return order
}

let filetopDiscussion = """
    Adds up, by process and file, the reads and writes that have succeeded: the calls and the bytes. Counted are read, \
    pread64, readv, preadv, preadv2, their writing counterparts, sendfile, copy_file_range, splice, tee, vmsplice, \
    and, with -a, the recv and send families; 64-bit and 32-bit; the same through io_uring (Linux 5.18), and requests \
    of native asynchronous I/O (io_submit).

    OUTPUT: As BCC's filetop, with the process's ID and the full path as seen from the process's root. T is R for a \
    regular file, S a socket, P a pipe, C and B a device, D a directory, O an anonymous one (eventfd, timerfd and the \
    like). Each table covers the time since the previous one. With --json each row is an object with time_ns \
    (Unix time of the report), pid, start_ns (Unix time of its start: numbers are used again), comm, reads, writes, \
    read_bytes, written_bytes, type, device (major:minor), inode, and path.

    EXAMPLES: Who writes to the disk, in the next ten seconds, in one table?

        filetop -s wbytes --duration 10

    Everything that a command reads and writes, also through pipes and sockets:

        filetop -a --bytes -- make

    OVERHEAD: One small program runs at the return of every system call, and does more only for reads and writes. \
    docs/benchmarks.md has figures.

    LIMITS: I/O without these calls is not counted: memory that is mapped from files, and the \
    kernel itself, such as an NFS server, swapping or the writing back of what is cached. What io_submit submits \
    counts at that moment, with the bytes that it asks for. Of io_uring, requests that complete more than once \
    (multishot) are not seen, and splice and tee only on their writing side. A file keeps the path by \
    which the process was first seen to use it, also when it is renamed; a new file that gets the inode number of a \
    deleted one is another file, where the file system numbers its generations (ext4, XFS, btrfs, tmpfs, overlays of \
    these). A descriptor that another thread closes \
    during the call is counted as unknown, with -a in a row of its own. tee and splice count on both sides.

    COMPATIBILITY: The options of BCC's filetop and of libbpf-tools' are there. Files are told apart by device and \
    inode, not by name, and counted by process, not by thread.
    """
