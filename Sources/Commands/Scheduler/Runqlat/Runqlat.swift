// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Reporting
internal import Tracing

/// How long tasks wait for the CPU, as a histogram.
package struct Runqlat: TracingCommand {
    package static let place = 2
    package static let configuration = CommandConfiguration(
        commandName: "runqlat",
        abstract: "Show how long tasks wait for a CPU, as a histogram.",
        discussion: runqlatDiscussion)

    @OptionGroup(title: "When and what") package var intervals: IntervalOptions
    @Flag(name: .customLong("pidnss"), help: "A histogram for each PID namespace.")
    package var byNamespace = false
    @Flag(name: .customLong("wakeups-only"), help: "Leave out waits after being preempted.")
    package var wakeupsOnly = false
    @OptionGroup(title: "Histograms") package var histograms: HistogramOptions
    @OptionGroup(title: "Which tasks") package var targets: TargetOptions
    @OptionGroup(title: "Which tasks") package var shortCgroup: ShortCgroupOption
    @OptionGroup(title: "Which tasks") package var userOption: UserOption
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package var user: UInt32? { userOption.user }

    package mutating func validate() throws {
        try targets.setCgroup(shortCgroup.take())
        if byNamespace && intervals.by != BY_NOTHING {
            throw ValidationError("--pidnss excludes -P, -L, --by-cgroup and --by-cpu: give one of them.")
        }
    }

    package func run() throws {
        if try !histograms.compareRecordings(json: common.json) { try runTracing() }
    }

    package func trace(_ session: Session) throws {
        let object = try session.open("runqlat")
        let by = byNamespace ? BY_PID_NAMESPACE : intervals.by
        var config = sched_config()
        config.by = UInt8(by.rawValue)
        config.wakeups_only = wakeupsOnly ? 1 : 0
        object.setConstant("sched_config", to: config)
        try HistogramRun(session, what: "waits", options: histograms, intervals: intervals, by: by)
            .run(object, banner: "tracing run queue latency; Ctrl-C to end")
    }
}

let runqlatDiscussion = """
    Counts every wait in the runnable state, until the task gets a CPU: after being woken, after being preempted, \
    and the first wait of a new task. Prints a histogram at the end, or every interval seconds.

    OUTPUT: As BCC's runqlat; each line is a range of microseconds. With --json a distribution is one object, with \
    its percentiles and its buckets (eight to each power of two) in nanoseconds.

    EXAMPLES: All waits of one process, each second, with percentiles:

        runqlat --percentiles -p 1234 1

    What has pinning the threads changed?

        runqlat --json --duration 10 -L > before.json
        runqlat --json --duration 10 -L > after.json
        runqlat --compare before.json --compare after.json

    OVERHEAD: Small programs run at each wake-up and each context switch; docs/benchmarks.md has figures.

    LIMITS: A wait that has not ended when the command ends is not counted. An interval's maximum that is not a \
    new maximum of the whole run is known to an eighth only. The kernels of some sandboxes do not report every \
    switch: a wait that such a switch ends is not counted.

    COMPATIBILITY: The options of BCC's runqlat and of libbpf-tools' are all there. Waits begin at the waking \
    (sched_waking), not when the wake-up has reached the other CPU, so that remote wake-ups are not under-counted.
    """
