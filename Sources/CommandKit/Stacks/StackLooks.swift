// SPDX-License-Identifier: Apache-2.0
internal import Reporting
internal import Symbolization

extension StackReport {
    /// A row of the sums, with what was added to it of others that look the same.
    struct Entry {
        let row: Int
        var values: [UInt64]
    }

    /// All that is said of a stack and a task.
    struct Row {
        struct Waker {
            let process: Int32
            let thread: Int32
            let comm: String
            let frames: [Frame]
        }

        let process: Int32
        let thread: Int32
        let started: UInt64
        let comm: String
        let labels: [String: String]
        let notes: [String]
        let values: [UInt64]
        let end: StackEnd
        /// Leaf first.
        let frames: [Frame]
        var waker: Waker?
    }
}

/// What a reader can tell rows apart by: samples that hit one function in different places are one stack.
struct StackLooks {
    private let sums: StackSums
    private let style: StackReport.Style
    private let late: [[Frame]]
    private var looks = Numbering<[Look]>()
    private var stacks = PairTable()
    /// Of each part; of what is not seen -1.
    private var lookOfPart: [Int32] = []
    /// Of each stack.
    private var lookOfStack: [Int32] = []

    private struct Look: Hashable {
        let function: String?
        let module: String?
        let file: String?
        let line: Int?
        let place: UInt64
    }

    /// - Parameter late: as of `StackSums.frames`.
    init(_ sums: StackSums, _ style: StackReport.Style, _ late: [[Frame]]) {
        self.sums = sums
        self.style = style
        self.late = late
        for part in sums.parts.elements { lookOfPart.append(number(part)) }
        for stack in 0..<sums.stacks.count {
            // A stack comes after what it begins with.
            let beginning = sums.stacks.firsts[stack]
            let before = beginning < 0 ? -1 : lookOfStack[Int(beginning)]
            let look = lookOfPart[Int(sums.stacks.seconds[stack])]
            lookOfStack.append(look < 0 ? before : stacks.number(before, look))
        }
    }

    private mutating func number(_ part: StackSums.Part) -> Int32 {
        let frames = part.frames(late)
        guard !frames.isEmpty else { return -1 }
        return looks.number(
            frames.map { frame in
                let isExact = style.addresses || frame.function == nil
                // In one process, a file's address stands for one of the process's.
                return Look(
                    function: frame.function, module: frame.module, file: frame.file, line: frame.line,
                    place: isExact ? frame.address : style.offsets ? frame.functionOffset : 0)
            })
    }

    /// Entries that look different, by value, the largest last.
    func merged() -> [StackReport.Entry] {
        var tasks = Numbering<StackSums.Task>()
        var seen = PairTable()
        var entries: [StackReport.Entry] = []
        for row in 0..<sums.rows.count {
            let task = tasks.number(look(ofTask: sums.rows.seconds[row]))
            let number = Int(seen.number(look(ofStack: sums.rows.firsts[row]), task))
            let values = sums.values(ofRow: row)
            if number == entries.count {
                entries.append(StackReport.Entry(row: row, values: values))
            } else {
                for index in values.indices { entries[number].values[index] &+= values[index] }
            }
        }
        return entries.sorted { order($0) < order($1) }
    }

    private func order(_ entry: StackReport.Entry) -> (UInt64, String, Int32) {
        let task = sums.tasks[sums.rows.seconds[entry.row]]
        return (entry.values[style.value], sums.kinds[task.kind].comm, task.thread)
    }

    private func look(ofStack stack: Int32) -> Int32 { stack < 0 ? -1 : lookOfStack[Int(stack)] }

    private func look(ofTask number: Int32) -> StackSums.Task {
        var task = sums.tasks[number]
        task.variant = 0
        if task.waker >= 0 {
            var waker = sums.tasks[task.waker]
            waker.variant = 0
            task.waker = sums.tasks.known(waker) ?? task.waker
            task.wakerStack = look(ofStack: task.wakerStack)
        }
        return task
    }
}
