// SPDX-License-Identifier: Apache-2.0
internal import FoundationEssentials
internal import Reporting

/// Stacks that a command has recorded with `--json`, read back line by line.
struct StackRecording {
    private struct Frame: Decodable {
        let kind: String
        let function: String?
        let module: String?
        let build_id: String?
        let file: String?
        let line: Int?
        let address: UInt64?
        let module_offset: UInt64?
        let inlined: Bool?

        var forProfile: Profile.Frame {
            let kind: Profile.Frame.Kind =
                inlined == true ? .inlined : kind == "kernel" ? .kernel : kind == "jit" ? .jit : .user
            return Profile.Frame(
                kind, function ?? "", module: module, buildID: build_id, moduleOffset: module_offset,
                address: address, file: file, line: line)
        }
    }

    private struct Waker: Decodable {
        let comm: String
        let frames: [Frame]
    }

    private struct Row: Decodable {
        let type: String
        let comm: String
        let wall_ns: UInt64?
        let off_cpu_ns: UInt64?
        let samples: UInt64?
        let state: String?
        let wait: String?
        let proc_stack: [String]?
        let frames: [Frame]
        let waker: Waker?

        /// Root first.
        var stack: [Profile.Frame] {
            var stack: [Profile.Frame] = frames.reversed().map(\.forProfile)
            if stack.isEmpty {
                stack = (proc_stack ?? []).reversed().map { Profile.Frame(.marker, $0) }
            }
            if state == StackReport.State.offCPU.rawValue { stack = stack.offCPU(wait ?? "") }
            return waker.map { stack.woken(by: $0.comm, on: $0.frames.map(\.forProfile)) } ?? stack
        }
    }

    /// The values that a picture can be of, the first of those that are there.
    private static let values: [(value: any KeyPath<Row, UInt64?> & Sendable, type: Profile.ValueType)] = [
        (\.wall_ns, Profile.ValueType(name: "wall", unit: "nanoseconds")),
        (\.off_cpu_ns, Profile.ValueType(name: "off_cpu", unit: "nanoseconds")),
        (\.samples, .samples),
    ]

    /// Nil before the first stack, which says what is measured.
    private(set) var profile: Profile?
    /// Lines that hold no stack with that value.
    private(set) var otherLines = 0
    private var value = Self.values[2].value

    mutating func read(line: some Collection<UInt8>) {
        guard line.contains(where: { $0 > 0x20 }) else { return }
        guard let row = try? JSONDecoder().decode(Row.self, from: Data(line)), row.type == "stack" else {
            otherLines += 1
            return
        }
        if profile == nil, let found = Self.values.first(where: { row[keyPath: $0.value] != nil }) {
            value = found.value
            profile = Profile(valueTypes: [found.type])
        }
        guard let amount = row[keyPath: value] else {
            otherLines += 1
            return
        }
        if amount > 0 {
            profile?.add(row.stack, values: [amount], labels: [Profile.Label("process", row.comm)])
        }
    }
}

/// Reads folded stacks or a recording, whichever it is.
struct RecordingReader {
    /// Longer lines than a recording has are skipped.
    private static let longestLine = 1 << 24

    private var folded: FoldedReader
    private var recording = StackRecording()
    /// Whether a line has come that begins as an object does.
    private var isRecording = false
    private var isAtLineStart = true
    /// The beginning of a line of a recording whose end has not come yet.
    private var begun: [UInt8] = []

    init(_ folded: FoldedReader) { self.folded = folded }

    /// Takes the next piece of the input.
    mutating func read(_ piece: UnsafeRawBufferPointer) {
        isRecording = isRecording || hasObject(piece)
        guard isRecording else { return folded.read(piece) }
        var rest = piece[...]
        while let newline = rest.firstIndex(of: UInt8(ascii: "\n")) {
            endLine(with: rest[..<newline])
            rest = rest[(newline + 1)...]
        }
        if begun.count <= Self.longestLine { begun += rest }
    }

    /// What a command behind -- has printed may come before the first object.
    private mutating func hasObject(_ piece: UnsafeRawBufferPointer) -> Bool {
        var rest = piece[...]
        while !rest.isEmpty {
            if isAtLineStart, rest.starts(with: "{\"".utf8) { return true }
            let newline = rest.firstIndex(of: UInt8(ascii: "\n"))
            isAtLineStart = newline != nil
            rest = rest[(newline.map { $0 + 1 } ?? rest.endIndex)...]
        }
        return false
    }

    private mutating func endLine(with piece: Slice<UnsafeRawBufferPointer>) {
        begun += piece
        recording.read(line: begun)
        begun.removeAll(keepingCapacity: true)
    }

    /// Takes the last line if it has no newline.
    ///
    /// - Returns: the stacks, and what could not be read, to be told to the user.
    mutating func finish() -> (profile: Profile?, complaint: String?) {
        if isRecording {
            if !begun.isEmpty { recording.read(line: begun) }
            let others = recording.otherLines
            return (recording.profile, others > 0 ? "\(others) lines are no stacks" : nil)
        }
        folded.finish()
        let first = folded.firstBadLine.map { ", the first is line \($0.number)" } ?? ""
        return (
            folded.profile,
            folded.badLines > 0 ? "\(folded.badLines) lines are no folded stacks\(first)" : nil
        )
    }
}
