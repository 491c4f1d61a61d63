// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Reporting
internal import Tracing

/// How often functions and tracepoints are reached.
package struct Funccount: TracingCommand {
    package static let place = 1
    package static let configuration = CommandConfiguration(
        commandName: "funccount",
        abstract: "Count calls of functions, tracepoints and USDT probes by name.",
        discussion: funccountDiscussion)

    @OptionGroup(title: "What and when") package var pattern: PatternOptions
    @OptionGroup(title: "What and when") package var reports: ReportOptions

    @Option(
        name: .customShort("d", allowingJoined: true), parsing: .unconditional,
        help: ArgumentHelp("The same as --duration.", valueName: "seconds"), transform: parseSeconds)
    package var duration: Double?

    @Flag(name: [.customShort("D"), .customLong("debug")], help: "The same as --verbose.")
    package var debug = false

    @Option(
        name: [.customShort("c", allowingJoined: true), .customLong("cpu")], parsing: .unconditional,
        help: ArgumentHelp("Only on this CPU.", valueName: "cpu"), transform: parseCPU)
    package var cpu: Int32?

    @OptionGroup(title: "Which tasks") package var targets: TargetOptions
    @OptionGroup(title: "Which tasks") package var userOption: UserOption
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package var user: UInt32? { userOption.user }

    package mutating func validate() throws {
        try common.setDuration(duration)
        duration = nil
        if debug { common.verbose = true }
    }

    package func run() throws {
        try pattern.require(common, example: "'t:sched:*' or c:malloc")
        try runTracing()
    }

    private static let programs = ProbePrograms(
        tracepoints: ProbePrograms.ForTracepoints(
            raw: "count_raw_tracepoint", systemCalls: "count_system_call", perfEvent: "count_tracepoint"),
        function: "count_function", userFunctions: "count_user_functions",
        kernelFunctions: "count_kernel_functions")
    private static let kinds: Set<ProbeKind> = [.tracepoint, .rawtracepoint, .kprobe, .uprobe, .usdt]

    package func trace(_ session: Session) throws {
        try requireCPU(cpu)
        let targets = try pattern.targets(Self.kinds, session)
        let object = try session.open("funccount")
        ProbeTargets.configure(object, Self.programs, targets)
        try object.resize("counts", to: UInt32(max(1, targets?.targets.count ?? 1)))
        let loaded = try session.load(object)
        guard let targets else { return }
        let probes = try AttachedProbes(targets, [Self.programs], of: loaded, session)
        var report = FunctionCounts(self, targets, session)
        try session.run(
            loaded, of: "calls",
            ready: {
                session.say("counting \(targets.summary); Ctrl-C to end")
                probes.begin()
            },
            interval: reports.interval.map { seconds in (seconds, { try report.print(loaded) }) },
            detach: { probes.end() },
            atEnd: { try report.print(loaded) })
    }
}

/// Reads and prints what has been counted.
struct FunctionCounts {
    private struct Row {
        let target: ProbeTargets.Target
        let count: UInt64
    }

    private let probes: ProbeTargets
    private let session: Session
    private let cpu: Int?
    private let timestamp: Bool
    private let clock = RowClock()
    private let table: Table<Row>
    private var earlier: [UInt64]
    private var printed = 0

    init(_ command: Funccount, _ probes: ProbeTargets, _ session: Session) {
        self.probes = probes
        self.session = session
        cpu = command.cpu.map { Int($0) }
        timestamp = command.reports.timestamp
        earlier = [UInt64](repeating: 0, count: probes.targets.count)
        let name = Column<Row>("FUNC", width: 36, key: "name") { $0.text(Self.title($1.target)) }
        let count = Column<Row>("COUNT", width: 12, .right, key: "count") { $0.unsigned($1.count) }
        let clock = clock
        let fields = [
            Column<Row>("", key: "time_ns") { cell, _ in cell.integer(clock.wall.nowUnixNanoseconds) },
            Column<Row>("", key: "kind") { $0.text($1.target.kind.rawValue) },
            Column<Row>("", key: "scope") { cell, row in
                if let scope = row.target.scope { cell.text(scope) } else { cell.missing() }
            },
            Column<Row>("", key: "name") { $0.text($1.target.name) },
            count,
        ]
        table = Table([name, count], fields: fields, json: session.common.json)
    }

    private static func title(_ target: ProbeTargets.Target) -> String {
        target.kind == .tracepoint ? "\(target.scope ?? ""):\(target.name)" : target.name
    }

    private func count(_ object: LoadedObject, _ index: Int) -> UInt64 {
        let values = object.numbersByCPU("counts", at: UInt32(index))
        guard let cpu else { return values.reduce(0, &+) }
        return values.indices.contains(cpu) ? values[cpu] : 0
    }

    /// What was counted since the last time, the largest last.
    mutating func print(_ object: LoadedObject) throws {
        clock.wall.synchronize()
        var rows: [Row] = []
        for (index, target) in probes.targets.enumerated() {
            let now = count(object, index)
            if now > earlier[index] { rows.append(Row(target: target, count: now - earlier[index])) }
            earlier[index] = now
        }
        rows.sort { ($0.count, $1.target.name) < ($1.count, $0.target.name) }
        try session.output.write { writer in
            if !session.common.json {
                if printed > 0 { writer.append("\n") }
                if timestamp {
                    writer.append(clock.wall.nowTimeOfDay())
                    writer.append("\n")
                }
            }
            table.writeHeading(to: writer)
            for row in rows { table.write(row, to: writer) }
        }
        try session.output.flush()
        printed += 1
    }
}

let funccountDiscussion = """
    Counts how often functions, tracepoints and USDT probes are reached, by name. The pattern is one of:

        t:sched:*          tracepoints of a category
        rt:sched_switch    raw tracepoints, which need no tracefs
        c:malloc           a function of a library, or of a program in PATH (bash:readline) or by its path
        u:FILE:PROBE       USDT probes; functions, if there is no such probe
        vfs_*              functions of the kernel, by kprobes

    OUTPUT: Names and counts at the end, or for each interval, the largest last; what was not reached is left out. \
    Several names of one function count as one: its shortest; -v tells the others. With --json each row is an object \
    with time_ns (Unix time of the report), kind, scope (category or file), name and count.

    EXAMPLES: Which tracepoints of the scheduler does a command reach, and how often?

        funccount 't:sched:*' -- make

    What does this process call of libc's allocator, each second?

        funccount -i 1 -p 1234 'c:*alloc*'

    OVERHEAD: A small program runs each time. A probe on a user function costs about a microsecond for each call, \
    much more in some virtual machines: it is put behind the function's entry where the kernel can emulate the \
    instruction. Without -p all processes that use the file are slowed down.

    LIMITS: Functions that the compiler has inlined, and those that are chosen as a library is loaded (such as \
    memcpy), have no calls to count. Files without a symbol table show only what they export. The kernel decides \
    which of its functions can be traced. Counters that a kernel skips because a probe has interrupted itself are \
    reported as lost. A function of Go that makes its stack grow begins anew, and counts twice.

    COMPATIBILITY: The options of BCC's funccount are all there, and so are its patterns: p:FILE:NAME and p::NAME \
    too. -r takes POSIX extended regular expressions.
    """
