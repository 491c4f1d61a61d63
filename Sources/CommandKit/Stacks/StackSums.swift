// SPDX-License-Identifier: Apache-2.0
internal import Reporting
internal import Symbolization

/// What was measured under stacks that have names, for millions of stacks of as many processes.
///
/// Stacks are a tree of their beginnings, whose nodes are numbers of what addresses stand for: processes that run the
/// same programs share them, wherever their code is mapped. A row is a stack, a task and its values.
struct StackSums {
    /// What an address stands for: a function and those inlined there, the innermost first; or how a stack ends.
    struct Part: Hashable {
        var frames: [Frame] = []
        /// Whose addresses are without the bias that the task has mapped it with; -1: none.
        var file: Int32 = -1
        /// Of a part that says how a user stack ends.
        var end: StackEnd?
        /// Tells it from others whose frames are not known yet.
        var pending: Int32 = -1
        /// An address of which nothing is known, and how far behind what was looked up it is; 0 for another part. Where
        /// there are such addresses, there may be many.
        var unknown: UInt64 = 0
        var behind: UInt8 = 0

        init(frames: [Frame] = [], file: Int32 = -1, end: StackEnd? = nil) {
            self.file = file
            self.end = end
            guard frames.count == 1, let frame = frames.first, frame.address != 0,
                case let behind = frame.address &- frame.moduleOffset, behind < 2,
                frame == Frame(kind: .user, moduleOffset: frame.moduleOffset, address: frame.address)
            else {
                self.frames = frames
                return
            }
            unknown = frame.address
            self.behind = UInt8(behind)
        }

        /// - Parameter late: frames of parts whose frames were not known.
        func frames(_ late: [[Frame]]) -> [Frame] {
            if unknown != 0 {
                return [Frame(kind: .user, moduleOffset: unknown &- UInt64(behind), address: unknown)]
            }
            return pending >= 0 ? late[Int(pending)] : frames
        }
    }

    /// Whose stack it is. What many of them have in common is in `Kind`.
    struct Task: Hashable {
        var process: Int32
        var thread: Int32
        /// As of `StackReport.Key`.
        var started: UInt64 = 0
        var kind: Int32
        /// Who ended the wait, a task too, and on which stack; -1: nobody.
        var waker: Int32 = -1
        var wakerStack: Int32 = -1
        /// Counts up where one file was mapped in another place.
        var variant: Int32 = 0
    }

    struct Kind: Hashable {
        var comm: String
        var labels: [String: String] = [:]
        /// Text above a stack that has no addresses: what is known instead.
        var notes: [String] = []
    }

    /// A file that a task has mapped, and what its addresses are more than the file's there.
    struct Bias {
        let file: Int32
        let bytes: UInt64
    }

    private(set) var parts = Numbering<Part>()
    private(set) var kinds = Numbering<Kind>()
    private(set) var tasks = Numbering<Task>()
    /// (the stack without its leaf or -1, the leaf's part).
    private(set) var stacks = PairTable()
    /// (stack, task).
    private(set) var rows = PairTable()
    /// Those of the first row, those of the second …
    private var values: [UInt64] = []
    private let width: Int
    /// The biases of all tasks: lists, each of one task.
    private var biases: [(bias: Bias, next: Int32)] = []
    /// The first of a task's biases, by its number; -1: none.
    private var firstBias: [Int32] = []

    /// - Parameter width: how many values a row has.
    init(width: Int) { self.width = width }

    mutating func number(_ part: Part) -> Int32 { parts.number(part) }

    mutating func number(_ kind: Kind) -> Int32 { kinds.number(kind) }

    /// The stack that has one more part than another; -1 is the empty one.
    mutating func stack(_ stack: Int32, _ part: Int32) -> Int32 { stacks.number(stack, part) }

    /// The task that has mapped files so: the same as before, but for one file in two places.
    mutating func number(_ task: Task, _ mapped: [Bias]) -> Int32 {
        var task = task
        while true {
            let number = tasks.number(task)
            while firstBias.count < tasks.count { firstBias.append(-1) }
            let known = mapped.map { bias(of: $0.file, in: number) }
            guard zip(mapped, known).contains(where: { $1 != nil && $1 != $0.bytes }) else {
                for (new, known) in zip(mapped, known)
                where known == nil && bias(of: new.file, in: number) == nil {
                    biases.append((new, firstBias[Int(number)]))
                    firstBias[Int(number)] = Int32(biases.count - 1)
                }
                return number
            }
            task.variant += 1
        }
    }

    private func bias(of file: Int32, in task: Int32) -> UInt64? {
        var place = firstBias[Int(task)]
        while place >= 0 {
            let (bias, next) = biases[Int(place)]
            if bias.file == file { return bias.bytes }
            place = next
        }
        return nil
    }

    mutating func add(stack: Int32, task: Int32, _ added: [UInt64]) {
        let first = Int(rows.number(stack, task)) * width
        if first == values.count { values.append(contentsOf: repeatElement(0, count: width)) }
        for (index, value) in added.enumerated() { values[first + index] &+= value }
    }

    func values(ofRow row: Int) -> [UInt64] { Array(values[row * width..<(row + 1) * width]) }

    /// A stack's parts, the leaf first.
    func parts(of stack: Int32) -> [Int32] {
        var result: [Int32] = []
        var stack = stack
        while stack >= 0 {
            result.append(stacks.seconds[Int(stack)])
            stack = stacks.firsts[Int(stack)]
        }
        return result
    }

    /// How a stack's user side ends, which is its first part if that is known.
    func end(of stack: Int32) -> StackEnd {
        parts(of: stack).last.flatMap { parts[$0].end } ?? .unknown
    }

    /// A stack's frames, the leaf first, with the addresses that they have in a task.
    ///
    /// - Parameter late: frames of parts whose frames were not known.
    func frames(of stack: Int32, in task: Int32, _ late: [[Frame]]) -> [Frame] {
        var result: [Frame] = []
        for number in parts(of: stack) {
            let part = parts[number]
            var frames = part.frames(late)
            if part.file >= 0, let bias = bias(of: part.file, in: task) {
                for index in frames.indices { frames[index].address &+= bias }
            }
            result += frames
        }
        return result
    }
}
