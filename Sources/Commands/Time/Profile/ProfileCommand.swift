// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Reporting
internal import Tracing

/// Where CPU time goes.
package struct ProfileCommand: TracingCommand {
    package static let place = 1
    package static let configuration = CommandConfiguration(
        commandName: "profile",
        abstract: "Show where CPU time goes: samples of all stacks, or a flame graph of them.",
        discussion: profileDiscussion)

    @Argument(help: "The same as --duration.", transform: parseSeconds)
    package var seconds: Double?

    @Option(
        name: [.customShort("F", allowingJoined: true), .customLong("frequency")], parsing: .unconditional,
        help: ArgumentHelp("Samples a second on each CPU (49).", valueName: "hertz"),
        transform: parseFrequency)
    package var frequency: UInt64?

    @Option(
        name: [.customShort("c", allowingJoined: true), .customLong("count")], parsing: .unconditional,
        help: ArgumentHelp(
            "A sample every so many events: CPU cycles, or nanoseconds of the CPU clock.", valueName: "events"
        ),
        transform: parsePeriod)
    package var period: UInt64?

    @Option(
        name: [.customShort("L", allowingJoined: true)], parsing: .unconditionalSingleValue,
        help: ArgumentHelp("The same as --tid.", valueName: "tid,…"), transform: parseIDs)
    package var threadLists: [IDList] = []

    package var threads: IDList? {
        get { IDList(threadLists) }
        set { threadLists = newValue.map { [$0] } ?? [] }
    }

    @Option(
        name: [.customShort("C", allowingJoined: true), .customLong("cpu")], parsing: .unconditional,
        help: ArgumentHelp("Only this CPU.", valueName: "cpu"), transform: parseCPU)
    package var cpu: Int32?

    @Flag(name: [.customShort("I"), .customLong("include-idle")], help: "Sample the idle task too.")
    package var includeIdle = false

    @Flag(
        name: [.customShort("a"), .customLong("annotations")],
        help: "Mark kernel frames of folded stacks with _[k].")
    package var annotate = false

    @Flag(
        name: [.customShort("A"), .customLong("show-addresses")], help: "Show addresses, offsets and modules."
    )
    package var addresses = false

    @Flag(
        name: .customLong("off-cpu"),
        help: "Also where each thread waits: all of its time, on and off the CPU, in one picture.")
    package var offCPU = false

    @Option(
        name: .customLong("stack-storage-size"), parsing: .unconditional,
        help: ArgumentHelp(
            "With --off-cpu: how many stacks of waiting threads can be stored (16384).", valueName: "count"))
    package var stackStorage: UInt32 = 16_384

    @Option(
        name: .customLong("hash-storage-size"), parsing: .unconditional,
        help: ArgumentHelp(
            "Accepted for compatibility; ignored: samples are not stored in the kernel.", valueName: "count"))
    package var hashStorage: UInt32 = 40_960

    @Option(
        name: .customShort("S", allowingJoined: true), parsing: .unconditional,
        help: ArgumentHelp(
            "Accepted for compatibility; ignored: the tracer's own frames are never shown.",
            valueName: "frames"))
    package var skippedFrames: UInt32?

    @OptionGroup(title: "Stacks") package var stacks: StackOptions
    @OptionGroup(title: "Which tasks") package var targets: TargetOptions
    @OptionGroup(title: "Which tasks") package var userOption: LongUserOption
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package var user: UInt32? { userOption.user }

    package mutating func validate() throws {
        try common.setDuration(seconds)
        seconds = nil
        try stacks.requireOneForm(json: common.json)
        if let threads {
            guard targets.threads == nil else {
                throw ValidationError("-L and --tid mean the same: give one of them.")
            }
            try IDList.requireFew(threadLists)
            targets.threads = threads
            self.threads = nil
        }
        if frequency != nil && period != nil {
            throw ValidationError("-F and -c exclude each other: give one of them.")
        }
        guard stackStorage > 0, stackStorage <= 1 << 22 else {
            throw ValidationError("--stack-storage-size must be 1 to \(1 << 22).")
        }
        if offCPU && (cpu != nil || includeIdle) {
            throw ValidationError("--off-cpu is about threads: leave out \(cpu != nil ? "-C" : "-I").")
        }
    }

    private var rate: SamplingRate { period.map { .period($0) } ?? .frequency(frequency ?? 49) }

    private func load(
        _ session: Session, _ names: StackNames
    ) throws -> (object: LoadedObject, unwinder: StackUnwinder?) {
        var config = profile_config()
        config.sides = stacks.sides
        config.include_idle = includeIdle ? 1 : 0
        return try session.loadStacks(
            "profile", stacks.pictures.walk, user: stacks.wantsUser, names: names
        ) { object, _ in
            object.setConstant("profile_config", to: config)
        }
    }

    private var style: StackReport.Style {
        var style = StackReport.Style(
            valueTypes: [.samples, Profile.ValueType(name: "cpu", unit: "nanoseconds")], title: "CPU time")
        if offCPU {
            style.valueTypes = ["wall", "on_cpu", "off_cpu"].map {
                Profile.ValueType(name: $0, unit: "nanoseconds")
            }
            style.title = "Time on and off the CPU"
            style.showsThread = true
            style.divisor = 1000
        }
        style.annotate = annotate
        style.offsets = addresses
        style.addresses = addresses
        return style
    }

    package func trace(_ session: Session) throws {
        try requireCPU(cpu)
        let report = StackReport(stacks, style, json: common.json)
        try report.watch(session)
        let (loaded, unwinder) = try load(session, report.names)
        let blocks =
            offCPU
            ? try OffCPUTrace(
                session, .init(sides: stacks.sides), stacks, report.names, stackStorage: stackStorage) : nil
        try report.serve([unwinder, blocks?.unwinder], session)
        let sampler = try CPUSampler(
            loaded, program: unwinder == nil ? "take_sample_fp" : "take_sample", rate: rate, only: cpu,
            byClock: offCPU)
        let nanoseconds = sampleNanoseconds(sampler)
        let values = offCPU ? [nanoseconds, nanoseconds, 0] : [1, nanoseconds]
        report.period = nanoseconds
        // Where threads wait is named at the end.
        report.holdsAll = !offCPU
        var counted = SampleCounts()
        var sources = [
            Session.Source(object: loaded, what: "samples") { record in
                guard let sample = StackSample(record, byThread: offCPU) else { return }
                counted.add(sample)
                let rest = sample.head.deferred == 0 ? nil : report.names.takeRest(sample.head.deferred)
                var key =
                    rest.map(sample.key.continued) ?? report.names.trusted(sample.key, sample.head.time_ns)
                if stacks.wantsUser {
                    key.moment = report.names.observe(
                        sample.process, at: sample.head.time_ns, running: key.user.first,
                        isCut: key.userEnd.isForWantOfMappings)
                }
                report.add(key, values)
            }
        ]
        if let blocks { sources.append(Self.source(blocks, report)) }
        try session.run(
            sources,
            ready: {
                session.say(banner(sampler))
                blocks?.findBlocked(session, targets, user: user)
            },
            interval: (1, { try sampler.followCPUs() }),
            detach: sampler.stop,
            atEnd: {
                for line in counted.complaints { session.say(line) }
                blocks?.read(into: report, labels: StackReport.State.offCPU.labels) { ns, _ in [ns, 0, ns] }
                report.explainEnds(to: session)
                try report.write(to: session.output, json: common.json)
                session.explain(report.names.effort)
            })
    }

    /// What offcputime's programs send: processes that they have met.
    private static func source(_ blocks: OffCPUTrace, _ report: StackReport) -> Session.Source {
        Session.Source(
            object: blocks.object, what: "blocks", lostTotals: StackStore.lostTotals(of: "blocks")
        ) { record in
            guard record.byteCount >= MemoryLayout<process_event>.size else { return }
            report.names.observe(
                Int32(bitPattern: record.unsafeLoadUnaligned(as: process_event.self).process))
        }
    }

    /// What one sample stands for; 0 if that is not known, as with cycles.
    private func sampleNanoseconds(_ sampler: CPUSampler) -> UInt64 {
        switch rate {
        case .frequency(let hertz): 1_000_000_000 / hertz
        case .period(let counts): sampler.countsCycles ? 0 : counts
        }
    }

    private func banner(_ sampler: CPUSampler) -> String {
        let event = sampler.countsCycles ? "hardware cycles" : "the CPU clock"
        let pace: String
        switch rate {
        case .frequency(let hertz): pace = "at \(hertz) Hertz by \(event)"
        case .period(let counts): pace = "every \(counts) counts of \(event)"
        }
        let sides = stacks.userOnly ? "user" : stacks.kernelOnly ? "kernel" : "user and kernel"
        let waits = offCPU ? ", and where threads wait, in microseconds" : ""
        return "sampling \(sides) stacks on \(sampler.count) CPUs \(pace)\(waits); Ctrl-C to end"
    }
}

/// A record of profile's program, decoded.
struct StackSample {
    let head: profile_event
    let key: StackReport.Key
    var process: Int32 { key.process }

    /// - Parameter byThread: tells threads of a process apart, and that they were on the CPU.
    init?(_ record: RawSpan, byThread: Bool = false) {
        let headBytes = MemoryLayout<profile_event>.size
        guard record.byteCount >= headBytes else { return nil }
        head = record.unsafeLoadUnaligned(as: profile_event.self)
        let kernel = Int(head.kernel_frames)
        let all = kernel + Int(head.user_frames)
        guard record.byteCount >= headBytes + all * 8 else { return nil }
        let addresses = (0..<all).map { index in
            record.unsafeLoadUnaligned(fromByteOffset: headBytes + index * 8, as: UInt64.self)
        }
        key = StackReport.Key(
            process: Int32(bitPattern: head.process),
            thread: Int32(bitPattern: byThread ? head.thread : head.process),
            comm: withUnsafeBytes(of: head.comm, taskName), kernel: Array(addresses[..<kernel]),
            user: StackNames.withoutEnd(addresses[kernel...]), userEnd: StackEnd(head.user_end),
            started: StackReport.start(of: head.program),
            labels: byThread ? StackReport.State.onCPU.labels : [:])
    }
}

/// What is known of samples whose stacks could not be taken.
struct SampleCounts {
    private(set) var samples = 0
    private(set) var withoutKernelStack = 0
    private(set) var withoutUserStack = 0

    mutating func add(_ sample: StackSample) {
        samples += 1
        if sample.head.kernel_error != 0 { withoutKernelStack += 1 }
        if sample.head.user_error != 0 { withoutUserStack += 1 }
    }

    /// One line for each side that is missing; all samples count all the same.
    var complaints: [String] {
        var lines: [String] = []
        if withoutKernelStack > 0 {
            lines.append(
                "\(withoutKernelStack) of \(samples) samples have no kernel stack: it could not be read")
        }
        if withoutUserStack > 0 {
            lines.append("\(withoutUserStack) of \(samples) samples have no user stack: it could not be read")
        }
        return lines
    }
}

private func parseFrequency(_ text: String) throws -> UInt64 {
    guard let hertz = UInt64(text), hertz > 0, hertz <= 100_000 else {
        throw ValidationError("invalid frequency '\(escaped(text))': expected 1 to 100000 samples a second.")
    }
    return hertz
}

private func parsePeriod(_ text: String) throws -> UInt64 {
    guard let counts = UInt64(text), counts >= 1000, counts < 1 << 62 else {
        throw ValidationError("invalid count of events '\(escaped(text))': expected 1000 or more.")
    }
    return counts
}
