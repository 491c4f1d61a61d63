// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser
internal import Reporting

/// What each stack has gained or lost from one recording of memory in use to another.
///
/// Stacks are the same if their functions are, wherever these were loaded and whatever lines they had.
struct MemleakDiff {
    /// Bytes, and blocks where they were counted.
    struct Amount: Equatable {
        var bytes: Int64 = 0
        var blocks: Int64 = 0
    }

    struct Change {
        /// Leaf first.
        fileprivate(set) var frames: [Profile.Frame]
        fileprivate(set) var before = Amount()
        fileprivate(set) var after = Amount()

        var bytes: Int64 { after.bytes - before.bytes }
        var blocks: Int64 { after.blocks - before.blocks }
    }

    private let countsBlocks: Bool
    private let byCount: Bool
    let before: Amount
    let after: Amount
    /// Those that have changed, what has lost most first and what has gained most last.
    let changes: [Change]

    /// - Parameters:
    ///   - before, after: of bytes in use, and perhaps of blocks in use as the second value.
    ///   - byCount: whether blocks are what is gained and lost, or bytes.
    init(before: Profile, after: Profile, byCount: Bool = false) {
        countsBlocks = after.valueTypes.count > 1
        self.byCount = byCount && after.valueTypes.count > 1
        self.before = Amount(before.totals)
        self.after = Amount(after.totals)
        var stacks: [[Name]: Change] = [:]
        for (profile, side) in [(before, \Change.before), (after, \Change.after)] {
            for index in 0..<profile.count {
                let sample = profile[index]
                let frames = Array(sample.frames.reversed())
                let amount = Amount(sample.values)
                let key = frames.map(Name.init)
                stacks[key, default: Change(frames: frames)].merge(frames, amount, side)
            }
        }
        let ranksByCount = self.byCount
        changes = stacks.values.filter { $0.bytes != 0 || $0.blocks != 0 }.sorted {
            $0.rank(byCount: ranksByCount).lexicographicallyPrecedes($1.rank(byCount: ranksByCount))
        }
    }

    /// What frames are told apart by.
    private struct Name: Hashable {
        let text: String
        let module: String?
        /// Of a function without a name.
        let place: UInt64?

        init(_ frame: Profile.Frame) {
            text = frame.text
            module = frame.module?.lastPathComponent
            place = frame.function.isEmpty ? frame.moduleOffset : nil
        }
    }

    /// Those that have changed most, in the order of all.
    private func largest(_ most: Int) -> [Change] {
        guard changes.count > most else { return changes }
        let order = changes.indices.sorted { magnitude(changes[$0]) > magnitude(changes[$1]) }
        return order.prefix(most).sorted().map { changes[$0] }
    }

    private func magnitude(_ change: Change) -> UInt64 {
        (byCount ? change.blocks : change.bytes).magnitude
    }

    // MARK: - Writing

    func writeText(most: Int, isEstimate: Bool, to writer: ByteWriter) {
        let shown = largest(most)
        writer.append("Top \(shown.count) of \(changes.count) stacks that have changed: ")
        writeSums(Change(frames: [], before: before, after: after), to: writer)
        if isEstimate { writer.append(" (estimated from samples)") }
        writer.append("\n")
        for change in shown {
            writer.append("\t")
            writeSums(change, to: writer)
            writer.append(", from stack\n")
            for frame in change.frames {
                writer.append("\t\t")
                let isUnnamed = frame.function.isEmpty && frame.moduleOffset != nil
                let place = isUnnamed ? "+0x" + String(frame.moduleOffset ?? 0, radix: 16) : ""
                writer.appendFrame(
                    frame.text + place, isInlined: frame.kind == .inlined, file: frame.file, line: frame.line,
                    module: frame.function.isEmpty ? nil : frame.module)
                writer.append("\n")
            }
        }
    }

    private func writeSums(_ change: Change, to writer: ByteWriter) {
        writer.append("\(signed(change.bytes)) bytes")
        if countsBlocks { writer.append(" in \(signed(change.blocks)) allocations") }
        writer.append(", from \(change.before.bytes) bytes")
        if countsBlocks { writer.append(" in \(change.before.blocks)") }
        writer.append(" to \(change.after.bytes) bytes")
        if countsBlocks { writer.append(" in \(change.after.blocks)") }
    }

    func writeJSON(most: Int, isEstimate: Bool, to writer: ByteWriter) {
        for change in largest(most) {
            writer.append("{\"type\":\"difference\"")
            writeJSON(change, isEstimate: isEstimate, to: writer)
            writer.append(",\"frames\":[")
            for (index, frame) in change.frames.enumerated() {
                if index > 0 { writer.append(",") }
                writeJSON(frame, to: writer)
            }
            writer.append("]}\n")
        }
        writer.append("{\"type\":\"differences\",\"stacks\":\(changes.count)")
        writeJSON(Change(frames: [], before: before, after: after), isEstimate: isEstimate, to: writer)
        writer.append("}\n")
    }

    private func writeJSON(_ change: Change, isEstimate: Bool, to writer: ByteWriter) {
        writer.append(",\"gained_bytes\":\(change.bytes),\"before_bytes\":\(change.before.bytes)")
        writer.append(",\"after_bytes\":\(change.after.bytes)")
        if countsBlocks {
            writer.append(",\"gained_allocations\":\(change.blocks)")
            writer.append(",\"before_allocations\":\(change.before.blocks)")
            writer.append(",\"after_allocations\":\(change.after.blocks)")
        }
        writer.append(",\"estimated\":\(isEstimate)")
    }

    private func writeJSON(_ frame: Profile.Frame, to writer: ByteWriter) {
        let texts: [(StaticString, String?)] = [
            ("{\"function\":", frame.function.isEmpty ? nil : frame.function), (",\"module\":", frame.module),
            (",\"file\":", frame.file),
        ]
        for (key, text) in texts {
            writer.append(key)
            if let text { writer.appendJSONString(text) } else { writer.append("null") }
        }
        writer.append(",\"line\":")
        writer.append(frame.line.map { String($0) } ?? "null")
        writer.append(",\"module_offset\":")
        writer.append(frame.moduleOffset.map { String($0) } ?? "null")
        writer.append(",\"inlined\":\(frame.kind == .inlined)}")
    }

    private func signed(_ value: Int64) -> String { (value < 0 ? "" : "+") + String(value) }
}

extension MemleakDiff.Amount {
    /// Sums of a profile fit signed numbers.
    fileprivate init(_ values: [UInt64]) {
        bytes = Int64(clamping: values[0])
        blocks = values.count > 1 ? Int64(clamping: values[1]) : 0
    }
}

extension MemleakDiff.Change {
    fileprivate mutating func merge(
        _ other: [Profile.Frame], _ amount: MemleakDiff.Amount,
        _ side: WritableKeyPath<Self, MemleakDiff.Amount>
    ) {
        self[keyPath: side].bytes += amount.bytes
        self[keyPath: side].blocks += amount.blocks
        // A line or a place that is not that of all is none.
        for (index, frame) in other.enumerated() {
            if frames[index].line != frame.line { frames[index].line = nil }
            if frames[index].moduleOffset != frame.moduleOffset { frames[index].moduleOffset = nil }
        }
    }

    fileprivate func rank(byCount: Bool) -> [Int64] { byCount ? [blocks, bytes] : [bytes, blocks] }
}

extension Memleak {
    /// Compares two recordings. Traces nothing, and needs no privileges.
    func runDiff() throws {
        var readers = diff.map { _ in
            RecordingReader(
                FoldedReader(valueType: Profile.ValueType(name: "inuse_space", unit: "bytes")))
        }
        let before = try readers[0].read(path: diff[0], for: "memleak", mayBeEmpty: true)
        let after = try readers[1].read(path: diff[1], for: "memleak", mayBeEmpty: true)
        try RecordingReader.requireComparable(before, after)
        guard after.valueTypes[0].name == "inuse_space" else {
            throw CommandFailure("these files are not recordings of memory: give two of memleak --json")
        }
        let difference = MemleakDiff(before: before, after: after, byCount: sort == .count)
        let isEstimate = readers.contains(where: \.isEstimate)
        let output = Output()
        try output.write { writer in
            if common.json {
                difference.writeJSON(most: top ?? .max, isEstimate: isEstimate, to: writer)
            } else {
                difference.writeText(most: top ?? 10, isEstimate: isEstimate, to: writer)
            }
        }
        try output.flush()
        guard let path = pictures.flameGraph else { return }
        var comparison = FlameGraph.Comparison()
        comparison.beforeName = diff[0]
        comparison.afterName = diff[1]
        // What is in neither has no width, and a picture of nothing shows nothing.
        if after.totals[0] == 0 { comparison.width = .before }
        var graph = FlameGraph.Options()
        graph.title = "Memory in use"
        graph.palette = .memory
        let picture = FlameGraph(before: before, after: after, comparison, graph)
        try writeFile(path) {
            path.hasSuffix(".svg") ? picture.writeSVG(to: $0) : picture.writeHTML(to: $0)
        }
    }

    /// What has nothing to do with recordings.
    func validateDiff() throws {
        guard diff.count == 2 else { throw ValidationError("--diff takes two recordings: before, after.") }
        let others: [(String, Bool)] = [
            ("the interval", interval != nil), ("-p", process != nil), ("-c", words != nil),
            ("the command", !command.isEmpty), ("--growth", growth), ("--temporary", temporary),
            ("-P", percpu), ("--mmap", mappings), ("-t", traceCalls), ("-a", showBlocks),
            ("-C", combinedOnly),
            ("-O", object != nil), ("-S", prefix != nil), ("--pprof", pictures.pprof != nil),
            ("--duration", common.duration != nil), ("--sample-bytes", sampleBytes != nil),
            ("-s", sampleRate != 1), ("-z", least != 0), ("-Z", most != nil),
        ]
        if let option = tasks.chosen {
            throw ValidationError("--diff traces nothing: leave out \(option).")
        }
        if let other = others.first(where: \.1) {
            throw ValidationError("--diff compares two recordings and traces nothing: leave out \(other.0).")
        }
    }
}
