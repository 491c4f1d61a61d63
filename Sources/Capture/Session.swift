// SPDX-License-Identifier: Apache-2.0
internal import CSupport
internal import Glibc
internal import Processes
package import Reporting
internal import Tracing

/// One run of a command: its targets, its output, its loop, and what was lost on the way.
package final class Session {
    let name: String
    let common: CommonOptions
    package let output = Output()
    let loop: EventLoop
    private(set) var filter: TargetFilter
    private var launched: LaunchedCommand?
    /// Of objects whose user stacks follow frame pointers.
    var meanings: [MeaningTable] = []
    /// Set by a command that has to know the launched program before it runs. That is then traced from its first
    /// instruction on, and not from its fork.
    var beforeFirstInstruction: ((_ process: Int32) -> Void)?

    /// - Parameter name: the command's, for messages.
    init(name: String, common: CommonOptions, targets: TargetOptions, user: UInt32?) throws {
        self.name = name
        self.common = common
        LibbpfLog.install(verbose: common.verbose)
        filter = try TargetFilter(targets, user: user)
        try Privileges.require()
        loop = try EventLoop(output: common.dryRun ? nil : 1)
        for note in filter.notes { say(note) }
        if !targets.command.isEmpty && !common.dryRun {
            let launched = try LaunchedCommand(targets.command)
            filter.addLaunched(launched.process)
            self.launched = launched
        }
    }

    /// A message for the person, on stderr.
    func say(_ message: String) { writeError("\(name): \(message)") }

    /// The same, with `-v` only.
    func explain(_ message: String) {
        if common.verbose { say(message) }
    }

    /// Lets the launched command go, for commands that have something to do as it begins.
    var atLaunch: ((LaunchedCommand) throws -> Void)?

    /// The command that was launched to be traced.
    var launchedProcess: Int32? { launched?.process }

    /// The processes and threads that were chosen by ID; nil where IDs are not the kernel's own, in a PID namespace.
    var chosenTasks: (processes: [Int32], threads: [Int32])? {
        filter.hasKernelIDs ? (filter.processes, filter.threads) : nil
    }

    /// Types of the running kernel, from it or from `--btf`.
    func kernelTypes() throws -> KernelTypes { try KernelTypes(path: common.btf) }

    /// Opens an embedded object with the filters, sizes and program variants that the options and this kernel ask
    /// for.
    func open(_ image: String) throws -> OpenObject {
        try KernelTypes.require(path: common.btf)
        let object = try OpenObject(ObjectImage.named(image), btf: common.btf)
        try filter.configure(object)
        try object.chooseVariants(native: KernelTypes.areNative) {
            try KernelTypes.programsArePreemptible(path: common.btf)
        }
        if let size = common.bufferSize {
            try object.resize("events", to: Self.ringBytes(size))
        }
        return object
    }

    /// Loads an object and fills its filters.
    ///
    /// - Parameters:
    ///   - waitsForFirstInstruction: leaves the launched command out until `beforeFirstInstruction` was called.
    ///   - work: done while the kernel verifies the programs; it must not use them, nor libbpf.
    func load(
        _ object: consuming OpenObject, waitsForFirstInstruction: Bool = false,
        meanwhile work: (() -> Void)? = nil
    ) throws -> LoadedObject {
        let loaded = try object.load(meanwhile: work)
        try filter.fill(loaded, without: waitsForFirstInstruction ? launchedProcess : nil)
        return loaded
    }

    /// A ring buffer's size must be a power of two and whole pages.
    static func ringBytes(_ wanted: UInt64) -> UInt32 {
        let least = UInt64(getpagesize())
        let most: UInt64 = 1 << 31
        var size = least
        while size < min(wanted, most) { size <<= 1 }
        return UInt32(size)
    }

    /// One of the objects of a run.
    struct Source {
        let object: LoadedObject
        /// The events, in the plural, for messages about losses.
        let what: String
        /// What is said, behind their number, of counts that found no room.
        var lostTotals: String?
        /// Called with each record of the object's ring.
        var record: (RawSpan) throws -> Void = { _ in }
    }

    /// Attaches an object, hands every record to `record`, and returns when the run has ended.
    ///
    /// - Parameters:
    ///   - what: the events, in the plural, for messages about losses.
    ///   - lostTotals: what is said, behind their number, of counts that found no room.
    ///   - record: called with each record of the object's ring.
    func run(
        _ object: LoadedObject, of what: String, lostTotals: String? = nil, ready: () throws -> Void,
        interval: (seconds: Double, report: () throws -> Void)? = nil,
        record: @escaping (RawSpan) throws -> Void = { _ in },
        afterRound: @escaping () throws -> Void = {}, detach: () -> Void = {}, atEnd: () throws -> Void = {}
    ) throws {
        try run(
            [Source(object: object, what: what, lostTotals: lostTotals, record: record)], ready: ready,
            interval: interval,
            afterRound: afterRound, detach: detach, atEnd: atEnd)
    }

    /// Attaches objects, hands out their records, and returns when the run has ended.
    ///
    /// - Parameters:
    ///   - ready: called once probes are attached: the place for a heading.
    ///   - interval: a period in seconds, and what to do each time it is over; at the end of the run it is up to
    ///     `atEnd` to report what has gathered since.
    ///   - afterRound: called after each batch of records that belong together in time.
    ///   - detach: detaches what the command itself has attached.
    ///   - atEnd: called after the last record, with probes detached and the objects still there.
    func run(
        _ sources: [Source], ready: () throws -> Void,
        interval: (seconds: Double, report: () throws -> Void)? = nil,
        afterRound: @escaping () throws -> Void = {}, detach: () -> Void = {}, atEnd: () throws -> Void = {}
    ) throws {
        var failure: (any Error)?
        let rings = try sources.map { source in
            try EventRing(source.object) { bytes in
                guard failure == nil else { return }
                do { try source.record(bytes) } catch { failure = error }
            }
        }
        var links = Links()
        for source in sources { try source.object.attachAll(to: &links) }
        if common.dryRun { return }
        for ring in rings { try loop.attach(ring) }
        // The command to run has been forked by now and keeps its own priority.
        apus_read_before_others()
        var losses = sources.map { LossReport(what: $0.what, totals: $0.lostTotals, say: say) }
        loop.afterRound = { [output] in
            if let failure { throw failure }
            try output.flush()
            for (index, ring) in rings.enumerated() { losses[index].update(Losses(ring.counters)) }
            try afterRound()
        }
        var isUnderWay = false
        withoutActuallyEscaping(interval?.report ?? {}) { report in
            do {
                try ready()
                try output.flush()
                explain("ready: all probes are attached")
                if let interval {
                    try loop.schedule(seconds: interval.seconds, repeating: true, fire: report)
                }
                try begin(sources.map(\.object))
                isUnderWay = true
                if try loop.run() == .outputClosed { output.discardRest() }
            } catch {
                failure = failure ?? error
            }
            loop.cancelTimers()
            loop.afterRound = {}
        }
        // From here on every way out is the same: what was gathered is written, and what was lost is said.
        links.detach()
        detach()
        for ring in rings { ring.drainAll() }
        do {
            // Without a run there is nothing to report: the command could not be started.
            if isUnderWay { try atEnd() }
            try output.flush()
        } catch {
            failure = failure ?? error
        }
        launched?.end()
        sayWhatWasLost(&losses, sources, rings)
        if let failure { throw failure }
    }

    private func sayWhatWasLost(_ losses: inout [LossReport], _ sources: [Source], _ rings: [EventRing]) {
        for (index, source) in sources.enumerated() {
            let skipped = source.object.skippedRuns()
            for (program, runs) in skipped.sorted(by: { $0.key < $1.key }) {
                explain("\(runs) runs of \(program) left out: it was under way on their CPU already")
            }
            losses[index].finish(Losses(rings[index].counters, skipped: skipped.values.reduce(0, +)))
        }
    }

    /// Lets the launched command go.
    private func release(_ launched: LaunchedCommand, _ objects: [LoadedObject]) throws {
        if let atLaunch { return try atLaunch(launched) }
        guard let prepare = beforeFirstInstruction else { return try launched.release() }
        var failure: (any Error)?
        try launched.release {
            prepare(launched.process)
            do {
                for object in objects { try self.filter.addRunning(launched.process, object) }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    /// Starts what bounds the run, and then the command.
    private func begin(_ objects: [LoadedObject]) throws {
        if let seconds = common.duration { try loop.limit(seconds: seconds) }
        var watched = 0
        for process in filter.processes where try loop.watchTarget(process) { watched += 1 }
        for thread in filter.threads
        where try loop.watchTarget(thread, of: filter.processOfThread[thread]) { watched += 1 }
        output.shouldEnd = { [loop] in loop.endIsPending }
        if let launched { try release(launched, objects) }
        let chosen = filter.processes.count + filter.threads.count
        if chosen > 0 && watched == 0 { loop.stop() }
    }
}
