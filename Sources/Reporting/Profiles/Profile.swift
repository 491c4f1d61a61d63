// SPDX-License-Identifier: Apache-2.0

/// Stacks with values, ready for any of the outputs.
///
/// Frames, stacks and labels are kept once each, stacks as a tree of their beginnings: a million samples with
/// thirty frames each take about as much memory as their distinct stacks do. Samples with the same stack and
/// labels are one.
package struct Profile: Sendable {
    /// One line of a stack.
    package struct Frame: Hashable, Sendable {
        package enum Kind: Int, CaseIterable, Sendable {
            case user, kernel
            /// Has no frame of its own on the stack: it was inlined into the frame before it (root first).
            case inlined
            case jit
            /// No function, but something said about the stack: a process, a delimiter, "stack is cut".
            case marker
            /// A function of the kernel on which a thread was off the CPU, or a note that it was, which has no
            /// address: for pictures of all of a thread's time.
            case offCPU
        }

        package var kind: Kind
        /// Empty if not known: then it is shown as `[unknown]` with the module.
        package var function: String
        package var module: String?
        package var buildID: String?
        /// The address as the module's own symbol table has it.
        package var moduleOffset: UInt64?
        package var address: UInt64?
        package var file: String?
        package var line: Int?

        package init(
            _ kind: Kind, _ function: String, module: String? = nil, buildID: String? = nil,
            moduleOffset: UInt64? = nil, address: UInt64? = nil, file: String? = nil, line: Int? = nil
        ) {
            self.kind = kind
            self.function = function
            self.module = module
            self.buildID = buildID
            self.moduleOffset = moduleOffset
            self.address = address
            self.file = file
            self.line = line
        }

        static let offCPUNote = "[off-CPU"

        /// What stands at the leaf of a stack whose thread was off the CPU.
        ///
        /// - Parameter reason: What it waited for, in a word.
        package static func offCPU(_ reason: String) -> Frame { Frame(.offCPU, "\(offCPUNote): \(reason)]") }

        var isOfKernel: Bool { kind == .kernel || kind == .offCPU && address != nil }

        /// The name under which frames are merged in folded stacks and in pictures.
        package var text: String {
            if !function.isEmpty { return function }
            guard let module else { return "[unknown]" }
            return "[unknown] " + module.lastPathComponent
        }
    }

    /// What the numbers of the samples mean.
    package struct ValueType: Hashable, Sendable {
        /// "samples", "cpu", "off_cpu", "inuse_space" …
        package var name: String
        /// "count", "nanoseconds" or "bytes"; others are shown as they are.
        package var unit: String

        package init(name: String, unit: String) {
            self.name = name
            self.unit = unit
        }

        package static let samples = ValueType(name: "samples", unit: "count")
    }

    /// Something that is known about a sample beside its stack: "process", "thread", "container", "state" …
    package struct Label: Hashable, Sendable {
        package enum Value: Hashable, Sendable {
            case text(String)
            case number(Int64, unit: String)
        }

        package var key: String
        package var value: Value

        package init(_ key: String, _ text: String) {
            self.key = key
            value = .text(text)
        }

        package init(_ key: String, _ number: Int64, unit: String = "") {
            self.key = key
            value = .number(number, unit: unit)
        }

        package var text: String {
            switch value {
            case .text(let text): text
            case .number(let number, _): String(number)
            }
        }
    }

    package struct Sample: Sendable {
        /// Root first.
        package let frames: [Frame]
        /// One per value type.
        package let values: [UInt64]
        package let labels: [Label]
    }

    /// What one of the interned frames is called in `add(frames:values:labels:)`.
    package struct FrameNumber: Hashable, Sendable {
        fileprivate let value: Int32
    }

    /// Sums stay below this, so that they fit the signed numbers of the formats.
    static let largestTotal = UInt64(Int64.max)

    package let valueTypes: [ValueType]
    /// How much of `periodType` lies between two samples; 0 if the question makes no sense.
    package var period: UInt64 = 0
    package var periodType: ValueType?
    package var durationNanoseconds: UInt64 = 0
    /// When it began, since 1970 (UTC); 0 if not known.
    package var timeNanoseconds: UInt64 = 0
    package var comments: [String] = []
    /// The sum of each value type.
    package private(set) var totals: [UInt64]

    private(set) var frames: [Frame] = []
    private var frameNumbers: [Frame: Int32] = [:]
    /// (the stack without its leaf or -1, the leaf's frame).
    private(set) var stacks = PairTable()
    private(set) var labelSets: [[Label]] = []
    private var labelSetNumbers: [[Label]: Int32] = [:]
    /// (stack, label set).
    private(set) var samples = PairTable()
    /// Those of the first sample, those of the second …
    private(set) var values: [UInt64] = []

    package init(valueTypes: [ValueType] = [.samples]) {
        precondition(!valueTypes.isEmpty, "a profile needs a value type")
        self.valueTypes = valueTypes
        totals = [UInt64](repeating: 0, count: valueTypes.count)
    }
}

extension Profile {
    /// The frame's number, which spares hashing it again for every stack it is in.
    package mutating func intern(_ frame: Frame) -> FrameNumber {
        if let number = frameNumbers[frame] { return FrameNumber(value: number) }
        let number = Int32(frames.count)
        frames.append(frame)
        frameNumbers[frame] = number
        return FrameNumber(value: number)
    }

    /// Adds to the sample with this stack (root first) and these labels.
    package mutating func add(
        frames: some Sequence<FrameNumber>, values: [UInt64], labels: [Label] = []
    ) {
        var stack: Int32 = -1
        for frame in frames { stack = self.stack(stack, frame) }
        add(stack: stack, values: values, labels: labels)
    }

    package mutating func add(_ frames: some Sequence<Frame>, values: [UInt64], labels: [Label] = []) {
        var stack: Int32 = -1
        for frame in frames { stack = self.stack(stack, intern(frame)) }
        add(stack: stack, values: values, labels: labels)
    }

    /// The stack that has one more frame than another; -1 is the empty one.
    mutating func stack(_ stack: Int32, _ leaf: FrameNumber) -> Int32 { stacks.number(stack, leaf.value) }

    mutating func add(stack: Int32, values added: [UInt64], labels: [Label] = []) {
        precondition(added.count == valueTypes.count, "a sample has one value per value type")
        let sample = Int(samples.number(stack, labelSet(labels)))
        let first = sample * valueTypes.count
        if first == values.count { values.append(contentsOf: repeatElement(0, count: added.count)) }
        for (index, value) in added.enumerated() {
            // Clamped here once, so that no sum of values can overflow later.
            let fitting = min(value, Self.largestTotal - totals[index])
            totals[index] += fitting
            values[first + index] += fitting
        }
    }

    private mutating func labelSet(_ labels: [Label]) -> Int32 {
        if let number = labelSetNumbers[labels] { return number }
        let number = Int32(labelSets.count)
        labelSets.append(labels)
        labelSetNumbers[labels] = number
        return number
    }

    package var count: Int { samples.count }

    package subscript(index: Int) -> Sample {
        var leafFirst: [Frame] = []
        var stack = samples.firsts[index]
        while stack >= 0 {
            leafFirst.append(frames[Int(stacks.seconds[Int(stack)])])
            stack = stacks.firsts[Int(stack)]
        }
        return Sample(
            frames: leafFirst.reversed(), values: (0..<valueTypes.count).map { value($0, ofSample: index) },
            labels: labelSets[Int(samples.seconds[index])])
    }

    func value(_ type: Int, ofSample index: Int) -> UInt64 { values[index * valueTypes.count + type] }
}

extension String {
    /// What follows the last slash; everything if there is none or nothing follows it.
    package var lastPathComponent: String {
        guard let slash = utf8.lastIndex(of: UInt8(ascii: "/")) else { return self }
        let name = self[utf8.index(after: slash)...]
        return name.isEmpty ? self : String(name)
    }
}
