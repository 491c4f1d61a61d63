// SPDX-License-Identifier: Apache-2.0
internal import Reporting
internal import Symbolization

/// Stacks with what was measured under each, and all the ways to write them down.
final class StackReport {
    let options: StackOptions
    let style: Style
    let names: StackNames
    private var entries: [Key: [UInt64]] = [:]
    private var lines: [Key: [Frame]] = [:]
    private var wakerLines: [Waker: [Frame]] = [:]
    /// Text above a stack that has no addresses: what is known instead.
    var notes: [Key: [String]] = [:]
    var period: UInt64 = 0
    /// Unix time in nanoseconds of a report that is one of several.
    var time: Int64?
    private let began = WallClock().nowUnixNanoseconds

    init(_ options: StackOptions, _ style: Style) {
        self.options = options
        self.style = style
        names = StackNames(options.pictures)
    }

    /// To be called before programs are attached: stacks are right from the first one on.
    func serve(_ unwinders: [StackUnwinder?], _ session: Session) throws {
        guard !options.kernelOnly else { return }
        try names.serve(unwinders, session, only: session.onlyProcesses)
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
        names.explainUnwinding(to: session)
    }

    func add(_ key: Key, _ values: [UInt64]) {
        guard var sum = entries[key] else {
            entries[key] = values
            return
        }
        for index in values.indices { sum[index] &+= values[index] }
        entries[key] = sum
    }

    var isEmpty: Bool { entries.isEmpty }

    func frames(_ key: Key) -> [Frame] {
        if let known = lines[key] { return known }
        let frames = frames(
            kernel: key.kernel, user: key.user, end: key.userEnd, process: key.process, moment: key.moment)
        lines[key] = frames
        return frames
    }

    func frames(_ waker: Waker) -> [Frame] {
        if let known = wakerLines[waker] { return known }
        let frames = frames(
            kernel: waker.kernel, user: waker.user, end: waker.userEnd, process: waker.process,
            moment: waker.moment)
        wakerLines[waker] = frames
        return frames
    }

    /// Frames of a stack, leaf first, the kernel's before the user's.
    private func frames(
        kernel: [UInt64], user: [UInt64], end: StackEnd, process: Int32, moment: UInt64?
    ) -> [Frame] {
        var frames = names.frames(kernel: kernel)
        names.symbolizer.prepare(Self.addresses(user, process: process, moment: moment))
        for (index, address) in user.enumerated() {
            var found = names.symbolizer.frames(
                user: address, process: process, isReturnAddress: index > 0, at: moment)
            if index > 0, found[0].function == nil {
                // A signal's handler returns to the beginning of a function, which has called nothing.
                let exact = names.symbolizer.frames(
                    user: address, process: process, isReturnAddress: false, at: moment)
                if exact[0].function != nil, exact[0].functionOffset == 0 { found = exact }
            }
            frames += names.shown(found)
        }
        if let marker = end.marker { frames.append(Frame(marker: marker)) }
        return frames
    }

    /// All but the leaf are return addresses, unless the kernel was entered below: then the leaf is, too.
    private static func addresses(_ user: [UInt64], process: Int32, moment: UInt64?) -> [UserAddress] {
        user.enumerated().map { index, address in
            UserAddress(address, process: process, isReturnAddress: index > 0, at: moment)
        }
    }

    /// Names all stacks that have been added, many with one question.
    private func nameAll() {
        var waiting: [Key] = []
        var addresses: [UserAddress] = []
        func name() {
            names.symbolizer.prepare(addresses)
            for key in waiting { _ = frames(key) }
            waiting = []
            addresses = []
        }
        for key in entries.keys where lines[key] == nil {
            waiting.append(key)
            addresses += Self.addresses(key.user, process: key.process, moment: key.moment)
            // Fewer than the symbolizer remembers.
            if addresses.count >= 1 << 15 { name() }
        }
        name()
    }

    /// Function names of a stack's kernel part, leaf first.
    func kernelNames(_ addresses: [UInt64]) -> [String] {
        names.frames(kernel: addresses).map { $0.function ?? "" }
    }

    /// What a reader can tell frames apart by: samples that hit one function in different places are one stack.
    private struct Look: Hashable {
        let process: Int32
        let started: UInt64
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
            process: key.process, started: key.started, thread: key.thread, comm: key.comm,
            labels: key.labels,
            waker: waker, frames: frames)
    }

    /// Entries that look different, by value, the largest last as in BCC's tools.
    private var sorted: [(key: Key, values: [UInt64])] {
        nameAll()
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
        nameAll()
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
