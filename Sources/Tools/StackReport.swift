// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import Reporting
internal import Symbolization

/// Stacks with what was measured under each, and all the ways to write them down.
final class StackReport {
    let options: StackOptions
    let style: Style
    let symbolizer: Symbolizer
    private var entries: [Key: [UInt64]] = [:]
    private var lines: [Key: [Frame]] = [:]
    private var wakerLines: [Waker: [Frame]] = [:]
    /// Text above a stack that has no addresses: what is known instead.
    var notes: [Key: [String]] = [:]
    var period: UInt64 = 0
    /// Unix time in nanoseconds of a report that is one of several.
    var time: Int64?
    private var lastLook: [Int32: UInt64] = [:]
    private var feed: UnwinderFeed?
    /// Tells the symbolizer of processes; without it they are looked at when they are first seen.
    private var watch: TaskWatch?
    private var debugFiles: DebugFileServer?
    private let began = WallClock().nowUnixNanoseconds

    init(_ options: StackOptions, _ style: Style) {
        self.options = options
        self.style = style
        symbolizer = Symbolizer(
            options: SymbolizerOptions(demangle: options.demangle),
            lines: options.lines || options.inlines ? DWARFLines() : nil)
    }

    /// Call while a process lives, so that its frames can be named when it is gone.
    func observe(_ process: Int32) {
        defer { feed?.flush() }
        watch?.catchUp()
        if symbolizer.keep(process: process), watch != nil { return }
        symbolizer.observe(process: process)
    }

    /// The same for a process that has just been seen to run at an address: looks at it if it is new, if the
    /// address is (it may have executed another program, or loaded a library), or if its stack was cut for want of
    /// that, and once a second.
    /// - Returns: For `Key.program`.
    func observe(
        _ process: Int32, at nanoseconds: UInt64, running address: UInt64?, isCut: Bool = false
    ) -> UInt64? {
        defer { feed?.flush() }
        guard let watch else {
            look(process, at: nanoseconds, running: address, isCut: isCut)
            return nil
        }
        watch.catchUp(with: nanoseconds)
        let program = symbolizer.program(of: process, at: nanoseconds)
        if lastLook[process] == nil, !isCut, program != 0, let address,
            symbolizer.knows(address, in: process, at: nanoseconds)
        {
            // All that a look would show is known: the next one is for code that it makes at run time.
            lastLook[process] = nanoseconds
            return program
        }
        look(process, at: nanoseconds, running: address, isCut: isCut)
        return symbolizer.program(of: process, at: nanoseconds)
    }

    private func look(_ process: Int32, at nanoseconds: UInt64, running address: UInt64?, isCut: Bool) {
        if let last = lastLook[process] {
            let age = nanoseconds - min(nanoseconds, last)
            let isKnown =
                !isCut && (address.map { symbolizer.knows($0, in: process, at: nanoseconds) } ?? true)
            guard age > (isKnown ? Self.lookAgain : Self.lookAtNew) else { return }
        }
        lastLook[process] = nanoseconds
        symbolizer.observe(process: process)
    }

    /// Follows what processes map from now on, where the kernel lets us, and tells unwinders.
    ///
    /// To be called before programs are attached: stacks are right from the first one on.
    func serve(_ unwinders: [StackUnwinder?], _ session: Session) throws {
        guard !options.kernelOnly else { return }
        debugFiles = try options.debugFiles.server(session)
        watch = try TaskWatch(session, feeding: symbolizer, only: session.onlyProcesses)
        let served = unwinders.compactMap { $0 }
        guard !served.isEmpty else { return }
        let feed = UnwinderFeed(served, symbolizer, only: session.onlyProcesses)
        self.feed = feed
        watch?.afterReading = feed.flush
        for process in session.livingProcesses { symbolizer.observe(process: process) }
        feed.flush()
        session.beforeFirstInstruction = { [symbolizer, watch] process in
            watch?.catchUp()
            symbolizer.observe(process: process)
            feed.flush()
        }
    }

    /// With `-v`: how user stacks ended, and what the unwinder holds.
    func explainEnds(to session: Session) {
        var ends: [String: UInt64] = [:]
        for (key, values) in entries where key.userEnd.isKnown {
            ends[key.userEnd.name, default: 0] += values[style.value]
            if key.userEnd.byFramePointer {
                ends["partly by frame pointers", default: 0] += values[style.value]
            }
        }
        let total = max(1, ends.filter { $0.key != "partly by frame pointers" }.values.reduce(0, +))
        for (name, value) in ends.sorted(by: { $0.value > $1.value }) {
            let share = Double(value) / Double(total) * 100
            session.explain("user stacks that end with \(name): \((share * 100).rounded() / 100) %")
        }
        guard let unwinder = feed?.unwinders.first else { return }
        let counts = unwinder.counts
        session.explain(
            "unwinding: \(counts.rows) rows of \(counts.files) files in \(unwinder.bytesHeld / 1024) KB, made in "
                + "\(counts.nanoseconds / 1_000_000) ms")
        if counts.filesLeftOut + counts.processesLeftOut > 0 {
            session.say(
                "\(counts.filesLeftOut) files and \(counts.processesLeftOut) processes found no room in the "
                    + "unwinder's tables: their stacks follow frame pointers; trace fewer processes")
        }
    }

    /// Nanoseconds between two looks at a process, and at one that runs where nothing was before.
    private static let lookAgain: UInt64 = 1_000_000_000
    private static let lookAtNew: UInt64 = 2_000_000

    func add(_ key: Key, _ values: [UInt64]) {
        guard var sum = entries[key] else {
            entries[key] = values
            return
        }
        for index in values.indices { sum[index] &+= values[index] }
        entries[key] = sum
    }

    var isEmpty: Bool { entries.isEmpty }

    /// What naming the frames took, in one line.
    var effort: String {
        let counts = symbolizer.statistics
        return "\(counts.lookups) addresses looked up, \(counts.misses) without a name; "
            + "\(counts.filesOpened) files opened, \(counts.symbolsIndexed) symbols indexed, "
            + "\(counts.bytesHeld) bytes held, \(counts.evictions) indexes given up"
    }

    func frames(_ key: Key) -> [Frame] {
        if let known = lines[key] { return known }
        let frames = frames(
            kernel: key.kernel, user: key.user, end: key.userEnd, process: key.process, program: key.program)
        lines[key] = frames
        return frames
    }

    func frames(_ waker: Waker) -> [Frame] {
        if let known = wakerLines[waker] { return known }
        let frames = frames(
            kernel: waker.kernel, user: waker.user, end: waker.userEnd, process: waker.process, program: nil)
        wakerLines[waker] = frames
        return frames
    }

    /// Frames of a stack, leaf first, the kernel's before the user's.
    private func frames(
        kernel: [UInt64], user: [UInt64], end: StackEnd, process: Int32, program: UInt64?
    ) -> [Frame] {
        var frames = kernelFrames(kernel)
        for (index, address) in user.enumerated() {
            // All but the leaf are return addresses, unless the kernel was entered below: then the leaf is, too.
            var found = symbolizer.frames(
                user: address, process: process, isReturnAddress: index > 0, at: program)
            if index > 0, found[0].function == nil {
                // A signal's handler returns to the beginning of a function, which has called nothing.
                let exact = symbolizer.frames(
                    user: address, process: process, isReturnAddress: false, at: program)
                if exact[0].function != nil, exact[0].functionOffset == 0 { found = exact }
            }
            frames += shown(found)
        }
        if let marker = end.marker { frames.append(Frame(marker: marker)) }
        return frames
    }

    /// Without what --no-lines and --no-inlines leave out.
    private func shown(_ frames: [Frame]) -> [Frame] {
        let kept = options.inlines ? frames[...] : frames.suffix(1)
        guard !options.lines else { return Array(kept) }
        return kept.map { frame in
            var frame = frame
            frame.file = nil
            frame.line = nil
            return frame
        }
    }

    private func kernelFrames(_ addresses: [UInt64]) -> [Frame] {
        let named = addresses.enumerated().flatMap { index, address in
            symbolizer.frames(kernel: address, isReturnAddress: index > 0)
        }
        return Array(named.dropFirst(Self.tracerFrames(named.map(\.function))))
    }

    /// How many frames at the leaf belong to the tracer itself.
    static func tracerFrames(_ names: [String?]) -> Int {
        let ours = [
            "bpf_prog_", "bpf_trace_run", "__bpf_trace_", "__traceiter_", "bpf_get_stack", "__bpf_prog_",
        ]
        let last = names.prefix(12).lastIndex { name in
            name.map { name in ours.contains { name.hasPrefix($0) } } ?? false
        }
        return last.map { $0 + 1 } ?? 0
    }

    /// A user stack without what is no address at its end: where frame pointers lead nowhere they often lead to 0.
    static func withoutEnd(_ addresses: ArraySlice<UInt64>) -> [UInt64] {
        // The first page is never mapped (vm.mmap_min_addr).
        Array(addresses[..<(addresses.lastIndex { $0 >= 4096 }.map { $0 + 1 } ?? addresses.startIndex)])
    }

    /// Function names of a stack's kernel part, leaf first.
    func kernelNames(_ addresses: [UInt64]) -> [String] { kernelFrames(addresses).map { $0.function ?? "" } }

    /// What a reader can tell frames apart by: samples that hit one function in different places are one stack.
    private struct Look: Hashable {
        let process: Int32
        let thread: Int32
        let comm: String
        let labels: [String: String]
        let waker: String?
        let frames: [String]
    }

    private func look(_ key: Key) -> Look {
        let waker = key.waker.map { "\($0.process) \($0.thread) \($0.comm)" }
        let frames = (frames(key) + (key.waker.map(frames) ?? [])).map { frame in
            let place =
                style.addresses || frame.function == nil
                ? frame.address : style.offsets ? frame.functionOffset : 0
            return
                "\(frame.function ?? "") \(frame.module ?? "") \(frame.file ?? ""):\(frame.line ?? 0) \(place)"
        }
        return Look(
            process: key.process, thread: key.thread, comm: key.comm, labels: key.labels, waker: waker,
            frames: frames)
    }

    /// Entries that look different, by value, the largest last as in BCC's tools.
    private var sorted: [(key: Key, values: [UInt64])] {
        var merged: [Look: (key: Key, values: [UInt64])] = [:]
        for (key, values) in entries {
            let look = look(key)
            guard var known = merged[look] else {
                merged[look] = (key, values)
                continue
            }
            for index in values.indices { known.values[index] &+= values[index] }
            merged[look] = known
        }
        return merged.values.sorted {
            ($0.values[style.value], $0.key.comm, $0.key.thread) < (
                $1.values[style.value], $1.key.comm, $1.key.thread
            )
        }
    }

    /// Writes everything that was asked for.
    ///
    /// - Parameter rows: false if they have been written already.
    func write(to output: Output, json: Bool, rows: Bool = true) throws {
        watch?.finish()
        if rows { try writeRows(to: output, json: json) }
        try writeFiles()
        debugFiles?.conclude()
    }

    /// Forgets what has been added: for a report of what comes from now on.
    func clear() {
        entries = [:]
        watch?.catchUp()
    }

    /// Writes the stacks that have been added.
    func writeRows(to output: Output, json: Bool) throws {
        if let debugFiles { symbolizer.ask(debugFiles) }
        if options.folded {
            try output.write { writer in
                var folded = FoldedStacks()
                folded.value = style.value
                folded.divisor = style.divisor
                folded.annotate = style.annotate
                folded.write(profile(wakers: true), to: writer)
            }
        } else {
            for (key, values) in sorted {
                try output.write { writer in
                    json ? writeJSON(key, values, to: writer) : writeText(key, values, to: writer)
                }
            }
        }
        try output.flush()
    }

    /// The same for folded stacks, pictures and pprof.
    ///
    /// - Parameter wakers: puts the waker's stack above the blocked one, its root on top.
    private func profile(wakers: Bool) -> Profile {
        var profile = Profile(valueTypes: style.valueTypes)
        profile.period = period
        if period > 0 { profile.periodType = Profile.ValueType(name: "cpu", unit: "nanoseconds") }
        profile.timeNanoseconds = UInt64(max(0, began))
        profile.durationNanoseconds = UInt64(max(0, WallClock().nowUnixNanoseconds - began))
        for (key, values) in entries {
            var labels = [Profile.Label("process", key.comm), Profile.Label("pid", Int64(key.process))]
            if key.thread != key.process { labels.append(Profile.Label("thread", Int64(key.thread))) }
            labels += key.labels.sorted { $0.key < $1.key }.map { Profile.Label($0.key, $0.value) }
            if let waker = key.waker {
                labels.append(Profile.Label("waker", waker.comm))
                labels.append(Profile.Label("waker_tid", Int64(waker.thread)))
            }
            var stack = delimited(frames(key).reversed())
            if stack.isEmpty { stack = (notes[key] ?? []).map { Profile.Frame(.marker, $0) }.reversed() }
            if State(key) == .offCPU { stack = stack.offCPU(key.labels[OffCPUTrace.wait] ?? "") }
            if wakers, let waker = key.waker {
                stack = stack.woken(by: waker.comm, on: delimited(frames(waker)))
            }
            profile.add(stack, values: values, labels: labels)
        }
        return profile
    }

    /// With -d a delimiter where the kernel was entered.
    private func delimited(_ frames: [Frame]) -> [Profile.Frame] {
        var result = frames.map(\.forProfile)
        guard options.delimited, let first = result.first?.kind,
            let border = result.firstIndex(where: { ($0.kind == .kernel) != (first == .kernel) })
        else { return result }
        result.insert(Profile.Frame(.marker, "-"), at: border)
        return result
    }

    private func writeFiles() throws {
        if let path = options.flameGraph {
            var graph = FlameGraph.Options()
            graph.title = style.title
            graph.palette = style.palette
            graph.value = style.value
            let picture = FlameGraph(profile(wakers: true), graph)
            try writeFile(path) {
                path.hasSuffix(".svg") ? picture.writeSVG(to: $0) : picture.writeHTML(to: $0)
            }
        }
        if let path = options.pprof {
            // A function that wakes is not called by the one that waits: there the waker is a label.
            let profile = profile(wakers: false)
            try writeFile(path) { try profile.writePprof(to: $0, defaultValue: style.value) }
        }
    }
}
