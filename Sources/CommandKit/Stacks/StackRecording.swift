// SPDX-License-Identifier: Apache-2.0
internal import Arithmetic
internal import FoundationEssentials
internal import Glibc
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
        let comm: String?
        let wall_ns: UInt64?
        let off_cpu_ns: UInt64?
        let samples: UInt64?
        let bytes: Int64?
        let allocations: Int64?
        let estimated: Bool?
        /// Of a report: how many stacks there were, listed or not.
        let stacks: Int?
        let state: String?
        let wait: String?
        let proc_stack: [String]?
        let frames: [Frame]?
        let waker: Waker?

        /// What was in use cannot be less than nothing; where frees are counted only it may look so.
        var inUse: UInt64? { bytes.map { UInt64(max(0, $0)) } }

        /// Root first.
        var stack: [Profile.Frame] {
            var stack: [Profile.Frame] = (frames ?? []).reversed().map(\.forProfile)
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
        (\.inUse, Profile.ValueType(name: "inuse_space", unit: "bytes")),
    ]
    /// Behind the bytes in use.
    static let blocksInUse = Profile.ValueType(name: "inuse_objects", unit: "count")
    /// What memleak says beside its reports.
    private static let otherTypes: Set<String> = ["allocation", "free", "growth", "growth_report"]

    /// Nil before the first stack, which says what is measured; if reports follow one another, of the last one.
    var profile: Profile? { reported ?? begun }
    /// Lines that hold no stack with that value.
    private(set) var otherLines = 0
    /// Stacks that the last report left out.
    private(set) var missingStacks = 0
    /// Whether values are estimates.
    private(set) var isEstimate = false
    private var begun: Profile?
    private var reported: Profile?
    private var listed = 0
    private var value = Self.values[2].value

    mutating func read(line: some Collection<UInt8>) {
        guard line.contains(where: { $0 > 0x20 }) else { return }
        guard let row = try? JSONDecoder().decode(Row.self, from: Data(line)) else {
            otherLines += 1
            return
        }
        switch row.type {
        case "stack": read(stack: row)
        case "report": endReport(row)
        default: if !Self.otherTypes.contains(row.type) { otherLines += 1 }
        }
    }

    private mutating func read(stack row: Row) {
        if begun == nil, let found = Self.values.first(where: { row[keyPath: $0.value] != nil }) {
            value = found.value
            begun = Profile(valueTypes: [found.type] + (row.allocations == nil ? [] : [Self.blocksInUse]))
        }
        guard let amount = row[keyPath: value], let frames = row.frames,
            begun?.valueTypes.count == (row.allocations == nil ? 1 : 2)
        else {
            otherLines += 1
            return
        }
        listed += 1
        isEstimate = isEstimate || row.estimated == true
        guard amount > 0 else { return }
        var stack = row.stack
        if frames.isEmpty, row.allocations != nil { stack = [Profile.Frame(.marker, "[stack missing]")] }
        begun?.add(
            stack, values: [amount] + (row.allocations.map { [UInt64(max(0, $0))] } ?? []),
            labels: row.comm.map { [Profile.Label("process", $0)] } ?? [])
    }

    /// The last line of each report; it may have no stacks.
    private mutating func endReport(_ row: Row) {
        guard row.bytes != nil, let stacks = row.stacks else {
            otherLines += 1
            return
        }
        reported = begun ?? Profile(valueTypes: [Self.values[3].type, Self.blocksInUse])
        missingStacks = max(0, stacks.subtractingClamped(listed))
        listed = 0
        begun = nil
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
            begun = []
            return (recording.profile, recordingComplaint)
        }
        folded.finish()
        let first = folded.firstBadLine.map { ", the first is line \($0.number)" } ?? ""
        return (
            folded.profile,
            folded.badLines > 0 ? "\(folded.badLines) lines are not folded stacks\(first)" : nil
        )
    }

    private var recordingComplaint: String? {
        var complaints: [String] = []
        if recording.otherLines > 0 { complaints.append("\(recording.otherLines) lines are not stacks") }
        if recording.missingStacks > 0 {
            complaints.append("\(recording.missingStacks) stacks are not in it: record with a larger -T")
        }
        return complaints.isEmpty ? nil : complaints.joined(separator: "; ")
    }

    /// Whether the values are estimates; known once it has been read.
    var isEstimate: Bool { recording.isEstimate }
    /// Whether there were reports: then no stacks is a result as well.
    private var isOfMemory: Bool { recording.profile?.valueTypes.last == StackRecording.blocksInUse }
}

extension RecordingReader {
    /// Reads a file to its end.
    ///
    /// - Parameters:
    ///   - path: `-` is standard input.
    ///   - command: who says what could not be read.
    ///   - mayBeEmpty: whether a report without stacks is something to go on with.
    mutating func read(path: String, for command: String, mayBeEmpty: Bool = false) throws -> Profile {
        let descriptor = path == "-" ? 0 : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure(path) }
        defer { if descriptor > 0 { close(descriptor) } }
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { piece.deallocate() }
        while true {
            let count = Glibc.read(descriptor, piece.baseAddress, piece.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw Self.failure(path) }
            if count == 0 { break }
            read(UnsafeRawBufferPointer(rebasing: piece[..<count]))
        }
        let (profile, complaint) = finish()
        if let complaint { writeError("\(command): '\(escaped(path))': \(complaint)") }
        guard let profile, profile.count > 0 || mayBeEmpty && isOfMemory else {
            throw CommandFailure(
                "'\(escaped(path))' holds no stacks: give lines of the form frame;frame count, or what profile, "
                    + "offcputime or memleak print with --json")
        }
        return profile
    }

    static func requireComparable(_ before: Profile, _ after: Profile) throws {
        guard before.valueTypes == after.valueTypes else {
            throw CommandFailure(
                "the recordings measure different things: give two of one command, both folded or both --json"
            )
        }
    }

    private static func failure(_ path: String) -> CommandFailure {
        CommandFailure("cannot read '\(escaped(path))': \(errnoName(errno) ?? "error \(errno)")")
    }
}
