// SPDX-License-Identifier: Apache-2.0

extension FlameGraph {
    /// Writes a picture. Opened directly in a browser it becomes the page that `writeHTML` makes.
    package func writeSVG(to writer: ByteWriter) {
        let share = options.minimumShare ?? 0.1 / FlamePicture.innerWidth
        let layout = FlameLayout(tree, order: options.order, minimumShare: share)
        FlamePicture(graph: self, layout: layout, writer: writer).write()
    }
}

/// The part of the .svg file that needs no script.
private struct FlamePicture {
    let graph: FlameGraph
    let layout: FlameLayout
    let writer: ByteWriter
    /// By kind and shade.
    private let colours: [[String]]
    private let steps = FlamePalette.differences(dark: false)
    private let largestDifference: UInt64

    init(graph: FlameGraph, layout: FlameLayout, writer: ByteWriter) {
        self.graph = graph
        self.layout = layout
        self.writer = writer
        colours = Profile.Frame.Kind.allCases.map { graph.palette.shades($0, dark: false) }
        largestDifference = graph.comparison == nil ? 0 : layout.largestDifference
    }

    static let width = 1200.0
    static let margin = 12.0
    static let innerWidth = width - 2 * margin
    private static let rowHeight = 17
    private static let headHeight = 62
    /// Of a character of the 12 pixel monospaced font.
    private static let characterWidth = 7.25

    private var graphBottom: Int { Self.headHeight + layout.depth * Self.rowHeight }
    private var height: Int { graphBottom + 34 + noteLines.count * 16 }

    func write() {
        writer.append(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" ")
        writer.append("width=\"\(Int(Self.width))\" height=\"\(height)\" ")
        writer.append(
            "viewBox=\"0 0 \(Int(Self.width)) \(height)\" role=\"img\" aria-labelledby=\"title\">\n")
        writer.append("<title id=\"title\">")
        writer.appendMarkup(escaped(graph.options.title))
        writer.append("</title>\n<style>")
        writer.append(FlameStyle.picture)
        writer.append("</style>\n<style id=\"apus-style\" media=\"not all\"><![CDATA[")
        writer.append(FlameStyle.page)
        writer.append("]]></style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n")
        writeHead()
        for box in layout.boxes { write(box) }
        writeFoot()
        writer.append("<script type=\"application/json\" id=\"apus-data\">")
        FlameData(graph: graph, layout: layout, writer: writer).write()
        writer.append("</script>\n<script><![CDATA[")
        FlameScript.write(to: writer)
        writer.append("]]></script>\n</svg>\n")
    }

    private func writeHead() {
        text(
            "title", x: Self.margin, y: 28,
            Self.cut(escaped(graph.options.title), toWidth: Self.innerWidth * 0.75))
        let total = graph.valueType.text(layout.total)
        let subtitle = escaped(graph.options.subtitle)
        let line = subtitle.isEmpty ? total : "\(subtitle) · \(total)"
        text("note", x: Self.margin, y: 48, Self.cut(line, toWidth: Self.innerWidth))
    }

    /// The boxes of the legend, and below them what the picture does not show.
    private func writeFoot() {
        var x = Self.margin
        let y = graphBottom + 14
        for (name, colour) in legend {
            writer.append("<rect x=\"\(decimalText(x, decimals: 1))\" y=\"\(y)\" width=\"12\" height=\"12\" ")
            writer.append("rx=\"2\" fill=\"\(colour)\"/>\n")
            text("note", x: x + 17, y: y + 10, name)
            x += 34 + Double(name.utf8.count) * 6.6
        }
        for (index, line) in noteLines.enumerated() {
            text("note", x: Self.margin, y: y + 30 + index * 16, line)
        }
    }

    private var noteLines: [String] { graph.notes(layout) }

    private var legend: [(name: String, colour: String)] {
        if graph.comparison != nil {
            return [
                ("shrank", steps[0]), ("same", steps[FlamePalette.differenceSteps]),
                ("grew", steps[steps.count - 1]),
            ]
        }
        let used = Set(layout.labels.map(\.kind))
        return Profile.Frame.Kind.allCases.filter(used.contains).map {
            (graph.palette.names[$0.rawValue], colours[$0.rawValue][15])
        }
    }

    private func text(_ style: StaticString, x: Double, y: Int, _ content: String) {
        writer.append("<text class=\"")
        writer.append(style)
        writer.append("\" x=\"\(decimalText(x, decimals: 1))\" y=\"\(y)\">")
        writer.appendMarkup(content)
        writer.append("</text>\n")
    }

    private func write(_ box: FlameLayout.Box) {
        let scale = layout.total > 0 ? Self.innerWidth / Double(layout.total) : 0
        // A profile without samples still shows its root.
        let width = layout.total > 0 ? Double(box.total) * scale : Self.innerWidth
        let x = Self.margin + Double(box.start) * scale
        let row = graph.options.icicle ? box.depth : layout.depth - 1 - box.depth
        let y = Self.headHeight + row * Self.rowHeight
        let label = layout.labels[box.label]
        writer.append("<g><title>")
        writer.appendMarkup(label.text)
        writer.append(" (")
        writer.appendMarkup(graph.valueType.text(box.total))
        writer.append(", \(shareText(box.total, of: layout.total)))</title><rect ")
        writer.append("x=\"\(decimalText(x, decimals: 2))\" y=\"\(y)\" ")
        // The gap that separates neighbours must not swallow narrow boxes.
        writer.append("width=\"\(decimalText(width > 3 ? width - 0.6 : width, decimals: 2))\" ")
        writer.append("height=\"\(Self.rowHeight - 1)\" rx=\"1.5\" fill=\"\(colour(box, label))\"/>")
        let shown = Self.cut(label.text, toWidth: width - 6)
        if !shown.isEmpty {
            writer.append("<text x=\"\(decimalText(x + 3, decimals: 2))\" y=\"\(y + 12)\">")
            writer.appendMarkup(shown)
            writer.append("</text>")
        }
        writer.append("</g>\n")
    }

    private func colour(_ box: FlameLayout.Box, _ label: FrameTree.Label) -> String {
        guard graph.comparison != nil else {
            return colours[label.kind.rawValue][FlamePalette.shade(label.text)]
        }
        let step = layout.differenceStep(
            box, isAfter: graph.comparison?.width == .after, largest: largestDifference)
        return steps[step + FlamePalette.differenceSteps]
    }

    /// As much of the text as fits, with an ellipsis if it is not all.
    private static func cut(_ text: String, toWidth width: Double) -> String {
        let room = Int(max(0, width / characterWidth))
        guard room >= 3 else { return "" }
        var used = 0
        var shown = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            // From Hangul on, most are as wide as two.
            used += scalar.value < 0x1100 ? 1 : 2
            if used > room {
                shown.removeLast()
                return String(shown) + "…"
            }
            shown.append(scalar)
        }
        return String(shown)
    }
}
