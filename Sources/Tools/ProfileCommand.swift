// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Reporting
internal import Tracing

/// Where CPU time goes.
package struct ProfileCommand: TracingCommand {
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
        name: [.customShort("L", allowingJoined: true)], parsing: .unconditional,
        help: ArgumentHelp("The same as --tid.", valueName: "tid,…"), transform: parseIDs)
    package var threads: IDList?

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

    @OptionGroup(title: "Stacks") package var stacks: StackOptions
    @OptionGroup(title: "Which tasks") package var targets: TargetOptions
    @OptionGroup(title: "Which tasks") package var userOption: LongUserOption
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package var user: UInt32? { userOption.user }

    package mutating func validate() throws {
        if let seconds {
            guard common.duration == nil else { throw ValidationError("give the duration once.") }
            common.duration = seconds
            self.seconds = nil
        }
        if let threads {
            guard targets.threads == nil else {
                throw ValidationError("-L and --tid mean the same: give one of them.")
            }
            targets.threads = threads
            self.threads = nil
        }
        if frequency != nil && period != nil {
            throw ValidationError("-F and -c exclude each other: give one of them.")
        }
    }

    private var rate: SamplingRate { period.map { .period($0) } ?? .frequency(frequency ?? 49) }

    package func trace(_ session: Session) throws {
        var config = profile_config()
        config.sides = stacks.sides
        config.include_idle = includeIdle ? 1 : 0
        let (loaded, unwinder) = try session.loadStacks("profile", stacks) { object in
            object.setConstant("profile_config", to: config)
        }
        var style = StackReport.Style(
            valueTypes: [.samples, Profile.ValueType(name: "cpu", unit: "nanoseconds")], title: "CPU time")
        style.annotate = annotate
        style.offsets = addresses
        style.addresses = addresses
        let report = StackReport(stacks, style)
        try report.serve(unwinder, session)
        let sampler = try CPUSampler(
            loaded, program: unwinder == nil ? "take_sample_fp" : "take_sample", rate: rate, only: cpu)
        let nanoseconds = sampleNanoseconds(sampler)
        report.period = nanoseconds
        var counted = SampleCounts()
        try session.run(
            loaded, of: "samples",
            ready: { session.say(banner(sampler)) },
            interval: (1, { try sampler.followCPUs() }),
            record: { record in
                guard let sample = StackSample(record) else { return }
                counted.add(sample)
                var key = sample.key
                key.program = report.observe(
                    sample.process, at: sample.head.time_ns, running: key.user.first,
                    isCut: key.userEnd.isForWantOfMappings)
                report.add(key, [1, nanoseconds])
            },
            detach: sampler.stop,
            atEnd: {
                for line in counted.complaints { session.say(line) }
                report.explainEnds(to: session)
                try report.write(to: session.output, json: common.json)
            })
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
        return "sampling \(sides) stacks on \(sampler.count) CPUs \(pace); Ctrl-C to end"
    }
}

/// The user filter of commands in which -u means something else.
package struct LongUserOption: ParsableArguments {
    @Option(
        name: .customLong("uid"), parsing: .unconditional,
        help: ArgumentHelp("Only tasks of this user: a number or a name.", valueName: "user"),
        transform: parseUser)
    package var user: UInt32?

    package init() {}
}

/// A record of profile's program, decoded.
struct StackSample {
    let head: profile_event
    let key: StackReport.Key
    var process: Int32 { key.process }

    init?(_ record: RawSpan) {
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
            process: Int32(bitPattern: head.process), thread: Int32(bitPattern: head.process),
            comm: withUnsafeBytes(of: head.comm, WaitEvent.name), kernel: Array(addresses[..<kernel]),
            user: StackReport.withoutEnd(addresses[kernel...]), userEnd: StackEnd(head.user_end))
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
        throw ValidationError("'\(escaped(text))' is no frequency: give 1 to 100000 samples a second.")
    }
    return hertz
}

private func parsePeriod(_ text: String) throws -> UInt64 {
    guard let counts = UInt64(text), counts >= 1000, counts < 1 << 62 else {
        throw ValidationError("'\(escaped(text))' is no count of events: give 1000 or more.")
    }
    return counts
}

private func parseCPU(_ text: String) throws -> Int32 {
    guard let cpu = Int32(text), cpu >= 0, cpu < 8192 else {
        throw ValidationError("'\(escaped(text))' is no CPU: give its number, from 0.")
    }
    return cpu
}

let profileDiscussion = """
    Looks at what every CPU runs, 49 times a second, and adds up what it sees, by process and stack. Where the \
    machine has performance counters it samples CPU cycles, else the CPU clock; it says which.

    OUTPUT: As BCC's profile: the frames, the kernel's first, the innermost first; then the process and how often \
    it was seen so. The largest comes last. With --json each stack is an object with all that is known of its \
    frames.

    EXAMPLES: A flame graph of the whole machine over ten seconds:

        profile -F 99 --flamegraph cpu.svg 10

    Where does one thread burn its time?

        profile -F 99 -p 1234 10

    OVERHEAD: One interrupt for each sample. docs/benchmarks.md has figures.

    LIMITS: A stack whose outer frames could not be found ends with a line that begins with "[cut:" and says why. \
    Code made at run time is walked by its frame pointers. Frames of processes that have ended are named too, unless \
    their files were deleted before they could be opened, or the kernel refuses to tell of new mappings (-v says so).

    COMPATIBILITY: The options of BCC's profile and of libbpf-tools' are there, but for --stack-storage-size and \
    --hash-storage-size, which are not needed: nothing is stored in the kernel. Its banner goes to stderr.
    """
