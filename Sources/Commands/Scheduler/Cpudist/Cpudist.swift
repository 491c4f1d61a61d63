// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Reporting
internal import Tracing

/// How long tasks run, or stay off the CPU, at a stretch.
package struct Cpudist: TracingCommand {
    package static let configuration = CommandConfiguration(
        commandName: "cpudist",
        abstract: "Show how long tasks stay on the CPU, or off it, at a stretch, as a histogram.",
        discussion: cpudistDiscussion)

    @OptionGroup(title: "When and what") package var intervals: IntervalOptions
    @Flag(name: [.customShort("O"), .customLong("offcpu")], help: "Measure the time off the CPU instead.")
    package var offCPU = false
    @Flag(name: [.customShort("I"), .customLong("include-idle")], help: "Count the idle task too.")
    package var includeIdle = false
    @Flag(
        name: [.customShort("e"), .customLong("extension")],
        help: "Print a summary below each histogram: the same as --percentiles.")
    package var summary = false
    @OptionGroup(title: "Histograms") package var histograms: HistogramOptions
    @OptionGroup(title: "Which tasks") package var targets: TargetOptions
    @OptionGroup(title: "Which tasks") package var shortCgroup: ShortCgroupOption
    @OptionGroup(title: "Which tasks") package var userOption: UserOption
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package var user: UInt32? { userOption.user }

    package mutating func validate() throws {
        try targets.setCgroup(shortCgroup.take())
        if summary { histograms.percentiles = true }
    }

    package func run() throws {
        if try !histograms.compareRecordings(json: common.json) { try runTracing() }
    }

    package func trace(_ session: Session) throws {
        let object = try session.open("cpudist")
        var config = sched_config()
        config.by = UInt8(intervals.by.rawValue)
        config.measure = UInt8((offCPU ? MEASURE_OFF_CPU : MEASURE_ON_CPU).rawValue)
        config.include_idle = includeIdle ? 1 : 0
        object.setConstant("sched_config", to: config)
        try HistogramRun(session, what: "times", options: histograms, intervals: intervals, by: intervals.by)
            .run(object, banner: "tracing \(offCPU ? "off" : "on")-CPU time; Ctrl-C to end")
    }
}

let cpudistDiscussion = """
    Counts how long a task has a CPU from one switch to the next, or with -O how long it is away from it, asleep \
    or waiting. Prints a histogram at the end, or every interval seconds.

    OUTPUT: As BCC's cpudist; each line is a range of microseconds. With --json a distribution is one object, with \
    its percentiles and its buckets (eight to each power of two) in nanoseconds.

    EXAMPLES: How long do the threads of a process run at a stretch?

        cpudist -L -p 1234 --duration 10

    OVERHEAD: One small program runs at each context switch; docs/benchmarks.md has figures.

    LIMITS: A stretch that began before the command, or has not ended with it, is not counted.

    COMPATIBILITY: The options of BCC's cpudist and of libbpf-tools' are all there.
    """
