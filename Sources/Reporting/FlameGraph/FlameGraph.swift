// SPDX-License-Identifier: Apache-2.0

/// A flame graph: stacks merged by the text of their frames, each frame a box as wide as its share.
///
/// `writeHTML` makes a page for a browser, `writeSVG` a picture that becomes the same page when a browser opens
/// it directly. Both are one file, need no network, and show every name as text whatever it contains.
package struct FlameGraph {
    package enum Palette: Sendable {
        /// User code warm, kernel red, inlined aqua, JIT green.
        case cpu
        /// Blue.
        case offCPU
        /// Green.
        case memory
    }

    package enum Order: Sendable {
        case name
        /// Largest first.
        case value
    }

    package struct Options: Sendable {
        package var title = "Flame graph"
        package var subtitle = ""
        package var palette = Palette.cpu
        package var order = Order.name
        /// The root at the top.
        package var icicle = false
        /// Siblings with less than this share of the total are merged into one grey box. nil: every frame is in
        /// the page, and in the picture those that are at least a tenth of a pixel wide.
        package var minimumShare: Double?
        /// Which of the profile's values.
        package var value = 0
        /// Labels that become boxes under the root of a stack.
        package var groups = ["process"]

        package init() {}
    }

    /// How two profiles are compared.
    package struct Comparison: Sendable {
        package enum Width: Sendable {
            case before, after
        }

        /// Which of the two the widths of the boxes show. What is only in the other has no width.
        package var width = Width.after
        /// Whether the first is scaled to the total of the second: for runs of different length.
        package var normalize = false
        package var beforeName = "before"
        package var afterName = "after"

        package init() {}
    }

    let options: Options
    let valueType: Profile.ValueType
    let comparison: Comparison?
    /// Of both profiles, before they were scaled.
    let comparedTotals: (before: UInt64, after: UInt64)
    /// The second values are those that the widths are compared to.
    let tree: FrameTree
    let palette: FlamePalette

    package init(_ profile: Profile, _ options: Options = Options()) {
        var tree = FrameTree()
        tree.add(profile, value: options.value, options: Self.treeOptions(options))
        self.init(tree, options, type: profile.valueTypes[options.value], comparison: nil, (0, 0))
    }

    /// What has changed from one profile to another.
    package init(
        before: Profile, after: Profile, _ comparison: Comparison = Comparison(),
        _ options: Options = Options()
    ) {
        let (shown, other) = comparison.width == .after ? (after, before) : (before, after)
        var tree = FrameTree()
        tree.add(shown, value: options.value, as: 0, options: Self.treeOptions(options))
        tree.add(other, value: options.value, as: 1, options: Self.treeOptions(options))
        if comparison.normalize {
            let scaled = comparison.width == .after ? 1 : 0
            let total = Double(before.totals[options.value])
            let factor = total > 0 ? Double(after.totals[options.value]) / total : 1
            tree.own[scaled] = tree.own[scaled].map {
                UInt64(min((Double($0) * factor).rounded(), Double(Profile.largestTotal / 2)))
            }
        }
        self.init(
            tree, options, type: after.valueTypes[options.value], comparison: comparison,
            (before.totals[options.value], after.totals[options.value]))
    }

    private init(
        _ tree: FrameTree, _ options: Options, type: Profile.ValueType, comparison: Comparison?,
        _ comparedTotals: (before: UInt64, after: UInt64)
    ) {
        self.tree = tree
        self.options = options
        self.comparison = comparison
        self.comparedTotals = comparedTotals
        valueType = type
        palette = FlamePalette(options.palette)
    }

    /// Names are made visible before anything else is done with them: a control or an invisible character shows
    /// as an escape, and stacks whose frames look the same are the same.
    private static func treeOptions(_ options: Options) -> FrameTree.Options {
        FrameTree.Options(groups: options.groups, delimiter: nil) { frame in
            let text = escaped(frame.text)
            guard text.utf8.count > longestName else { return text }
            return String(text.unicodeScalars.prefix(longestName)) + "…"
        }
    }

    /// No name that a person reads is longer; what comes from a broken file may be.
    private static let longestName = 4096
}
