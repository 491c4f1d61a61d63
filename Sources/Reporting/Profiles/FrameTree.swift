// SPDX-License-Identifier: Apache-2.0

/// Stacks merged by the text of their frames. Each sample belongs to exactly one node, that of its leaf.
struct FrameTree {
    struct Options {
        /// Labels whose values go before the root of a stack: "process" in BCC's folded lines.
        var groups: [String]
        /// Goes between the user's and the kernel's frames of a stack.
        var delimiter: String?
        /// The text that frames of the same node share.
        var text: (Profile.Frame) -> String
    }

    struct Label: Hashable {
        let text: String
        let kind: Profile.Frame.Kind
    }

    /// Where the function of a node is, as far as all frames merged into the node agree.
    struct Detail: Hashable {
        var module: String?
        var file: String?
        var line: Int?
    }

    private(set) var labels: [Label] = []
    private var labelNumbers: [Label: Int32] = [:]
    private(set) var details: [Detail] = []
    private var detailNumbers: [Detail: Int32] = [:]
    /// (parent or -1, label).
    private(set) var nodes = PairTable()
    /// By node.
    private(set) var detailOfNode: [Int32] = []
    /// By node: the values of the samples that end there, of the first profile and of the one it is compared to.
    var own: [[UInt64]] = [[], []]

    mutating func label(_ text: String, _ kind: Profile.Frame.Kind) -> Int32 {
        let label = Label(text: text, kind: kind)
        if let number = labelNumbers[label] { return number }
        let number = Int32(labels.count)
        labels.append(label)
        labelNumbers[label] = number
        return number
    }

    fileprivate mutating func detail(_ detail: Detail) -> Int32 {
        if let number = detailNumbers[detail] { return number }
        let number = Int32(details.count)
        details.append(detail)
        detailNumbers[detail] = number
        return number
    }

    fileprivate mutating func child(of parent: Int32, label: Int32, detail: Int32) -> Int32 {
        let node = nodes.number(parent, label)
        let index = Int(node)
        if index == detailOfNode.count {
            detailOfNode.append(detail)
            own[0].append(0)
            own[1].append(0)
        } else if detailOfNode[index] != detail {
            detailOfNode[index] = common(detailOfNode[index], detail)
        }
        return node
    }

    private mutating func common(_ one: Int32, _ other: Int32) -> Int32 {
        var common = details[Int(one)]
        let second = details[Int(other)]
        if common.module != second.module { common.module = nil }
        if common.line != second.line { common.line = nil }
        if common.file != second.file {
            common.file = nil
            common.line = nil
        }
        return detail(common)
    }

    /// Sums of a node and everything above it.
    func totals(_ which: Int) -> [UInt64] {
        var totals = own[which]
        // A node comes after its parent.
        for node in totals.indices.reversed() where nodes.firsts[node] >= 0 {
            totals[Int(nodes.firsts[node])] += totals[node]
        }
        return totals
    }

    /// Adds the samples of a profile to the values of the first (0) or of the second (1).
    mutating func add(_ profile: Profile, value: Int, as which: Int = 0, options: Options) {
        var merger = Merger(profile, options: options, tree: &self)
        for sample in 0..<profile.count {
            let value = profile.value(value, ofSample: sample)
            guard value > 0 else { continue }
            let node = merger.node(
                prefix: merger.prefixes[Int(profile.samples.seconds[sample])],
                stack: profile.samples.firsts[sample], tree: &self)
            own[which][Int(node)] += value
        }
    }
}

/// Finds the node of each stack of one profile.
private struct Merger {
    private let profile: Profile
    /// By frame.
    private var labels: [Int32]
    private var details: [Int32]
    /// The delimiter's, -1 without one.
    private var delimiter: Int32 = -1
    /// By stack: whether its leaf is the first of the kernel's frames after others.
    private var crossings: [Bool] = []
    private let noStack: Int32
    private let noDetail: Int32
    /// By label set: the node of what goes before the root.
    private(set) var prefixes: [Int32] = []
    /// (prefix, stack) and the nodes of these, so that no beginning of a stack is looked at twice.
    private var known = PairTable()
    private var nodes: [Int32] = []
    private var pending: [(stack: Int32, number: Int)] = []

    init(_ profile: Profile, options: FrameTree.Options, tree: inout FrameTree) {
        self.profile = profile
        labels = profile.frames.map { tree.label(options.text($0), $0.kind) }
        details = profile.frames.map {
            tree.detail(.init(module: $0.module, file: $0.file, line: $0.line))
        }
        noStack = tree.label("[no stack]", .marker)
        noDetail = tree.detail(.init())
        for labels in profile.labelSets {
            var node: Int32 = -1
            for key in options.groups {
                guard let label = labels.first(where: { $0.key == key }) else { continue }
                let text = tree.label(options.text(.init(.marker, label.text)), .marker)
                node = tree.child(of: node, label: text, detail: noDetail)
            }
            prefixes.append(node)
        }
        if let text = options.delimiter {
            delimiter = tree.label(text, .marker)
            findCrossings()
        }
    }

    private mutating func findCrossings() {
        var hasKernel: [Bool] = []
        for (parent, frame) in zip(profile.stacks.firsts, profile.stacks.seconds) {
            let isKernel = profile.frames[Int(frame)].isOfKernel
            let inKernel = parent >= 0 && hasKernel[Int(parent)]
            crossings.append(isKernel && !inKernel && parent >= 0)
            hasKernel.append(isKernel || inKernel)
        }
    }

    mutating func node(prefix: Int32, stack: Int32, tree: inout FrameTree) -> Int32 {
        guard stack >= 0 else { return tree.child(of: prefix, label: noStack, detail: noDetail) }
        pending.removeAll(keepingCapacity: true)
        var node = prefix
        var at = stack
        while at >= 0 {
            let number = Int(known.number(prefix, at))
            if number < nodes.count {
                node = nodes[number]
                break
            }
            nodes.append(-1)
            pending.append((at, number))
            at = profile.stacks.firsts[Int(at)]
        }
        for (stack, number) in pending.reversed() {
            if delimiter >= 0 && crossings[Int(stack)] {
                node = tree.child(of: node, label: delimiter, detail: noDetail)
            }
            let frame = Int(profile.stacks.seconds[Int(stack)])
            node = tree.child(of: node, label: labels[frame], detail: details[frame])
            nodes[number] = node
        }
        return node
    }
}
