// SPDX-License-Identifier: Apache-2.0
internal import Reporting
internal import Symbolization

/// Stacks with what was measured under each, and all the ways to write them down.
final class StackReport {
    let options: StackOptions
    let style: Style
    let names: StackNames
    let namer: StackNamer
    /// What has not been named yet.
    private var entries: [Key: [UInt64]] = [:]
    /// How many of those there may be before they are named.
    private var room = fewest
    private var late: [[Frame]] = []
    /// Whether nothing else than what was added is to be named: processes that have ended are then forgotten.
    var holdsAll = false
    var period: UInt64 = 0
    /// Unix time in nanoseconds of a report that is one of several.
    var time: Int64?
    /// The same for all rows, whoever sets the clock meanwhile.
    let starts = WallClock()
    private let began = WallClock().nowUnixNanoseconds
    private static let fewest = 2048
    /// So many stacks of processes that live may wait for their code, made at run time, to be named.
    private static let most = 1 << 15

    init(_ options: StackOptions, _ style: Style, json: Bool) {
        self.options = options
        self.style = style
        names = StackNames(options.pictures)
        let pictures = options.pictures
        let addresses = (json || style.addresses) && !options.folded
        let detail = StackNamer.Detail(
            places: addresses || style.offsets || pictures.pprof != nil, addresses: addresses,
            rows: !options.folded || pictures.pprof != nil || pictures.flameGraph != nil)
        namer = StackNamer(names, detail, width: style.valueTypes.count)
    }

    /// Follows what processes map from now on. To be called before programs are loaded.
    ///
    /// - Throws: `CommandFailure` if there are files to write that cannot be.
    func watch(_ session: Session) throws {
        try options.pictures.requireWritable()
        guard !options.kernelOnly else { return }
        try names.watch(session.watchedProcesses, session)
    }

    /// To be called before programs are attached: stacks are right from the first one on.
    func serve(_ unwinders: [StackUnwinder?], _ session: Session) throws {
        guard !options.kernelOnly else { return }
        try names.serve(unwinders, session)
    }

    /// With `-v`: how user stacks ended, and what the unwinder holds.
    func explainEnds(to session: Session) {
        var ends: [String: UInt64] = [:]
        func note(_ end: StackEnd, _ value: UInt64) {
            guard end.isKnown else { return }
            ends[end.name, default: 0] += value
            if end.byFramePointer { ends["partly by frame pointers", default: 0] += value }
        }
        for (key, values) in entries { note(key.userEnd, values[style.value]) }
        for row in 0..<namer.sums.rows.count {
            note(
                namer.sums.end(of: namer.sums.rows.firsts[row]),
                namer.sums.values(ofRow: row)[style.value])
        }
        let total = max(1, ends.filter { $0.key != "partly by frame pointers" }.values.reduce(0, +))
        for (name, value) in ends.sorted(by: { $0.value > $1.value }) {
            let share = Double(value) / Double(total) * 100
            session.explain("user stacks that end with \(name): \((share * 100).rounded() / 100) %")
        }
        names.explainUnwinding(to: session)
    }

    func add(_ key: Key, _ values: [UInt64]) {
        guard var sum = entries[key] else {
            if entries.count >= room { nameSettled() }
            entries[key] = values
            return
        }
        for index in values.indices { sum[index] &+= values[index] }
        entries[key] = sum
    }

    /// Names stacks of which no more can be known later: a stack with its addresses takes a kilobyte, and where
    /// processes come and go there are many new ones all the time.
    private func nameSettled() {
        let waiting = entries.filter { names.mayBecomeKnown($0.key) }
        if waiting.count < Self.most {
            for key in waiting.keys { entries[key] = nil }
            namer.add(entries)
            entries = waiting
        } else {
            namer.add(entries)
            entries = [:]
        }
        room = 2 * entries.count + Self.fewest
        if holdsAll { names.releaseEnded() }
    }

    /// Function names of a stack's kernel part, leaf first.
    func kernelNames(_ addresses: [UInt64]) -> [String] {
        names.frames(kernel: addresses).map { $0.function ?? "" }
    }

    private func nameAll() {
        namer.add(entries)
        entries = [:]
        late = namer.lateFrames()
    }

    /// The rows that look different, the largest last as in BCC's tools.
    private func sorted() -> [Entry] {
        nameAll()
        return StackLooks(namer.sums, style, late).merged()
    }

    /// Writes everything that was asked for.
    ///
    /// - Parameter rows: false if they have been written already.
    func write(to output: Output, json: Bool, rows: Bool = true) throws {
        names.finish()
        // A reader of stdout that has gone, or a full disk behind it, is no reason to lose the files.
        let rows = Result { if rows { try writeRows(to: output, json: json) } }
        try writeFiles()
        names.conclude()
        try rows.get()
    }

    /// Forgets what has been added: for a report of what comes from now on.
    func clear() {
        entries = [:]
        namer.clear()
        names.catchUp()
    }

    /// Writes the stacks that have been added.
    func writeRows(to output: Output, json: Bool) throws {
        _ = names.askForDebugFiles()
        if options.folded {
            try output.write { writer in
                var folded = FoldedStacks()
                folded.value = style.value
                folded.divisor = style.divisor
                folded.annotate = style.annotate
                folded.write(profile(wakers: true), to: writer)
            }
        } else {
            for entry in sorted() {
                let row = row(entry)
                try output.write { writer in
                    json ? writeJSON(row, to: writer) : writeText(row, to: writer)
                }
            }
        }
        try output.flush()
    }

    /// The same for folded stacks, pictures and pprof.
    ///
    /// - Parameter wakers: puts the waker's stack above the blocked one, its root on top.
    private func profile(wakers: Bool) -> Profile {
        nameAll()
        var profile = Profile(valueTypes: style.valueTypes)
        profile.period = period
        if period > 0 { profile.periodType = Profile.ValueType(name: "cpu", unit: "nanoseconds") }
        profile.timeNanoseconds = UInt64(max(0, began))
        profile.durationNanoseconds = UInt64(max(0, WallClock().nowUnixNanoseconds - began))
        for number in 0..<namer.sums.rows.count {
            let row = row(Entry(row: number, values: namer.sums.values(ofRow: number)))
            var labels = [Profile.Label("process", row.comm), Profile.Label("pid", Int64(row.process))]
            if row.thread != row.process { labels.append(Profile.Label("thread", Int64(row.thread))) }
            labels += row.labels.sorted { $0.key < $1.key }.map { Profile.Label($0.key, $0.value) }
            if let waker = row.waker {
                labels.append(Profile.Label("waker", waker.comm))
                labels.append(Profile.Label("waker_tid", Int64(waker.thread)))
            }
            var stack = delimited(row.frames.reversed())
            if stack.isEmpty { stack = row.notes.map { Profile.Frame(.marker, $0) }.reversed() }
            if State(row.labels) == .offCPU { stack = stack.offCPU(row.labels[OffCPUTrace.wait] ?? "") }
            if wakers, let waker = row.waker {
                stack = stack.woken(by: waker.comm, on: delimited(waker.frames))
            }
            profile.add(stack, values: row.values, labels: labels)
        }
        return profile
    }

    /// All that is to be said of an entry.
    private func row(_ entry: Entry) -> Row {
        let sums = namer.sums
        let stack = sums.rows.firsts[entry.row]
        let number = sums.rows.seconds[entry.row]
        let task = sums.tasks[number]
        let kind = sums.kinds[task.kind]
        var row = Row(
            process: task.process, thread: task.thread, started: task.started, comm: kind.comm,
            labels: kind.labels, notes: kind.notes, values: entry.values, end: sums.end(of: stack),
            frames: sums.frames(of: stack, in: number, late))
        guard task.waker >= 0 else { return row }
        let waker = sums.tasks[task.waker]
        row.waker = Row.Waker(
            process: waker.process, thread: waker.thread, comm: sums.kinds[waker.kind].comm,
            frames: sums.frames(of: task.wakerStack, in: task.waker, late))
        return row
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
        if let path = options.pictures.flameGraph {
            var graph = FlameGraph.Options()
            graph.title = style.title
            graph.palette = style.palette
            graph.value = style.value
            let picture = FlameGraph(profile(wakers: true), graph)
            try writeFile(path) {
                path.hasSuffix(".svg") ? picture.writeSVG(to: $0) : picture.writeHTML(to: $0)
            }
        }
        if let path = options.pictures.pprof {
            // A function that wakes is not called by the one that waits: there the waker is a label.
            let profile = profile(wakers: false)
            try writeFile(path) { try profile.writePprof(to: $0, defaultValue: style.value) }
        }
    }
}
