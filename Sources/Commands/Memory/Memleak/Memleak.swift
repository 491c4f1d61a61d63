// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Reporting

/// Which code allocates what is never freed.
package struct Memleak: TracingCommand {
    package static let configuration = CommandConfiguration(
        commandName: "memleak",
        abstract: "Show which code allocates memory that is not freed, and whether it grows.",
        discussion: memleakDiscussion)

    @Argument(help: "Seconds between reports (5).", transform: parseSeconds)
    package var interval: Double?

    @Argument(help: "How many reports; then it ends.", transform: parsePositive)
    package var count: Int?

    @Option(
        name: [.customShort("p", allowingJoined: true), .customLong("pid")],
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "The process to trace. Without it, and without a command: the kernel.", valueName: "pid"),
        transform: parseIDs)
    package var processLists: [IDList] = []

    package var process: IDList? {
        get { IDList(processLists) }
        set { processLists = newValue.map { [$0] } ?? [] }
    }

    @Option(
        name: [.customShort("c"), .customLong("command")],
        help: ArgumentHelp(
            "Run this command and trace it, as with --; words are split as in a shell.", valueName: "command"),
        transform: parseWords)
    package var words: [String]?

    @Flag(
        name: [.customShort("f"), .customLong("follow")],
        help: "Also the children that the process starts from now on, each with reports of its own.")
    package var follow = false

    @Flag(name: [.customShort("t"), .customLong("trace")], help: "Also print each allocation and each free.")
    package var traceCalls = false

    @Flag(name: [.customShort("a"), .customLong("show-allocs")], help: "Also the address of each block.")
    package var showBlocks = false

    @Option(
        name: [.customShort("o", allowingJoined: true), .customLong("older")], parsing: .unconditional,
        help: ArgumentHelp("Leave out blocks younger than this (500).", valueName: "ms"),
        transform: parseMilliseconds)
    package var older: UInt64 = 500

    @Flag(
        name: [.customShort("C"), .customLong("combined-only"), .customLong("combined_only")],
        help: "Only sums, of blocks of any age: cheaper to report.")
    package var combinedOnly = false

    @Flag(
        name: [.customShort("F"), .customLong("wa-missing-free")],
        help: "Take an allocation at the address of a block as its free. That is always done.")
    package var missingFree = false

    @Option(
        name: [.customShort("s", allowingJoined: true), .customLong("sample-rate")], parsing: .unconditional,
        help: ArgumentHelp("Look at one of so many allocations, by chance.", valueName: "N"),
        transform: parseRate)
    package var sampleRate: UInt32 = 1

    @Option(
        name: .customLong("sample-bytes"), parsing: .unconditional,
        help: ArgumentHelp(
            "Look at one byte in so many, and estimate the rest: large blocks are seen, small ones by chance.",
            valueName: "bytes"),
        transform: parseByteCount)
    package var sampleBytes: UInt64?

    @Option(
        name: [.customShort("T", allowingJoined: true), .customLong("top")], parsing: .unconditional,
        help: ArgumentHelp("How many stacks to show (10; with --json all).", valueName: "N"),
        transform: parsePositive)
    package var top: Int?

    @Option(
        name: [.customShort("z", allowingJoined: true), .customLong("min-size")], parsing: .unconditional,
        help: ArgumentHelp("Leave out smaller blocks.", valueName: "bytes"), transform: parseSize)
    package var least: UInt64 = 0

    @Option(
        name: [.customShort("Z", allowingJoined: true), .customLong("max-size")], parsing: .unconditional,
        help: ArgumentHelp("Leave out larger blocks.", valueName: "bytes"), transform: parseSize)
    package var most: UInt64?

    @Option(
        name: [.customShort("O", allowingJoined: true), .customLong("obj")],
        help: ArgumentHelp(
            "Look for the allocator in this file only: a path, its last part, or c for libc.",
            valueName: "file"))
    package var object: String?

    @Option(
        name: [.customShort("S", allowingJoined: true), .customLong("symbols-prefix")],
        help: ArgumentHelp(
            "What the names of the allocator's functions begin with, such as je_.", valueName: "prefix"))
    package var prefix: String?

    @Flag(
        name: [.customShort("P"), .customLong("percpu")],
        help: "The kernel's memory that each CPU has for itself, instead of the rest.")
    package var percpu = false

    @Flag(
        name: .customLong("mmap"),
        help: "Memory that the process itself maps (mmap, mremap, brk), instead of blocks of its allocators.")
    package var mappings = false

    @Option(help: ArgumentHelp("Rank stacks by size or by count.", valueName: "size|count"))
    package var sort: Order = .size

    @Option(
        name: .customLong("stack-storage-size"), parsing: .unconditional,
        help: ArgumentHelp("How many stacks can be stored (16384).", valueName: "count"))
    package var stackStorage: UInt32 = 16_384

    @Option(
        name: .customLong("max-blocks"), parsing: .unconditional,
        help: ArgumentHelp("How many blocks can be remembered at once (1010000).", valueName: "count"))
    package var mostBlocks: UInt32 = 1_010_000

    @Flag(help: "Rank stacks by how steadily they grow, and say at the end which did in every interval.")
    package var growth = false

    @Flag(help: "Rank stacks by blocks that the same thread frees before it allocates again.")
    package var temporary = false

    @Option(
        name: .customLong("diff"), parsing: .upToNextOption,
        help: ArgumentHelp(
            "Trace nothing, but compare two recordings of --json or of folded stacks: before, after.",
            valueName: "file"))
    package var diff: [String] = []

    @OptionGroup(title: "Which tasks, of the kernel's memory") package var tasks: KernelTaskOptions
    @OptionGroup(title: "Stacks") package var pictures: PictureOptions
    @OptionGroup(title: "Common options") package var common: CommonOptions

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp(
            "Behind --: run this command, trace it from its first instruction, and end with it.",
            valueName: "command"))
    package var command: [String] = []

    package init() {}

    /// What stacks are ranked by.
    package enum Order: String, ExpressibleByArgument, CaseIterable {
        case size, count
    }

    /// As other commands have them.
    package var targets: TargetOptions {
        get {
            var targets = (try? TargetOptions.parse([])) ?? TargetOptions()
            targets.processes = process
            targets.command = words ?? command
            targets.follow = follow
            targets.threads = tasks.threads
            targets.comm = tasks.comm
            targets.cgroup = tasks.cgroup
            targets.container = tasks.container
            return targets
        }
        set {
            process = newValue.processes
            command = newValue.command
            follow = newValue.follow
            tasks.threads = newValue.threads
            tasks.comm = newValue.comm
            tasks.cgroup = newValue.cgroup
            tasks.container = newValue.container
        }
    }

    package mutating func validate() throws {
        if !diff.isEmpty { return try validateDiff() }
        let chosen = [process != nil, words != nil, !command.isEmpty].filter { $0 }.count
        guard chosen <= 1 else { throw ValidationError("give one of -p, -c and -- COMMAND.") }
        if let process, process.ids.count != 1 { throw ValidationError("-p takes one process.") }
        if let most, most < least { throw ValidationError("-Z must be at least -z.") }
        guard sampleRate == 1 || sampleBytes == nil else {
            throw ValidationError("-s and --sample-bytes exclude each other: give one of them.")
        }
        guard !percpu || chosen == 0 else {
            throw ValidationError("-P is for the kernel: leave -p and the command out.")
        }
        guard chosen == 1 || (object == nil && prefix == nil && !temporary) else {
            throw ValidationError("-O, -S and --temporary are for processes: give -p or a command.")
        }
        if chosen == 1, let option = tasks.chosen {
            throw ValidationError(
                "\(option) chooses among all tasks that the kernel allocates for: leave it out with a process."
            )
        }
        guard !mappings || chosen == 1 else {
            throw ValidationError("--mmap is for processes: give -p or a command.")
        }
        guard !mappings || (sampleRate == 1 && sampleBytes == nil && !temporary) else {
            throw ValidationError(
                "--mmap looks at every call: leave -s, --sample-bytes and --temporary out.")
        }
        guard !follow || chosen == 1 else {
            throw ValidationError("--follow is for processes: give -p or a command.")
        }
        guard !follow || !mappings else {
            throw ValidationError("--mmap looks at one process: leave it or --follow out.")
        }
        guard !mappings || (object == nil && prefix == nil) else {
            throw ValidationError("-O and -S are for allocators: leave them or --mmap out.")
        }
        guard !combinedOnly || !showBlocks else {
            throw ValidationError("-a and -C exclude each other: give one of them.")
        }
        guard !(growth && temporary) else {
            throw ValidationError("--growth and --temporary exclude each other: give one of them.")
        }
        if growth, let count, count <= GrowthHistory.fewestIntervals {
            throw ValidationError(
                "--growth compares reports: ask for at least \(GrowthHistory.fewestIntervals + 1).")
        }
        guard stackStorage > 0, stackStorage <= 1 << 22 else {
            throw ValidationError("--stack-storage-size must be 1 to \(1 << 22).")
        }
        guard mostBlocks > 0, mostBlocks <= 1 << 28 else {
            throw ValidationError("--max-blocks must be 1 to \(1 << 28).")
        }
    }

    package var user: UInt32? { tasks.userOption.user }

    /// Whether a process is traced, and not the kernel.
    var isOfProcess: Bool { process != nil || words != nil || !command.isEmpty }

    /// Whether it has to be known what was allocated and freed since the start.
    var readsTotals: Bool { combinedOnly || temporary || pictures.pprof != nil }

    /// Whether also stacks are named that no report shows.
    var wantsAllNames: Bool { pictures.flameGraph != nil || pictures.pprof != nil }

    package func run() throws {
        guard !diff.isEmpty else { return try runTracing() }
        try withPlainErrors { try runDiff() }
    }

    package func trace(_ session: Session) throws {
        try pictures.requireWritable()
        try MemleakRun(self, session).run()
    }
}

let memleakDiscussion = """
    Remembers every block from its allocation to its free, and reports those that are left, added up by the stack \
    that allocated them. With -p or a command it probes the allocators of that process, wherever they are: libc, \
    jemalloc, tcmalloc or mimalloc, in a library or in the executable, static or not, in the mount namespace of a \
    container, or loaded later. Without, it traces the allocations of the kernel, of all tasks or of those that --comm, \
    --tid, --uid, --cgroup and --container choose. -v lists what is probed. SIGUSR1 \
    marks a beginning: blocks that were allocated before it are no longer shown.

    OUTPUT: Every 5 seconds, and at the end, the stacks with most bytes, the largest last, with the innermost frame \
    first: the caller of the allocator. From the second report on, what each stack has gained since the last one. \
    When the process ends, a last report counts blocks of any age.

    With --growth, stacks that grew in most intervals come last; an interval counts if the stack then had more bytes \
    than in any report before. At the end it shows the stacks that grew in every interval (suspects), and those that \
    grew at first and not in the second half of the intervals (perhaps caches). Choose an interval in which a \
    leak would show: with 5 seconds, what leaks once a minute grows now and then. The last interval counts unless it \
    was cut short.

    With --diff, what each stack has gained or lost, what has gained most last. Of a recording with several reports the \
    last one counts. Stacks are the same if their functions are.

    EXAMPLES: Who allocates what a running process does not free:

        memleak -p 1234

    The same at less cost, with estimates:

        memleak -p 1234 --sample-bytes 512K

    A server and all the workers that it forks, or a build:

        memleak --follow -- nginx -g "daemon off;"

    A program from its start, and a heap profile for go tool pprof:

        memleak --pprof heap.pb.gz -- ./program argument

    What another version of a program keeps that this one does not, as text and as a picture:

        memleak --json -- ./program > before.json
        memleak --json -- ./changed > after.json
        memleak --diff before.json after.json --flamegraph diff.svg

    What a program maps by itself, such as an allocator that no probe knows, arenas and thread stacks:

        memleak --mmap -p 1234

    CHILDREN: With --follow, every child that the process starts from now on is traced as well, and its children, from \
    their first instruction. Each process has reports of its own, with its number and name: at each interval, when it \
    executes another program, and when it ends: then of all blocks that it has not freed, of any age. A child begins \
    with nothing: what it has inherited at the fork belongs to its parent, which keeps it whatever the child frees. So a \
    worker of a server that forks its workers shows what it has gained since. At most 4096 processes are followed at \
    once; how many others there were is said at the end. The run ends with the process that was named or launched. \
    The probes are then those of files and not of a process: every other process of the machine that maps the same libc \
    or allocator passes them as well, and pays nearly as much for each malloc and free as those that are traced. A \
    program that brings an allocator in a file that \
    nobody has had before is probed a moment after it begins. With --json, rows of stacks and reports have the \
    process's pid, and reports its comm and their cause: interval, exit, exec, or end (of the run). A picture has each process as \
    a root of its own.

    A child that shares the process's memory (vfork, posix_spawn, clone with CLONE_VM) counts for the process, as long as \
    it does; without --follow it is noticed a moment after it began, where the kernel tells the callers of probes apart \
    by process (Linux 6.13).

    MAPPINGS: With --mmap, every mmap, mremap and brk of the process counts, whoever makes it: anonymous memory and \
    files alike, in whole pages. A block is what one call has mapped and is mapped still; one with a hole counts as \
    two. A mapping that mremap enlarges belongs to the caller of mremap from then on. Allocators are not probed: \
    what they map shows under the call that made them do so.

    OVERHEAD: Two or three probes for each pair of malloc and free, some microseconds; the probes are put on \
    instructions that the kernel need not single-step. Sampling and size filters decide before anything else is \
    done. docs/benchmarks.md has figures. With --mmap, every system call of the machine passes two programs, which \
    return at once for other processes.

    LIMITS: What the kernel allocates in an interrupt counts for the task that was interrupted. A stack whose outer frames could not be found ends with a line that begins with "[cut:" and says why. \
    Blocks that were allocated before the start are not known. Pools inside a program are not seen; memory that it \
    takes from the kernel directly is with --mmap. With --mmap, what a child maps that shares the \
    process's memory is not seen. 32-bit programs are not supported. An operator new of an \
    allocator's own (jemalloc, tcmalloc, mimalloc) may throw, which a return probe would stop: its return \
    instructions are probed instead, which cost more, as the kernel has to single-step them. If they cannot be \
    found, it is not traced, and a message says so.

    COMPATIBILITY: The options of BCC's memleak and of libbpf-tools' are there; where they differ it is BCC's \
    meaning: the largest stack is last, and -P is instead of the kernel's other memory. As in both, -C counts \
    blocks of any age. On purpose, -t prints to standard output and not to the kernel's trace; -a lists blocks below \
    their stack; -s chooses by chance and not by the time of day; -F is always in effect; -c takes arguments; without \
    -O every allocator counts and not only libc's; the heading says how many stacks are shown; the end of the process \
    ends the run. Nested calls, such as of malloc in a library's own wrapper, count once. --mmap has no counterpart \
    there; both others count mappings among the blocks.
    """
