// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Reporting

private func layout(
    _ profile: Profile, value: Int = 0, order: FlameGraph.Order = .name, minimumShare: Double = 0
) -> FlameLayout {
    var options = FlameGraph.Options()
    options.value = value
    return FlameLayout(FlameGraph(profile, options).tree, order: order, minimumShare: minimumShare)
}

/// What must hold for every layout.
private func expectSound(_ layout: FlameLayout, total: UInt64) {
    #expect(layout.total == total)
    // Every sample is in exactly one box.
    #expect(layout.boxes.reduce(0) { $0 + $1.own } == total)
    var path: [Int] = []
    var nextStart: [UInt64] = [0]
    for (index, box) in layout.boxes.enumerated() {
        path.removeSubrange(box.depth...)
        nextStart.removeSubrange((box.depth + 1)...)
        // A box begins where its neighbour ended, and within its parent.
        #expect(box.start == nextStart[box.depth])
        if let parent = path.last.map({ layout.boxes[$0] }) {
            #expect(box.depth == parent.depth + 1)
            #expect(box.start >= parent.start && box.start + box.total <= parent.start + parent.total)
        }
        nextStart[box.depth] = box.start + box.total
        path.append(index)
        nextStart.append(box.start)
    }
    for (index, box) in layout.boxes.enumerated() {
        let above = layout.boxes[(index + 1)...].prefix { $0.depth > box.depth }
        let children = above.filter { $0.depth == box.depth + 1 }
        #expect(box.total == box.own + children.reduce(0) { $0 + $1.total })
    }
}

private func texts(_ layout: FlameLayout) -> [String] {
    layout.boxes.map { "\($0.depth) \(layout.labels[$0.label].text) \($0.total)" }
}

@Suite struct FlameLayoutTests {
    private static let small: Profile = {
        var reader = FoldedReader()
        reader.read("a;b;c 10\na;b 5\na;d 30\ne 5\n")
        reader.finish()
        return reader.profile
    }()

    @Test func boxesAreSortedByName() {
        #expect(texts(layout(Self.small)) == ["0 all 50", "1 a 45", "2 b 15", "3 c 10", "2 d 30", "1 e 5"])
        #expect(layout(Self.small).boxes.map(\.own) == [0, 0, 5, 10, 30, 5])
        #expect(layout(Self.small).boxes.map(\.start) == [0, 0, 0, 0, 15, 45])
        #expect(layout(Self.small).depth == 4)
    }

    @Test func boxesAreSortedByValue() {
        #expect(
            texts(layout(Self.small, order: .value))
                == ["0 all 50", "1 a 45", "2 d 30", "2 b 15", "3 c 10", "1 e 5"])
    }

    @Test func narrowSiblingsBecomeOneBox() {
        let cut = layout(Self.small, minimumShare: 0.25)
        #expect(
            texts(cut) == [
                "0 all 50", "1 a 45", "2 b 15", "3 (1 narrow frame) 10", "2 d 30", "1 (1 narrow frame) 5",
            ])
        #expect(cut.cutFrames == 2)
        #expect(cut.cutValue == 15)
        expectSound(cut, total: 50)
    }

    @Test(arguments: [0, 0.001, 0.02, 0.5, 1, 2, -1], [FlameGraph.Order.name, .value])
    func everySampleIsInExactlyOneBox(share: Double, order: FlameGraph.Order) {
        let server = ExampleProfiles.server()
        for value in 0...1 {
            expectSound(
                layout(server, value: value, order: order, minimumShare: share), total: server.totals[value])
        }
        let large = ExampleProfiles.large(frames: 2000)
        expectSound(layout(large, order: order, minimumShare: share), total: large.totals[0])
    }

    @Test func kindsAreNotMergedButPlacesAre() throws {
        var profile = Profile()
        profile.add([Frame(.user, "f", module: "m", file: "f.c", line: 1)], values: [1])
        profile.add([Frame(.user, "f", module: "m", file: "f.c", line: 2)], values: [2])
        profile.add([Frame(.inlined, "f", module: "m", file: "g.c", line: 2)], values: [4])
        let tree = FlameGraph(profile).tree
        let result = layout(profile)
        #expect(result.boxes.map(\.total) == [7, 3, 4])
        #expect(tree.details[result.boxes[1].detail] == .init(module: "m", file: "f.c", line: nil))
        #expect(tree.details[result.boxes[2].detail] == .init(module: "m", file: "g.c", line: 2))
    }

    @Test func stacksThatDifferInProcessOnlyStandApart() {
        var profile = Profile()
        profile.add([Frame(.user, "f")], values: [1], labels: [.init("process", "p")])
        profile.add([Frame(.user, "f")], values: [2], labels: [.init("process", "q")])
        profile.add([Frame(.user, "f")], values: [4])
        #expect(texts(layout(profile)) == ["0 all 7", "1 f 4", "1 p 1", "2 f 1", "1 q 2", "2 f 2"])
    }

    @Test func namesAreVisible() {
        var profile = Profile()
        profile.add([Frame(.user, "a\u{202e}b\n\\")], values: [1])
        profile.add([Frame(.user, String(repeating: "n", count: 5000))], values: [1])
        let result = layout(profile)
        #expect(result.labels[result.boxes[1].label].text == "a\\u202eb\\n\\\\")
        #expect(result.labels[result.boxes[2].label].text.unicodeScalars.count == 4097)
    }
}

@Suite struct FlameComparisonTests {
    private static func profile(_ text: String) -> Profile {
        var reader = FoldedReader()
        reader.read(text)
        reader.finish()
        return reader.profile
    }

    private static let before = profile("a 10\nb 20\nc;d 10\n")
    private static let after = profile("a 40\nb 20\ne 20\n")

    private func compare(
        _ change: (inout FlameGraph.Comparison) -> Void = { _ in }
    ) -> (graph: FlameGraph, layout: FlameLayout) {
        var comparison = FlameGraph.Comparison()
        change(&comparison)
        let graph = FlameGraph(before: Self.before, after: Self.after, comparison)
        return (graph, FlameLayout(graph.tree, order: .name, minimumShare: 0))
    }

    @Test func widthsAreThoseAfter() {
        let (graph, layout) = compare()
        #expect(texts(layout) == ["0 all 80", "1 a 40", "1 b 20", "1 e 20"])
        #expect(layout.boxes.map(\.other) == [40, 10, 20, 0])
        let steps = layout.boxes.map {
            layout.differenceStep($0, isAfter: true, largest: layout.largestDifference)
        }
        #expect(steps[1] == 10 && steps[2] == 0 && steps[3] == 8)
        #expect(layout.missingFrames == 2)
        #expect(layout.missingValue == 10)
        #expect(graph.notes(layout).last?.contains("2 frames only in before (10 samples)") == true)
        expectSound(layout, total: 80)
    }

    @Test func widthsCanBeThoseBefore() {
        let (_, layout) = compare { $0.width = .before }
        #expect(texts(layout) == ["0 all 40", "1 a 10", "1 b 20", "1 c 10", "2 d 10"])
        let steps = layout.boxes.map {
            layout.differenceStep($0, isAfter: false, largest: layout.largestDifference)
        }
        #expect(steps[1] == 10 && steps[2] == 0 && steps[3] < 0 && steps[4] == steps[3])
    }

    @Test func totalsCanBeMadeEqual() {
        let (_, layout) = compare { $0.normalize = true }
        #expect(layout.boxes.map(\.other) == [80, 20, 40, 0])
        let (_, before) = compare {
            $0.normalize = true
            $0.width = .before
        }
        #expect(before.total == 80)
        expectSound(before, total: 80)
    }

    @Test func theWholeMayChangeByMoreThanAnyPart() {
        func profile(_ value: UInt64) -> Profile {
            var profile = Profile()
            for name in ["a", "b", "c"] { profile.add([Profile.Frame(.user, name)], values: [value]) }
            return profile
        }
        let graph = FlameGraph(before: profile(1), after: profile(10))
        let layout = FlameLayout(graph.tree, order: .name, minimumShare: 0)
        let steps = layout.boxes.map {
            layout.differenceStep($0, isAfter: true, largest: layout.largestDifference)
        }
        #expect(steps.first == FlamePalette.differenceSteps)
        #expect(steps.allSatisfy { abs($0) <= FlamePalette.differenceSteps })
    }

    @Test func equalProfilesAreWhite() {
        let graph = FlameGraph(before: Self.before, after: Self.before)
        let layout = FlameLayout(graph.tree, order: .name, minimumShare: 0)
        #expect(layout.boxes.allSatisfy { layout.differenceStep($0, isAfter: true, largest: 0) == 0 })
        #expect(layout.largestDifference == 0)
    }
}

@Suite struct FlamePaletteTests {
    /// Red, green and blue.
    private func parts(_ colour: String) -> [Int] {
        (0..<3).map { Int(colour.dropFirst(1 + $0 * 2).prefix(2), radix: 16) ?? -1 }
    }

    @Test func functionsKeepTheirColour() {
        #expect(FlamePalette.shade("malloc") == FlamePalette.shade("malloc"))
        let shades = Set((0..<500).map { FlamePalette.shade("function \($0)") })
        #expect(shades.count == FlamePalette.shadeCount)
    }

    @Test func coloursAreWhatTheirNamesSay() {
        for dark in [false, true] {
            let cpu = FlamePalette(.cpu)
            for colour in cpu.shades(.user, dark: dark) + cpu.shades(.kernel, dark: dark) {
                #expect(colour.utf8.count == 7)
                #expect(parts(colour)[0] > parts(colour)[1] && parts(colour)[0] > parts(colour)[2])
            }
            for colour in cpu.shades(.jit, dark: dark) + FlamePalette(.memory).shades(.user, dark: dark) {
                #expect(parts(colour)[1] > parts(colour)[0] && parts(colour)[1] > parts(colour)[2])
            }
            for colour in FlamePalette(.offCPU).shades(.user, dark: dark) {
                #expect(parts(colour)[2] > parts(colour)[0] && parts(colour)[2] > parts(colour)[1])
            }
            let steps = FlamePalette.differences(dark: dark).map(parts)
            #expect(steps.count == 21)
            #expect(Set(steps[10]).count == 1)
            #expect(steps[0][2] > steps[0][0] && steps[20][0] > steps[20][2])
        }
    }
}
