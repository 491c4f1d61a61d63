// SPDX-License-Identifier: Apache-2.0
internal import Reporting

extension StackReport {
    /// What stacks are added up by.
    struct Key: Hashable {
        let process: Int32
        let thread: Int32
        let comm: String
        /// Leaf first.
        let kernel: [UInt64]
        let user: [UInt64]
        var userEnd = StackEnd.unknown
        /// Which of the process's programs it was, as the symbolizer has it; nil if that is not known.
        var program: UInt64?
        /// What else tells two entries apart: label and value.
        var labels: [String: String] = [:]
        var waker: Waker?
    }

    /// Who ended a wait, and on which stack.
    struct Waker: Hashable {
        let process: Int32
        let thread: Int32
        let comm: String
        /// Leaf first.
        let kernel: [UInt64]
        let user: [UInt64]
        var userEnd = StackEnd.unknown
    }

    /// Where a thread was, in profiles of all of its time.
    enum State: String {
        case onCPU = "on-cpu"
        case offCPU = "off-cpu"

        private static let label = "state"

        var labels: [String: String] { [Self.label: rawValue] }

        init?(_ key: Key) {
            guard let text = key.labels[Self.label] else { return nil }
            self.init(rawValue: text)
        }
    }

    /// How one command writes its stacks.
    struct Style {
        /// Behind the name of a stack's task in text: the thread's ID or the process's.
        var showsThread = false
        var offsets = false
        var addresses = false
        /// Marks kernel frames in folded stacks.
        var annotate = false
        var valueTypes: [Profile.ValueType]
        /// The value that is printed, and what it is divided by.
        var value = 0
        var divisor: UInt64 = 1
        var palette: FlameGraph.Palette = .cpu
        var title: String
    }
}
