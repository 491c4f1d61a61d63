// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Glibc
internal import Reporting
internal import Symbolization
internal import Tracing

/// The blocks that are left, by stack, and all the ways to write them down.
final class MemleakReport {
    /// What is left from one stack.
    struct Sum {
        var stack: UInt64 = 0
        var bytes: Double = 0
        var count: Double = 0
        var gainedBytes: Double = 0
        var gainedCount: Double = 0
        /// How often it had gained since the report before.
        var growths = 0
        var total = stack_total()
    }

    private let options: Memleak
    private let process: Int32?
    private let symbolizer: Symbolizer
    private var watch: TaskWatch?
    private var debugFiles: DebugFileServer?
    private var feed: UnwinderFeed?
    private var stacks: [UInt64: [Frame]] = [:]
    private var ends: [UInt64: StackEnd] = [:]
    private var sums: [Sum] = []
    private var before: [UInt64: Sum] = [:]
    private var blocks: [UInt64: [(address: UInt64, bytes: UInt64)]] = [:]
    private var reports = 0
    private var clock = WallClock()
    private let began = WallClock().nowUnixNanoseconds

    init(_ options: Memleak, process: Int32?) {
        self.options = options
        self.process = process
        symbolizer = Symbolizer(
            options: SymbolizerOptions(demangle: options.pictures.demangle),
            lines: options.pictures.lines || options.pictures.inlines ? DWARFLines() : nil)
    }

    /// Call while the process lives, so that its frames can be named when it is gone.
    func observe() {
        guard let process else { return }
        watch?.catchUp()
        symbolizer.observe(process: process)
        feed?.flush()
    }

    /// Keeps the unwinder up to date with what the process maps. To be called before programs are attached.
    func serve(_ unwinder: StackUnwinder?, _ session: Session) throws {
        guard let process else { return }
        debugFiles = try options.pictures.debugFiles.server(session)
        guard let unwinder else { return }
        watch = try TaskWatch(session, feeding: symbolizer, only: [process])
        let feed = UnwinderFeed([unwinder], symbolizer, only: [process])
        self.feed = feed
        watch?.afterReading = feed.flush
        observe()
    }

    /// Names all anew, with debug files from elsewhere if they are wanted: once nothing is traced any more.
    func askForDebugFiles() {
        guard let debugFiles else { return }
        symbolizer.ask(debugFiles)
        stacks = [:]
    }

    /// Says what could not be had.
    func concludeDebugFiles() { debugFiles?.conclude() }

    // MARK: - Reading

    /// Reads what is left.
    ///
    /// - Parameters:
    ///   - mappings: what is mapped, if that is what was traced.
    ///   - minimumAge: nanoseconds; younger blocks do not count.
    ///   - since: nanoseconds of the monotonic clock; blocks that are older do not count.
    func read(
        _ object: LoadedObject, _ mappings: MappingBook?, minimumAge: UInt64, since: UInt64
    ) throws {
        var found: [UInt64: Sum] = [:]
        blocks = [:]
        let generation = try object.sharedVariable("memleak_state", as: memleak_state.self).value.generation
        let latest = monotonicTime() &- minimumAge
        if let mappings {
            mappings.forEachBlock(since: since...max(since, latest)) { add($0, $1, to: &found) }
            for (stack, total) in mappings.totals where options.pictures.pprof != nil {
                found[stack, default: Sum()].total.allocated = total.count
                found[stack, default: Sum()].total.allocated_bytes = total.bytes
            }
        } else if !options.combinedOnly {
            let times = BlockClock.reading(since)...max(BlockClock.reading(latest), BlockClock.reading(since))
            let live: HashMap<UInt64, live_block> = object.map("blocks")
            try live.forEachInBatches { address, block in
                let block = block.pointee
                guard block.generation == generation, times.contains(block.since) else {
                    return
                }
                add(address.pointee, block, to: &found)
            }
        }
        try readTotals(object, into: &found)
        sums = found.map { stack, sum in
            var sum = sum
            sum.stack = stack
            let last = before[stack]
            sum.gainedBytes = sum.bytes - (last?.bytes ?? 0)
            sum.gainedCount = sum.count - (last?.count ?? 0)
            sum.growths = (last?.growths ?? 0) + (reports > 0 && sum.gainedBytes > 0 ? 1 : 0)
            return sum
        }
        sums.sort { rank($0) < rank($1) }
        before = Dictionary(uniqueKeysWithValues: sums.map { ($0.stack, $0) })
        reports += 1
        nameStacks(object)
    }

    private func add(_ address: UInt64, _ block: live_block, to found: inout [UInt64: Sum]) {
        var weight = 1.0
        if let mean = options.sampleBytes {
            // A block of so many bytes is sampled with this chance.
            let chance = 1 - exp(-Double(block.bytes) / Double(mean))
            guard chance > 0 else { return }
            weight = 1 / chance
        }
        found[block.stack, default: Sum()].bytes += weight * Double(block.bytes)
        found[block.stack, default: Sum()].count += weight
        if options.showBlocks { blocks[block.stack, default: []].append((address, block.bytes)) }
    }

    private func readTotals(_ object: LoadedObject, into found: inout [UInt64: Sum]) throws {
        guard options.combinedOnly || options.temporary || options.pictures.pprof != nil else { return }
        let totals: HashMap<UInt64, stack_total> = object.map("stack_totals")
        try totals.forEachInBatches { stack, total in
            let total = total.pointee
            found[stack.pointee, default: Sum()].total = total
            guard options.combinedOnly else { return }
            found[stack.pointee]?.bytes = Double(total.allocated_bytes &- total.freed_bytes)
            found[stack.pointee]?.count = Double(total.allocated &- total.freed)
        }
    }

    /// What stacks are sorted by, the first last.
    private func rank(_ sum: Sum) -> (Double, Double, UInt64) {
        if options.temporary {
            return (Double(sum.total.temporary), Double(sum.total.temporary_bytes), sum.stack)
        }
        if options.growth { return (Double(sum.growths), sum.gainedBytes, sum.stack) }
        return options.sort == .size
            ? (sum.bytes, sum.count, sum.stack) : (sum.count, sum.bytes, sum.stack)
    }

    private func isShown(_ sum: Sum) -> Bool { options.temporary ? sum.total.temporary > 0 : sum.count > 0 }

    private var shown: ArraySlice<Sum> { sums.filter(isShown).suffix(options.top) }

    // MARK: - Names

    private var wantsAllNames: Bool {
        options.pictures.flameGraph != nil || options.pictures.pprof != nil
    }

    /// Names stacks now: the map and the process may be gone later.
    private func nameStacks(_ object: LoadedObject) {
        let store = StackStore(object)
        for sum in wantsAllNames ? sums[...] : shown where stacks[sum.stack] == nil {
            let (addresses, end) = store[sum.stack]
            guard !addresses.isEmpty else { continue }
            ends[sum.stack] = end
            var frames = frames(addresses)
            if let marker = end.marker {
                frames.append(Frame(marker: marker))
            }
            stacks[sum.stack] = frames
        }
    }

    private func frames(_ addresses: [UInt64]) -> [Frame] {
        if let process {
            // Taken when the allocator returned: the innermost one is a return address as well.
            let kept = StackReport.withoutEnd(addresses[...])
            return kept.flatMap {
                shown(symbolizer.frames(user: $0, process: process, isReturnAddress: true))
            }
        }
        let named = addresses.enumerated().flatMap { index, address in
            symbolizer.frames(kernel: address, isReturnAddress: index > 0)
        }
        return Array(named.dropFirst(StackReport.tracerFrames(named.map(\.function))))
    }

    /// Without what --no-lines and --no-inlines leave out.
    private func shown(_ frames: [Frame]) -> [Frame] {
        let kept = options.pictures.inlines ? frames[...] : frames.suffix(1)
        guard !options.pictures.lines else { return Array(kept) }
        return kept.map { frame in
            var frame = frame
            frame.file = nil
            frame.line = nil
            return frame
        }
    }

    private var isEstimate: Bool { options.sampleBytes != nil }

    // MARK: - Text

    func write(to output: Output) throws {
        let shown = shown
        try output.write { writer in
            if options.common.json {
                for sum in shown { writeJSON(sum, to: writer) }
                writeJSONHead(to: writer)
                return
            }
            writer.append("[")
            writer.append(clock.nowTimeOfDay())
            writer.append("] Top \(shown.count) stacks with ")
            writer.append(options.temporary ? "temporary allocations" : "outstanding allocations")
            if isEstimate { writer.append(" (estimated from samples)") }
            if options.sampleRate > 1 { writer.append(" (one in \(options.sampleRate) was looked at)") }
            writer.append(":\n")
            for sum in shown { writeText(sum, to: writer) }
        }
    }

    private func writeText(_ sum: Sum, to writer: ByteWriter) {
        writer.append("\t")
        if options.temporary {
            writer.append(
                "\(sum.total.temporary_bytes) bytes in \(sum.total.temporary) temporary allocations of "
                    + "\(sum.total.allocated) from stack\n")
        } else {
            writer.append("\(whole(sum.bytes)) bytes in \(whole(sum.count)) allocations from stack\n")
        }
        if reports > 1, !options.temporary, sum.gainedBytes != 0 || sum.gainedCount != 0 {
            writer.append(
                "\t\t\(signed(sum.gainedBytes)) bytes in \(signed(sum.gainedCount)) allocations since the last "
                    + "report")
            if options.growth { writer.append(", grew in \(sum.growths) of \(reports - 1) intervals") }
            writer.append("\n")
        }
        for block in (blocks[sum.stack] ?? []).sorted(by: { $0.address < $1.address }) {
            writer.append("\t\taddr = 0x\(String(block.address, radix: 16)) size = \(block.bytes)\n")
        }
        guard let frames = stacks[sum.stack], !frames.isEmpty else {
            writer.append("\t\t[stack missing]\n")
            return
        }
        for frame in frames {
            guard frame.kind != .marker else {
                writer.append("\t\t\(frame.function ?? "")\n")
                continue
            }
            writer.append("\t\t0x")
            writer.appendNumber(frame.address, radix: 16, minimumDigits: 16)
            writer.append("\t")
            writeFrame(frame, to: writer)
            writer.append("\n")
        }
    }

    private func writeFrame(_ frame: Frame, to writer: ByteWriter) {
        writer.appendEscaped(frame.text(offset: true, module: false))
        if frame.isInlined { writer.append(" (inlined)") }
        if let file = frame.file {
            writer.append(" ")
            writer.appendEscaped(file.split(separator: "/").last.map(String.init) ?? file)
            if let line = frame.line { writer.append(":\(line)") }
        }
        guard frame.function != nil, let module = frame.module else { return }
        let name = module.split(separator: "/").last.map(String.init) ?? module
        writer.append(" ")
        writer.appendEscaped(name.hasPrefix("[") ? name : "[\(name)]")
    }

    private func whole(_ value: Double) -> Int64 { Int64(value.rounded()) }

    private func signed(_ value: Double) -> String { (value < 0 ? "" : "+") + String(whole(value)) }

    private func writeJSON(_ sum: Sum, to writer: ByteWriter) {
        writer.append("{\"type\":\"stack\",\"pid\":")
        writer.append(process.map { String($0) } ?? "null")
        writer.append(",\"bytes\":\(whole(sum.bytes)),\"allocations\":\(whole(sum.count))")
        writer.append(",\"gained_bytes\":\(whole(sum.gainedBytes))")
        writer.append(",\"gained_allocations\":\(whole(sum.gainedCount))")
        writer.append(",\"estimated\":\(isEstimate)")
        if options.growth { writer.append(",\"growths\":\(sum.growths)") }
        if sum.total.allocated > 0 {
            writer.append(",\"total_bytes\":\(sum.total.allocated_bytes)")
            writer.append(",\"total_allocations\":\(sum.total.allocated)")
            writer.append(",\"temporary_bytes\":\(sum.total.temporary_bytes)")
            writer.append(",\"temporary_allocations\":\(sum.total.temporary)")
        }
        if options.showBlocks {
            let listed = (blocks[sum.stack] ?? []).sorted { $0.address < $1.address }
                .map { "{\"address\":\($0.address),\"bytes\":\($0.bytes)}" }
            writer.append(",\"blocks\":[\(listed.joined(separator: ","))]")
        }
        writer.append(",\"frames\":[")
        for (index, frame) in (stacks[sum.stack] ?? []).lazy.filter({ $0.kind != .marker }).enumerated() {
            if index > 0 { writer.append(",") }
            frame.writeJSON(to: writer)
        }
        writer.append("]")
        if let end = ends[sum.stack], end.isKnown {
            writer.append(",\"user_stack_end\":")
            writer.appendJSONString(end.name)
        }
        writer.append("}\n")
    }

    /// Behind the stacks of a report: what all have in sum, those that are not shown as well.
    private func writeJSONHead(to writer: ByteWriter) {
        let bytes = sums.reduce(0) { $0 + $1.bytes }
        let count = sums.reduce(0) { $0 + $1.count }
        writer.append("{\"type\":\"report\",\"number\":\(reports),\"time_ns\":")
        writer.append(String(WallClock().nowUnixNanoseconds))
        writer.append(",\"stacks\":\(sums.filter(isShown).count),\"bytes\":\(whole(bytes))")
        writer.append(",\"allocations\":\(whole(count)),\"estimated\":\(isEstimate)}\n")
    }

    /// One call, for `-t`.
    func write(_ event: memleak_event, to output: Output) throws {
        let isFree = event.kind == MEMLEAK_FREED.rawValue
        let comm = withUnsafeBytes(of: event.comm, WaitEvent.name)
        try output.write { writer in
            if options.common.json {
                writer.append("{\"type\":\"\(isFree ? "free" : "allocation")\",\"time_ns\":\(event.time_ns)")
                writer.append(",\"tid\":\(event.thread),\"comm\":")
                writer.appendJSONString(comm)
                writer.append(",\"address\":\(event.address),\"bytes\":\(event.bytes)}\n")
                return
            }
            writer.append("(")
            writer.appendEscaped(comm)
            writer.append(" \(event.thread)) \(isFree ? "free" : "alloc") addr = 0x")
            writer.append(String(event.address, radix: 16))
            writer.append(" size = \(event.bytes)\n")
        }
    }

    /// What all reports together say about growth.
    func writeConclusion(to session: Session) {
        guard options.growth, reports > 1 else { return }
        let intervals = reports - 1
        let steady = sums.filter { $0.growths == intervals && $0.count > 0 }.count
        let settled = sums.filter { $0.growths < intervals && $0.gainedBytes <= 0 && $0.count > 0 }.count
        session.say(
            "\(steady) stacks grew in each of \(intervals) intervals: suspects; \(settled) have levelled off: "
                + "perhaps caches")
    }

    // MARK: - Files

    func writeFiles() throws {
        guard wantsAllNames else { return }
        let profile = profile()
        if let path = options.pictures.flameGraph {
            var graph = FlameGraph.Options()
            graph.title = isEstimate ? "Memory in use (estimated)" : "Memory in use"
            graph.value = 3
            let picture = FlameGraph(profile, graph)
            try writeFile(path) {
                path.hasSuffix(".svg") ? picture.writeSVG(to: $0) : picture.writeHTML(to: $0)
            }
        }
        if let path = options.pictures.pprof {
            try writeFile(path) { try profile.writePprof(to: $0, defaultValue: 3) }
        }
    }

    /// With the value types of Go's heap profiles, which its tools know.
    private func profile() -> Profile {
        var profile = Profile(valueTypes: [
            Profile.ValueType(name: "alloc_objects", unit: "count"),
            Profile.ValueType(name: "alloc_space", unit: "bytes"),
            Profile.ValueType(name: "inuse_objects", unit: "count"),
            Profile.ValueType(name: "inuse_space", unit: "bytes"),
        ])
        profile.timeNanoseconds = UInt64(max(0, began))
        for sum in sums {
            let frames = (stacks[sum.stack] ?? []).reversed().map(\.forProfile)
            let stack = frames.isEmpty ? [Profile.Frame(.marker, "[stack missing]")] : Array(frames)
            profile.add(
                stack,
                values: [
                    max(sum.total.allocated, UInt64(max(0, whole(sum.count)))),
                    max(sum.total.allocated_bytes, UInt64(max(0, whole(sum.bytes)))),
                    UInt64(max(0, whole(sum.count))), UInt64(max(0, whole(sum.bytes))),
                ])
        }
        return profile
    }
}
