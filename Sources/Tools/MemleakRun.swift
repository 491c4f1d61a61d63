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
    private let options: Memleak
    private let session: Session
    private let process: Int32?
    private let way: AllocatorProbes.Way
    private let report: MemleakReport
    private let finder: AllocatorFinder?
    private var probes: AllocatorProbes?
    private var mappings: MappingBook?
    private var reports = 0
    private var executions = 0
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
        way = .best(for: process)
        report = MemleakReport(options, process: process)
        finder = process.map { process in
            AllocatorFinder(
                process: process, names: AllocatorNames(prefix: options.prefix),
                objects: options.object.map { [$0] } ?? [])
        }
    }

    func run() throws {
        let (loaded, unwinder) = try session.loadStacks(
            "memleak", options.pictures.walk, user: process != nil, tracesLaunched: false,
            configure: configure)
        try report.serve(unwinder, session)
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
                report.askForDebugFiles()
                // A reader of stdout that has gone, or a full disk behind it, is no reason to lose the files.
                let rows = Result {
                    try write(loaded, isLast: true)
                    if options.growth { session.say(try report.writeConclusion(loaded, to: session.output)) }
                }
                try report.writeFiles()
                report.concludeNames()
                try rows.get()
            })
    }

    private func configure(_ object: borrowing OpenObject, byTables: Bool) throws {
        var config = try config()
        config.by_tables = byTables ? 1 : 0
        object.setConstant("memleak_config", to: config)
        try object.resize("stacks", to: options.stackStorage)
        try object.resize("blocks", to: options.mappings ? 1 : options.mostBlocks)
        try object.resize("stack_totals", to: wantsTotals ? options.stackStorage : 1)
        if options.sampleBytes != nil { object.setConstant("sample_distances", to: SampleDistances.table) }
        if process == nil || options.mappings {
            for program in ["user_session", "user_entry", "user_return", "thread_ended"] {
                object.disable(program)
            }
            for program in AllocatorProbes.entryPrograms { object.disable(program) }
            try object.resize("threads", to: 1)
        } else {
            AllocatorProbes.configure(object, way)
        }
        if !options.mappings {
            for program in [
                "mapping_begins", "mapping_begins_event", "mapping_returns", "mapping_returns_event",
            ] { object.disable(program) }
        }
        if process != nil {
            if byTables {
                // Of one process.
                try object.resize("unwind_processes", to: 64)
                // As many as a process may have by default (vm.max_map_count), twice while a list takes another's place.
                try object.resize("unwind_mappings", to: 131_072)
                try object.resize("unwind_pages", to: 32_768)
                try object.resize("unwind_rules", to: 16_384)
            }
            for program in [
                "kmalloc", "kmalloc_node", "kmem_cache_alloc", "kmem_cache_alloc_node", "kfree",
                "kmem_cache_free", "mm_page_alloc", "mm_page_free", "percpu_alloc_percpu",
                "percpu_alloc_before_5_18", "percpu_free_percpu",
            ] { object.disable(program) }
        } else {
            object.disable("program_executed")
            try chooseKernelPrograms(object)
        }
    }

    private func chooseKernelPrograms(_ object: borrowing OpenObject) throws {
        let types = try session.kernelTypes()
        let general = [
            "kmalloc", "kmalloc_node", "kmem_cache_alloc", "kmem_cache_alloc_node", "kfree",
            "kmem_cache_free",
            "mm_page_alloc", "mm_page_free",
        ]
        let percpu = ["percpu_alloc_percpu", "percpu_alloc_before_5_18", "percpu_free_percpu"]
        for program in options.percpu ? general : percpu { object.disable(program) }
        guard !options.percpu else {
            let isNew = types.tracepointArguments("percpu_alloc_percpu") ?? 0 >= 10
            object.disable(isNew ? "percpu_alloc_before_5_18" : "percpu_alloc_percpu")
            return
        }
        // The variants for nodes were merged with the others in 6.1.
        for program in general where types.tracepointArguments(program) == nil { object.disable(program) }
    }

    private var wantsTotals: Bool {
        !options.mappings && (options.combinedOnly || options.temporary || options.pictures.pprof != nil)
    }

    private func config() throws -> memleak_config {
        var config = memleak_config()
        config.began_ns = BlockClock.began
        config.least_bytes = options.least
        config.most_bytes = options.most ?? UInt64.max
        config.sample_bytes = options.sampleBytes ?? 0
        config.sample_below =
            options.sampleRate > 1 ? UInt32((UInt64(1) << 32) / UInt64(options.sampleRate)) : 0
        config.process = UInt32(process ?? 0)
        config.stop_at_exec = session.launchedProcess != nil ? 1 : 0
        config.totals = wantsTotals ? 1 : 0
        config.trace = options.traceCalls ? 1 : 0
        guard process == nil else { return config }
        let types = try session.kernelTypes()
        let hasOwnEvent = types.hasStruct("trace_event_raw_kmem_cache_alloc")
        config.cache_objects_have_cache = hasOwnEvent ? 1 : 0
        config.kmalloc_names_cache = !hasOwnEvent && types.tracepointArguments("kmalloc") == 6 ? 1 : 0
        return config
    }

    // MARK: - The process

    private func prepare(_ loaded: LoadedObject, _ process: Int32, _ finder: AllocatorFinder) throws {
        guard !options.mappings else {
            mappings = MappingBook(sizes: options.least...(options.most ?? UInt64.max))
            guard session.launchedProcess == nil else {
                // Stopped as its loader works, so that stacks through what that maps can be walked.
                return session.atLaunch = { [self] in try launch($0) }
            }
            return try lookAgain()
        }
        let probes = AllocatorProbes(
            loaded, process: process, finder: finder, way: way, session: session)
        self.probes = probes
        guard session.launchedProcess == nil else {
            session.atLaunch = { [self] in try launch($0) }
            return
        }
        _ = try probes.look()
        if probes.functions == 0 { throw nothingFound(process, probes) }
        report.observe()
        try lookAgain()
    }

    private func launch(_ launched: LaunchedCommand) throws {
        let stops = try LaunchStops(launched) { try launched.release() }
        if !stops.isPermitted {
            session.say("the command cannot be stopped as it begins: its first allocations may be missing")
        }
        try stops.run { [self] in try lookAtNewFiles() }
        report.observe()
        try lookAgain()
    }

    /// Whether there are allocators that were not there before.
    private func lookAtNewFiles() throws -> Bool {
        defer { report.observe() }
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
            guard let probes else { return report.observe() }
            if try probes.look() { report.observe() }
            if probes.functions == 0, let process, kill(process, 0) == 0 {
                // A launched command that has nothing to probe once its loader is done.
                throw nothingFound(process, probes)
            }
        }
    }

    private func record(_ bytes: RawSpan, _ loaded: LoadedObject) throws {
        guard bytes.byteCount >= MemoryLayout<memleak_event>.size else { return }
        let event = bytes.unsafeLoadUnaligned(as: memleak_event.self)
        try mappings?.apply(event, note: { [self] in try write($0, $1, $2, of: event) })
        if event.kind == MEMLEAK_EXECUTED.rawValue {
            // Probes on files that were mapped before hold for the new program as well.
            executions += 1
            if executions > 1 || session.launchedProcess == nil { try report.begin(loaded) }
            if executions > 1, let launched = session.launchedProcess {
                try LaunchStops(stopped: launched).run { [self] in try lookAtNewFiles() }
            }
            _ = try lookAtNewFiles()
            return
        }
        if mappings == nil { try report.write(event, to: session.output) }
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
        try report.begin(loaded)
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
        if let process, let probes, probes.functions == 0 { throw nothingFound(process, probes) }
        try noteMarks(loaded)
        if !isLast { report.observe() }
        let hasEnded = processHasEnded
        // What a program has not freed when it ends it will not free any more.
        let age = hasEnded || options.combinedOnly ? 0 : options.older * 1_000_000
        let now = monotonicTime()
        // Programs that end free what they need not have freed, and leave no time to grow.
        let isWhole = !isLast || !hasEnded && Double(now - lastReport) >= seconds * 1e9 / 2
        lastReport = now
        try report.read(
            loaded, mappings, minimumAge: age, since: beginning, endsInterval: isWhole)
        try report.write(to: session.output)
        try session.output.flush()
        reports += 1
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

/// Distances between samples, as multiples of their mean: the quantiles of the exponential distribution.
enum SampleDistances {
    /// As programs have them: in 1/65536.
    static var table: sample_distances {
        let count = Int(SAMPLE_DISTANCES)
        var distances = (0..<count).map { -log(1 - (Double($0) + 0.5) / Double(count)) }
        // The middle of an interval is not its mean, least so of the last one: scaled, the mean of all is right.
        let mean = distances.reduce(0, +) / Double(count)
        distances = distances.map { $0 / mean }
        var table = sample_distances()
        withUnsafeMutableBytes(of: &table) { bytes in
            for (index, distance) in distances.enumerated() {
                bytes.storeBytes(
                    of: UInt32((distance * 65_536).rounded()), toByteOffset: 4 * index, as: UInt32.self)
            }
        }
        return table
    }
}
