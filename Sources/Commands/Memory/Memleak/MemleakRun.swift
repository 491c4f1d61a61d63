// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import CSupport
internal import Glibc
internal import Probing
internal import Processes
internal import Reporting
internal import Tracing

/// One run of memleak.
final class MemleakRun {
    let options: Memleak
    let session: Session
    let process: Int32?
    let way: AllocatorProbes.Way
    let names: StackNames
    let processes: MemleakProcesses
    /// Of the process, or of the kernel.
    private let report: MemleakReport
    private let finder: AllocatorFinder?
    private(set) var probes: AllocatorProbes?
    private var mappings: MemleakMappings?
    private var books: MemleakBooks?
    private var pictures: MemleakPictures
    /// Memories whose program was executed a moment ago, and how often they were looked at since.
    var young: [(space: MemleakProcesses.Space, looks: Int)] = []
    var ticks = 0
    private var reports = 0
    private(set) var executions = 0
    private var marks: UInt32 = 0
    /// Nanoseconds of the monotonic clock.
    private var lastReport = monotonicTime()
    /// Blocks that are older do not count; nanoseconds of the monotonic clock.
    private var beginning: UInt64 = 0

    /// Seconds between reports.
    private var seconds: Double { options.interval ?? 5 }

    /// Seconds between looks for allocators that were loaded since.
    private static let lookAgain = 1.0

    init(_ options: Memleak, _ session: Session) {
        self.options = options
        self.session = session
        process = session.launchedProcess ?? options.process?.ids.first
        way = .best(for: options.follow ? nil : process)
        let names = StackNames(options.pictures)
        let known = AllocatorFinder.KnownFiles()
        processes = MemleakProcesses(options, names: names) { process in
            AllocatorFinder(
                process: process, names: AllocatorNames(prefix: options.prefix),
                objects: options.object.map { [$0] } ?? [], known: known)
        }
        report = MemleakReport(
            options, process: process, names: names,
            title: options.follow ? .init(comm: process.flatMap { ProcFS().comm(of: $0) } ?? "") : nil)
        processes.begin(report)
        finder = processes.living.first?.finder
        pictures = MemleakPictures(options)
        self.names = names
    }

    func run() throws {
        if let process {
            try names.watch(WatchedProcesses([process], follows: options.follow), session)
        }
        let (loaded, unwinder) = try session.loadStacks(
            "memleak", options.pictures.walk, user: process != nil, names: names, tracesLaunched: false,
            meanwhile: lookAhead, configure: configure)
        books = MemleakBooks(options, loaded, names)
        // Keeps the unwinder up to date with what is mapped, before programs are attached.
        if process != nil { try names.serve([unwinder], session) }
        observe()
        if let process, let finder {
            try prepare(loaded, process, finder)
        }
        guard apus_count_signal(SIGUSR1) == 0 else { throw BPFError("count SIGUSR1", code: errno) }
        defer { sayLosses(loaded) }
        try session.run(
            loaded, of: "calls",
            ready: { try ready(loaded) },
            interval: (seconds, { [self] in try write(loaded, isLast: false) }),
            record: { [self] in try record($0, loaded) },
            afterRound: { [self] in try noteMarks(loaded) },
            detach: { [self] in probes?.detach() },
            atEnd: {
                // Once nothing is traced any more.
                if names.askForDebugFiles() { for space in processes.living { space.report.forgetNames() } }
                // A reader of stdout that has gone, or a full disk behind it, is no reason to lose the files.
                let rows = Result {
                    try write(loaded, isLast: true)
                    for space in processes.living { try conclude(space.report, loaded) }
                }
                if options.wantsAllNames {
                    for space in processes.living { pictures.add(space.report) }
                    try pictures.write()
                }
                names.conclude()
                try rows.get()
            })
    }

    // MARK: - The process

    /// Before programs are loaded.
    private func lookAhead() {
        if !options.mappings, session.launchedProcess == nil { finder?.lookAhead() }
    }

    /// While the process lives, so that its frames can be named when it is gone.
    private func observe() {
        if let process { names.observeAnew(process) }
    }

    private func prepare(_ loaded: LoadedObject, _ process: Int32, _ finder: AllocatorFinder) throws {
        guard !options.mappings else {
            mappings = MemleakMappings(sizes: options.least...(options.most ?? UInt64.max))
            guard session.launchedProcess == nil else {
                // Stopped as its loader works, so that stacks through what that maps can be walked.
                return session.atLaunch = { [self] in try launch($0) }
            }
            return try lookAgain()
        }
        let probes = AllocatorProbes(
            loaded, process: options.follow ? nil : process, finder: finder, way: way, session: session)
        self.probes = probes
        try beginProcesses(loaded, process)
        guard session.launchedProcess == nil else {
            session.atLaunch = { [self] in try launch($0) }
            return
        }
        _ = try probes.look()
        if probes.functions == 0 { throw nothingFound(process, probes) }
        observe()
        try lookAgain()
    }

    private func launch(_ launched: LaunchedCommand) throws {
        let stops = try LaunchStops(launched) { try launched.release() }
        if !stops.isPermitted {
            session.say("the command cannot be stopped as it begins: its first allocations may be missing")
        }
        try stops.run { [self] in try lookAtNewFiles() }
        observe()
        try lookAgain()
    }

    /// Whether there are allocators that were not there before.
    func lookAtNewFiles() throws -> Bool {
        defer { observe() }
        guard options.mappings else { return try probes?.look() == true }
        return finder?.look().contains { !$0.allocator.functions.isEmpty } == true
    }

    private func nothingFound(_ process: Int32, _ probes: AllocatorProbes) -> CommandFailure {
        if !probes.sawFiles {
            return CommandFailure(
                options.object == nil
                    ? "cannot look into the files of process \(process): it may have ended, or be a kernel thread"
                    : "process \(process) has no file mapped that -O names: leave it out to look into all")
        }
        if probes.sawForeignFiles {
            return CommandFailure("process \(process) is a 32-bit program, which is not supported")
        }
        return CommandFailure(
            "process \(process) has no allocator that can be found: none of its files has symbols of malloc and "
                + "free; if it has others, name their beginning with -S")
    }

    private func lookAgain() throws {
        try session.loop.schedule(seconds: Self.lookAgain, repeating: true) { [self] in
            guard let probes else { return observe() }
            if try probes.look() { observe() }
            if probes.functions == 0, !options.follow, let process, kill(process, 0) == 0 {
                // A launched command that has nothing to probe once its loader is done.
                throw nothingFound(process, probes)
            }
        }
    }

    private func record(_ bytes: RawSpan, _ loaded: LoadedObject) throws {
        guard bytes.byteCount >= MemoryLayout<memleak_event>.size else { return }
        let event = bytes.unsafeLoadUnaligned(as: memleak_event.self)
        try mappings?.apply(event, note: { [self] in try write($0, $1, $2, of: event) })
        if try note(event) { return }
        if event.kind == MEMLEAK_EXECUTED.rawValue { return try noteExecution() }
        if mappings == nil { try report.write(event, to: session.output) }
    }

    private func noteExecution() throws {
        try hasExecuted()
        if executions > 1 || session.launchedProcess == nil {
            try books?.begin()
            report.begin()
        }
    }

    /// The process, or the command, has executed a program.
    func hasExecuted() throws {
        // Probes on files that were mapped before hold for the new program as well.
        executions += 1
        if executions > 1, let launched = session.launchedProcess {
            try LaunchStops(stopped: launched).run { [self] in try lookAtNewFiles() }
        }
        _ = try lookAtNewFiles()
    }

    /// A piece of memory that was mapped or unmapped.
    private func write(_ kind: memleak_event_kind, _ address: UInt64, _ bytes: UInt64, of call: memleak_event)
        throws
    {
        guard options.traceCalls else { return }
        var event = call
        event.kind = kind.rawValue
        event.address = address
        event.bytes = bytes
        try report.write(event, to: session.output)
    }

    // MARK: - Reports

    private func ready(_ loaded: LoadedObject) throws {
        if let process {
            session.say("attaching to process \(process), Ctrl-C to quit")
        } else {
            session.say("attaching to kernel allocators, Ctrl-C to quit")
        }
    }

    private func noteMarks(_ loaded: LoadedObject) throws {
        let now = apus_counted_signals()
        guard now != marks else { return }
        marks = now
        beginning = monotonicTime()
        try books?.begin()
        for space in processes.living { space.report.begin() }
        session.say(
            options.combinedOnly
                ? "from here: sums are what has been gained since"
                : "from here: blocks that were allocated before are no longer shown")
    }

    /// Whether the process that was traced is no more, or only waits to be reaped.
    private var processHasEnded: Bool {
        process.map { ProcFS().hasEnded($0) } ?? false
    }

    private func write(_ loaded: LoadedObject, isLast: Bool) throws {
        if !isLast, reports + 1 == options.count {
            // The last one is written at the end.
            return session.loop.stop()
        }
        // Nothing to probe is not the same as nothing left.
        if let process, let probes, probes.functions == 0, isLast || !options.follow {
            throw nothingFound(process, probes)
        }
        try noteMarks(loaded)
        if !isLast { observe() }
        try reportOver(loaded)
        // With --follow each one's end is reported by itself.
        let hasEnded = !options.follow && processHasEnded
        // What a program has not freed when it ends it will not free any more.
        let age = hasEnded || options.combinedOnly ? 0 : options.older * 1_000_000
        // Programs that end free what they need not have freed, and leave no time to grow.
        let isWhole = !isLast || !hasEnded && intervalIsWhole
        lastReport = monotonicTime()
        let contents = try books?.read(mappings, minimumAge: age, since: beginning) ?? [:]
        for space in processes.living {
            let report = space.report
            if let process = report.process, report.title != nil {
                report.title?.cause = isLast ? .end : .interval
                if let comm = ProcFS().comm(of: process) { report.title?.comm = comm }
            }
            report.take(contents[report.space] ?? .init(), loaded, endsInterval: isWhole)
            try report.write(to: session.output)
        }
        try session.output.flush()
        reports += 1
    }

    /// Whether enough of an interval is over to judge by it.
    private var intervalIsWhole: Bool { Double(monotonicTime() - lastReport) >= seconds * 1e9 / 2 }

    /// What followed processes have left that have ended since, or executed another program.
    func reportOver(_ loaded: LoadedObject) throws {
        let over = processes.takeOver()
        guard !over.isEmpty, let books else { return }
        let numbers = Set(over.map(\.report.space))
        let contents = try books.read(nil, minimumAge: 0, since: beginning, only: numbers)
        for report in over.map(\.report) {
            report.take(contents[report.space] ?? .init(), loaded, endsInterval: false)
            try report.write(to: session.output)
            try conclude(report, loaded)
            if options.wantsAllNames { pictures.add(report) }
        }
        try session.output.flush()
        try books.remove(numbers)
        for number in numbers where number > 0 { try loaded.push(number, to: "space_numbers") }
    }

    private func conclude(_ report: MemleakReport, _ loaded: LoadedObject) throws {
        if options.growth { session.say(try report.writeConclusion(loaded, to: session.output)) }
    }

    private func sayLosses(_ loaded: LoadedObject) {
        guard let state = try? loaded.sharedVariable("memleak_state", as: memleak_state.self).value else {
            return
        }
        if state.lost_blocks > 0 {
            session.say(
                "\(state.lost_blocks) blocks were not remembered because there were too many: use a larger "
                    + "--max-blocks, -z or --sample-bytes")
        }
        if state.lost_threads > 0 {
            session.say("\(state.lost_threads) calls are missing because there were too many threads")
        }
    }
}

/// The clock of `live_block.born`.
enum BlockClock {
    /// Nanoseconds of the monotonic clock.
    static let began = monotonicTime()

    static func reading(_ nanoseconds: UInt64) -> UInt64 {
        nanoseconds < began ? 0 : (nanoseconds - began) >> BORN_TIME_SHIFT
    }
}

extension live_block {
    var time: UInt64 { born >> BORN_GENERATION_BITS }

    /// Whether it was allocated by the program that the process executes.
    func isOf(generation: UInt32) -> Bool {
        (born ^ UInt64(generation)) & ((1 << BORN_GENERATION_BITS) - 1) == 0
    }
}

/// Nanoseconds of the clock that programs use.
func monotonicTime() -> UInt64 { apus_kernel_time() }
