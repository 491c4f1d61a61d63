// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Reporting
internal import Tracing

/// How long functions take.
package struct Funclatency: TracingCommand {
    package static let configuration = CommandConfiguration(
        commandName: "funclatency",
        abstract: "Show how long functions take, from entry to return, as a histogram.",
        discussion: funclatencyDiscussion)

    @OptionGroup(title: "What and when") package var pattern: PatternOptions
    @OptionGroup(title: "What and when") package var reports: ReportOptions

    @Option(
        name: .customShort("d", allowingJoined: true), parsing: .unconditional,
        help: ArgumentHelp("The same as --duration.", valueName: "seconds"), transform: parseSeconds)
    package var duration: Double?

    @Flag(
        name: [.customShort("u"), .customLong("microseconds")],
        help: "Count in microseconds, not nanoseconds.")
    package var microseconds = false

    @Flag(
        name: [.customShort("m"), .customLong("milliseconds")],
        help: "Count in milliseconds, not nanoseconds.")
    package var milliseconds = false

    @Flag(name: [.customShort("F"), .customLong("function")], help: "A histogram for each function.")
    package var byFunction = false

    @Flag(name: [.customShort("P"), .customLong("pids")], help: "A histogram for each process.")
    package var byProcess = false

    @Flag(name: [.customShort("L"), .customLong("tids")], help: "A histogram for each thread.")
    package var byThread = false

    @Option(
        name: [.customShort("l", allowingJoined: true), .customLong("level")], parsing: .unconditional,
        help: ArgumentHelp(
            "Time at most so many calls inside each other in one thread (kernel functions: \(CALL_LEVELS)).",
            valueName: "count"),
        transform: parseLevels)
    package var levels: UInt32?

    @Option(
        name: .customLong("return-probes"),
        help: ArgumentHelp(
            "When to see returns of user functions by return probes of the kernel, which can harm programs: auto (for "
                + "a function that is named in full, if it has no return instruction that can be found), always or "
                + "never.", valueName: "when"))
    package var returnProbes = ReturnProbes.auto

    @Option(
        name: .customLong("cpu"), parsing: .unconditional,
        help: ArgumentHelp("Only calls that begin on this CPU.", valueName: "cpu"), transform: parseCPU)
    package var cpu: Int32?

    @Flag(
        name: [.customShort("k"), .customLong("kprobes")],
        help: "Trace functions of the kernel by kprobes, as is always done here.")
    package var kprobes = false

    @OptionGroup(title: "Histograms") package var histograms: HistogramOptions
    @OptionGroup(title: "Which tasks") package var targets: TargetOptions
    @OptionGroup(title: "Which tasks") package var shortCgroup: ShortCgroupOption
    @OptionGroup(title: "Which tasks") package var userOption: LongUserOption
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package var user: UInt32? { userOption.user }

    package mutating func validate() throws {
        try common.setDuration(duration)
        duration = nil
        try targets.setCgroup(shortCgroup.take())
        guard !(microseconds && milliseconds) else {
            throw ValidationError("-u and -m exclude each other: give one of them.")
        }
        guard !(byProcess && byThread) else {
            throw ValidationError("-P and -L exclude each other: give one of them.")
        }
        if let wanted = try pattern.parsed(), wanted.kinds.isDisjoint(with: Self.kinds) {
            throw ValidationError(
                "'\(escaped(wanted.text))' names no functions, and only those return: give FILE:FUNCTION or the "
                    + "name of a kernel function.")
        }
    }

    package func run() throws {
        guard try !histograms.compareRecordings(json: common.json) else { return }
        try pattern.require(common, example: "c:read or vfs_read")
        try runTracing()
    }

    private static let kinds: Set<ProbeKind> = [.kprobe, .uprobe]
    private static let begin = ProbePrograms(
        function: "function_begins", userFunctions: "user_function_begins",
        kernelFunctions: "kernel_function_begins")
    private static let end = ProbePrograms(
        moment: .return, function: "function_ends", userFunctions: "user_function_ends",
        kernelFunctions: "kernel_function_ends", places: .returnProbes)
    private static let returns = ProbePrograms(
        areNumbered: false, function: "function_returns", userFunctions: "user_function_returns",
        places: .returnInstructions)

    /// In the order in which they are attached: a call whose return is not awaited yet would seem to go on for ever.
    /// What is attached last runs first where two are in one place: a function that only returns begins before it ends.
    private static let programs = [returns, end, begin]

    private var by: UInt32 {
        (byFunction ? LATENCY_OF_FUNCTION.rawValue : 0) | (byProcess ? LATENCY_OF_PROCESS.rawValue : 0)
            | (byThread ? LATENCY_OF_THREAD.rawValue : 0)
    }

    package func trace(_ session: Session) throws {
        try requireCPU(cpu)
        let targets = try pattern.targets(Self.kinds, session, returns: returnProbes)
        let ofKernel = targets?.targets.first?.kind == .kprobe
        let object = try session.open("funclatency")
        object.setConstant(
            "funclatency_config",
            to: funclatency_config(
                by: by, levels: levels ?? 0, cpu: cpu ?? -1, of_kernel: ofKernel ? 1 : 0))
        for programs in Self.programs { ProbeTargets.configure(object, programs, targets) }
        let run = HistogramRun(
            session, what: "calls", options: histograms,
            schedule: HistogramSchedule(
                unit: milliseconds ? .milliseconds : microseconds ? .microseconds : .nanoseconds,
                interval: reports.interval, timestamp: reports.timestamp),
            names: FunctionHistogramNames(command: self, targets))
        try run.configure(object)
        let loaded = try session.load(object)
        guard let targets else { return }
        let probes = try AttachedProbes(targets, Self.programs, of: loaded, session)
        try run.run(
            loaded,
            ready: {
                session.say("timing \(targets.summary); Ctrl-C to end")
                Self.explainSteps(targets, session)
                probes.begin()
            },
            detach: { probes.end() })
        guard !common.dryRun else { return }
        try UnreturnedCalls.explain(loaded, ofKernel: ofKernel, session)
    }

    /// Says which times are not to be believed.
    private static func explainSteps(_ targets: ProbeTargets, _ session: Session) {
        let stepped = targets.targets.count(where: \.isStepped)
        guard stepped > 0 else { return }
        session.say(
            "\(stepped) of the \(targets.summary) begin with an instruction that the kernel steps through: their "
                + "times include that, microseconds or, in some virtual machines, tens of them (-v names them)"
        )
    }
}

/// Histograms of functions.
private struct FunctionHistogramNames: HistogramNames {
    private let command: Funclatency
    private let targets: ProbeTargets?

    init(command: Funclatency, _ targets: ProbeTargets?) {
        self.command = command
        self.targets = targets
    }

    private func function(_ entry: KernelHistograms.Entry) -> String? {
        guard command.byFunction, let targets = targets?.targets, case let number = Int(entry.id >> 32),
            targets.indices.contains(number)
        else { return nil }
        return targets[number].name
    }

    /// As in BCC's funclatency.
    func title(_ entry: KernelHistograms.Entry) -> String {
        let task =
            command.byProcess
            ? "pid = \(entry.process) \(entry.comm)"
            : command.byThread ? "tid = \(entry.thread) \(entry.comm)" : nil
        return [function(entry).map { "Function = \($0)" }, task].compactMap { $0 }.joined(separator: ", ")
    }

    func record(_ entry: KernelHistograms.Entry) -> DistributionRecord {
        let hasTask = command.byProcess || command.byThread
        let kind =
            command.byProcess
            ? "process" : command.byThread ? "thread" : command.byFunction ? "function" : "all"
        let names = [function(entry), hasTask ? entry.comm : nil].compactMap { $0 }
        return DistributionRecord(
            command: "funclatency", by: kind, id: hasTask ? entry.id & 0xffff_ffff : 0,
            name: names.isEmpty ? "all" : names.joined(separator: " "), distribution: entry.distribution)
    }

    func writeMore(_ entry: KernelHistograms.Entry, to writer: ByteWriter) {
        if let function = function(entry) {
            writer.append(",\"function\":")
            writer.appendJSONString(function)
        }
        guard command.byProcess || command.byThread else { return }
        writer.append(",\"pid\":")
        writer.appendNumber(UInt64(entry.process))
        if command.byThread {
            writer.append(",\"tid\":")
            writer.appendNumber(UInt64(entry.thread))
        }
        writer.append(",\"comm\":")
        writer.appendJSONString(entry.comm)
    }

    func writeFooter(_ entry: KernelHistograms.Entry, _ unit: TimeUnit, to writer: ByteWriter) {
        let distribution = entry.distribution
        writer.append("\navg = ")
        writer.appendNumber(distribution.mean / unit.nanoseconds)
        writer.append(" ")
        writer.append(unit.heading)
        writer.append(", total: ")
        writer.appendNumber(distribution.total / unit.nanoseconds)
        writer.append(" ")
        writer.append(unit.heading)
        writer.append(", count: ")
        writer.appendNumber(distribution.count)
        writer.append("\n")
    }
}

private func parseLevels(_ text: String) throws -> UInt32 {
    guard let count = UInt32(text), count > 0, count <= UInt32(CALL_LEVELS) else {
        throw ValidationError(
            "invalid number of nested calls '\(escaped(text))': expected 1 to \(CALL_LEVELS).")
    }
    return count
}

let funclatencyDiscussion = """
    Times calls of functions, of programs and libraries or of the kernel, and shows how the times are distributed. \
    Each call is timed by itself, nested and recursive ones too: the time of a function includes those that it calls. \
    Patterns are those of funccount, for functions.

    OUTPUT: As BCC's funclatency: a line for each range of times, then average, total and count. With -F, -P or -L \
    there are several histograms, the one with the largest total first. With --json a distribution is one object, with \
    its percentiles and its buckets (eight to each power of two) in nanoseconds. Calls that have not returned are in \
    no histogram; how many they are is said at the end.

    EXAMPLES: How long does a process wait in read, in microseconds?

        funclatency -u -p 1234 c:read

    Which functions of the kernel's file system layer take how long, each second?

        funclatency -F -i 1 'vfs_*'

    OVERHEAD: Two small programs run for each call, one at its entry and one at its return. The kernel has to step \
    through a return instruction, which takes two traps: a call of a user function takes some microseconds longer, in \
    some virtual machines tens of them. Of these the time shown has about half a microsecond, more for each call \
    inside: shorter calls cannot be measured. --return-probes always costs less where traps are expensive, \
    and can end the program that is traced. Where the kernel has to step through the instruction at the entry as well, \
    the times include that; it is said for how many functions that is so.

    RETURNS: Calls of user functions are timed from the entry to the return instruction, which changes nothing in the \
    program: exceptions, longjmp, signals and programs that switch stacks do what they do otherwise, and a call may \
    end in another thread than it began. A function that ends by a jump to another one ends where that one does. Calls \
    that are left by an exception or a jump count as such when another call takes their place on the stack, and as not \
    returned otherwise. A function that is entered again at the same place of the stack was left before: of functions \
    that end by jumping to each other in turn only the last call of each counts as returned. Where return instructions \
    cannot be found, because all a function does in the end is a jump to an address that it is given, it is left out, \
    which is said. If such a function is named in full, it is timed by a return probe of the kernel, which puts an \
    address of its own in the place of the return address on the stack. A C++ exception (or a Rust panic) that passes \
    through such a call cannot be unwound, and ends the program; so may a switch of stacks. With --return-probes always \
    all functions are timed like that, at most 64 calls inside each other; programs in Go are refused then, and setjmp \
    and its like are left out.

    LIMITS: Go moves the stack of a goroutine when it grows. Calls that are under way then count as not returned, and a \
    function that makes it grow counts as entered twice. Functions that the compiler has inlined, and those that are \
    chosen as a library is loaded (such as memcpy), have no calls to time. A few functions begin with a vector \
    instruction that the kernel would take for a jump: these are left out. On some kernels returns of a kernel \
    function that many threads are in at once are missed: these calls are not counted.

    COMPATIBILITY: The options of BCC's funclatency and of libbpf-tools' are all there. BCC needs --level to time \
    nested calls right; here it is a limit. Both time user functions by return probes always.
    """
