// SPDX-License-Identifier: Apache-2.0

/// Reads folded stacks from anywhere: files of other tools, hand-made or broken ones.
///
/// Feed it in pieces of any size with `read`, then call `finish`. What cannot be understood is counted, not fatal.
package struct FoldedReader: Sendable {
    package enum Problem: Equatable, Sendable {
        case noCount
        case noStack
        case countTooLarge
        case lineTooLong
    }

    /// Longer lines are skipped.
    package static let longestLine = 1 << 20
    /// Deeper stacks are cut at the leaf's end, where a marker says so.
    package static let deepestStack = 4096

    package private(set) var profile: Profile
    package private(set) var lineCount = 0
    package private(set) var badLines = 0
    /// The first of the bad lines, to be told to the user.
    package private(set) var firstBadLine: (number: Int, problem: Problem)?
    /// Stacks that were too deep.
    package private(set) var cutStacks = 0
    /// Counts that were not whole numbers. What is rounded off goes to the next such line: the sum stays right.
    package private(set) var fractions = 0

    private var remainder = 0.0
    /// The beginning of a line whose end has not come yet.
    private var begun: [UInt8] = []
    private var isSkipping = false
    private var frameNumbers: [String: Profile.FrameNumber] = [:]
    private let cutMark: Profile.FrameNumber
    /// The stack of the last line, where each of its frames ends in it, and which stack it is up to there: lines
    /// are sorted more often than not, and what they share is looked up once.
    private var last: [UInt8] = []
    private var lastEnds: [(offset: Int, stack: Int32)] = []

    package init(valueType: Profile.ValueType = .samples) {
        profile = Profile(valueTypes: [valueType])
        cutMark = profile.intern(.init(.marker, "[stack cut at \(Self.deepestStack) frames]"))
    }

    package mutating func read(_ text: String) {
        var text = text
        text.withUTF8 { read(UnsafeRawBufferPointer($0)) }
    }

    /// Takes the next piece of the input.
    package mutating func read(_ piece: UnsafeRawBufferPointer) {
        var rest = piece[...]
        while let newline = rest.firstIndex(of: UInt8(ascii: "\n")) {
            let line = rest[..<newline]
            rest = rest[(newline + 1)...]
            if begun.isEmpty && !isSkipping && line.count <= Self.longestLine {
                parse(UnsafeRawBufferPointer(rebasing: line))
            } else {
                begin(line)
                endLine()
            }
        }
        if !rest.isEmpty { begin(rest) }
    }

    /// Takes the last line if it has no newline.
    package mutating func finish() {
        if !begun.isEmpty || isSkipping { endLine() }
    }

    private mutating func begin(_ piece: Slice<UnsafeRawBufferPointer>) {
        if begun.count + piece.count > Self.longestLine { isSkipping = true }
        if isSkipping {
            begun = []
        } else {
            begun.append(contentsOf: piece)
        }
    }

    private mutating func endLine() {
        let line = begun
        begun = []
        if isSkipping {
            isSkipping = false
            lineCount += 1
            reject(.lineTooLong)
        } else {
            line.withUnsafeBytes { parse($0) }
        }
    }

    private mutating func reject(_ problem: Problem) {
        badLines += 1
        if firstBadLine == nil { firstBadLine = (lineCount, problem) }
    }

    /// One line without its newline.
    private mutating func parse(_ line: UnsafeRawBufferPointer) {
        lineCount += 1
        let text = trimmed(line[...])
        guard !text.isEmpty else { return }
        let space = text.lastIndex(where: isBlank)
        let number = text[(space.map { $0 + 1 } ?? text.startIndex)...]
        let count: UInt64
        switch parseCount(number) {
        case .number(let value): count = value
        case .tooLarge: return reject(.countTooLarge)
        case .none: return reject(.noCount)
        }
        let frames = trimmed(text[..<(space ?? text.startIndex)])
        guard frames.contains(where: { $0 != UInt8(ascii: ";") }) else { return reject(.noStack) }
        let stack = self.stack(UnsafeRawBufferPointer(rebasing: frames))
        if count > 0 { profile.add(stack: stack, values: [count]) }
    }

    private enum Count {
        case number(UInt64)
        case tooLarge
        case none
    }

    /// Digits, and perhaps a dot and more digits.
    private mutating func parseCount(_ text: Slice<UnsafeRawBufferPointer>) -> Count {
        var whole: UInt64 = 0
        var isLarge = false
        var index = text.startIndex
        while index < text.endIndex, let digit = digit(text[index]) {
            let (shifted, overflow) = whole.multipliedReportingOverflow(by: 10)
            isLarge = isLarge || overflow || shifted > Profile.largestTotal - digit
            whole = isLarge ? 0 : shifted + digit
            index += 1
        }
        guard index > text.startIndex else { return .none }
        if index < text.endIndex {
            guard text[index] == UInt8(ascii: ".") else { return .none }
            var scale = 0.1
            var fraction = 0.0
            for byte in text[(index + 1)...] {
                guard let digit = digit(byte) else { return .none }
                fraction += Double(digit) * scale
                scale /= 10
            }
            if fraction > 0 && !isLarge {
                fractions += 1
                remainder += fraction
                // Half a hair for sums such as ten times 0.1.
                let carried = (remainder + 1e-9).rounded(.down)
                remainder -= carried
                whole += UInt64(carried)
            }
        }
        return isLarge ? .tooLarge : .number(whole)
    }

    /// The stack that the text names; what it shares with the last one is not looked up again.
    private mutating func stack(_ text: UnsafeRawBufferPointer) -> Int32 {
        var shared = 0
        let most = min(text.count, last.count)
        while shared < most && text[shared] == last[shared] { shared += 1 }
        // The semicolon behind the frame must be shared too, else the frame may go on.
        while let end = lastEnds.last, end.offset >= shared { lastEnds.removeLast() }
        var stack = lastEnds.last?.stack ?? -1
        var start = lastEnds.last.map { $0.offset + 1 } ?? 0
        while start < text.count {
            let end = text[start...].firstIndex(of: UInt8(ascii: ";")) ?? text.count
            if lastEnds.count == Self.deepestStack {
                cutStacks += 1
                stack = profile.stack(stack, cutMark)
                break
            }
            if end > start {
                stack = profile.stack(stack, frame(String(decoding: text[start..<end], as: UTF8.self)))
                lastEnds.append((end, stack))
            }
            start = end + 1
        }
        last.removeAll(keepingCapacity: true)
        last.append(contentsOf: text)
        return stack
    }

    private mutating func frame(_ text: String) -> Profile.FrameNumber {
        if let number = frameNumbers[text] { return number }
        var name = text
        var kind = Profile.Frame.Kind.user
        for (suffix, annotated) in [("_[k]", Profile.Frame.Kind.kernel), ("_[i]", .inlined), ("_[j]", .jit)]
        where text.utf8.count > suffix.utf8.count && text.hasSuffix(suffix) {
            kind = annotated
            name.removeLast(suffix.count)
        }
        if text == "-" || text == "--" { kind = .marker }
        if text.hasPrefix(Profile.Frame.offCPUNote) { kind = .offCPU }
        let number = profile.intern(.init(kind, name))
        frameNumbers[text] = number
        return number
    }
}

private func digit(_ byte: UInt8) -> UInt64? { byte >= 0x30 && byte <= 0x39 ? UInt64(byte - 0x30) : nil }

private func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0d }

private func trimmed(_ text: Slice<UnsafeRawBufferPointer>) -> Slice<UnsafeRawBufferPointer> {
    var text = text
    while let first = text.first, isBlank(first) { text = text.dropFirst() }
    while let last = text.last, isBlank(last) { text = text.dropLast() }
    return text
}
