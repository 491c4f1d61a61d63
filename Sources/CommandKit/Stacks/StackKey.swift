// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Reporting

extension StackNames {
    /// A key without what may be wrong of its user's stack.
    func trusted(_ key: StackReport.Key, _ time: UInt64) -> StackReport.Key {
        let (addresses, end) = trusted(key.user, key.userEnd, of: key.process, at: time)
        guard addresses.count < key.user.count else { return key }
        var key = key
        key.user = addresses
        key.userEnd = end
        return key
    }
}

extension StackReport {
    /// What stacks are added up by.
    struct Key: Hashable {
        let process: Int32
        let thread: Int32
        let comm: String
        /// Leaf first.
        let kernel: [UInt64]
        var user: [UInt64]
        var userEnd = StackEnd.unknown
        /// Since when the process's addresses have stood for what they stood for then, as the symbolizer has it; nil
        /// if that is not known.
        var moment: UInt64?
        /// Tells the process from others that had its number: when it was started. 0 if that is not known.
        var started: UInt64 = 0
        /// What else tells two entries apart: label and value.
        var labels: [String: String] = [:]
        /// Text above a stack that has no addresses: what is known instead.
        var notes: [String] = []
        var waker: Waker?

        /// With more frames behind those of the user.
        func continued(_ rest: DeferredStacks.Rest) -> Self {
            var key = self
            key.user = StackNames.withoutEnd((user.prefix(rest.kept) + rest.addresses)[...])
            key.userEnd = rest.end
            return key
        }
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
        /// As of the stack.
        var moment: UInt64?
    }

    /// When a process was started, from what a program of the kernel says (PROGRAM_EXECUTION_BITS).
    static func start(of program: UInt64) -> UInt64 { program >> UInt64(PROGRAM_EXECUTION_BITS) }

    /// The same in nanoseconds of the monotonic clock.
    static func time(ofStart start: UInt64) -> UInt64 { start << UInt64(PROGRAM_EXECUTION_BITS) }

    /// Where a thread was, in profiles of all of its time.
    enum State: String {
        case onCPU = "on-cpu"
        case offCPU = "off-cpu"

        private static let label = "state"

        var labels: [String: String] { [Self.label: rawValue] }

        init?(_ labels: [String: String]) {
            guard let text = labels[Self.label] else { return nil }
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
