// SPDX-License-Identifier: Apache-2.0

/// What the script is given, as JSON. It reads nothing else.
struct FlameData {
    let graph: FlameGraph
    let layout: FlameLayout
    let writer: ByteWriter

    func write() {
        writer.append("{\"title\":")
        writer.appendScriptString(escaped(graph.options.title))
        writer.append(",\"subtitle\":")
        writer.appendScriptString(escaped(graph.options.subtitle))
        writer.append(",\"name\":")
        writer.appendScriptString(escaped(graph.valueType.name))
        writer.append(",\"unit\":")
        writer.appendScriptString(escaped(graph.valueType.unit))
        writer.append(",\"icicle\":")
        writer.append(graph.options.icicle ? "true" : "false")
        list("notes", graph.notes(layout)) { writer.appendScriptString($0) }
        writeColours()
        writeComparison()
        list("labels", layout.labels) { writer.appendScriptString($0.text) }
        list("looks", layout.labels) {
            writer.appendNumber(
                UInt64($0.kind.rawValue * FlamePalette.shadeCount + FlamePalette.shade($0.text)))
        }
        writeDetails()
        writeBoxes()
        writer.append("}")
    }

    private func list<Element>(_ key: StaticString, _ elements: [Element], _ write: (Element) -> Void) {
        writer.append(",\"")
        writer.append(key)
        writer.append("\":[")
        for (index, element) in elements.enumerated() {
            if index > 0 { writer.append(UInt8(ascii: ",")) }
            write(element)
        }
        writer.append("]")
    }

    private func writeColours() {
        let kinds = Profile.Frame.Kind.allCases
        list("light", kinds.flatMap { graph.palette.shades($0, dark: false) }) {
            writer.appendScriptString($0)
        }
        list("dark", kinds.flatMap { graph.palette.shades($0, dark: true) }) { writer.appendScriptString($0) }
        list("kinds", graph.palette.names) { writer.appendScriptString($0) }
    }

    private func writeComparison() {
        guard let comparison = graph.comparison else { return }
        list("lightSteps", FlamePalette.differences(dark: false)) { writer.appendScriptString($0) }
        list("darkSteps", FlamePalette.differences(dark: true)) { writer.appendScriptString($0) }
        let scaled = comparison.normalize ? " (scaled)" : ""
        let names = [escaped(comparison.beforeName) + scaled, escaped(comparison.afterName)]
        list("compared", names) { writer.appendScriptString($0) }
        writer.append(",\"widthIsAfter\":")
        writer.append(comparison.width == .after ? "true" : "false")
    }

    /// Strings once, and three numbers per detail: module, file (-1 for none), line (0 for none).
    private func writeDetails() {
        var strings: [String] = []
        var numbers: [String: Int] = [:]
        func number(_ text: String?) -> Int {
            guard let text else { return -1 }
            if let number = numbers[text] { return number }
            numbers[text] = strings.count
            strings.append(text)
            return strings.count - 1
        }
        let details = graph.tree.details.flatMap { [number($0.module), number($0.file), $0.line ?? 0] }
        list("strings", strings) { writer.appendScriptString(escaped($0)) }
        list("details", details) { writer.appendNumber(Int64($0)) }
    }

    /// Per box: label, how many levels down to its parent from the box before it, what ends in it, detail; and
    /// in a comparison the other's total and the colour's step.
    private func writeBoxes() {
        let isAfter = graph.comparison?.width == .after
        let largest = graph.comparison == nil ? 0 : layout.largestDifference
        var before = -1
        list("boxes", layout.boxes) { box in
            writer.appendNumber(Int64(box.label))
            writer.append(UInt8(ascii: ","))
            writer.appendNumber(Int64(before + 1 - box.depth))
            before = box.depth
            writer.append(UInt8(ascii: ","))
            writer.appendNumber(box.own)
            writer.append(UInt8(ascii: ","))
            writer.appendNumber(Int64(box.detail))
            guard graph.comparison != nil else { return }
            writer.append(UInt8(ascii: ","))
            writer.appendNumber(box.other)
            writer.append(UInt8(ascii: ","))
            let step = layout.differenceStep(box, isAfter: isAfter, largest: largest)
            writer.appendNumber(Int64(step + FlamePalette.differenceSteps))
        }
    }
}

extension FlameGraph {
    /// What the picture does not show.
    func notes(_ layout: FlameLayout) -> [String] {
        var notes: [String] = []
        if layout.cutFrames > 0 {
            notes.append(
                "\(groupedText(UInt64(layout.cutFrames))) narrow frames merged into grey boxes"
                    + " (\(shareText(layout.cutValue, of: layout.total)) of the total)")
        }
        if let comparison {
            let (before, after) = (escaped(comparison.beforeName), escaped(comparison.afterName))
            notes.append(
                "\(before) \(valueType.text(comparedTotals.before)),"
                    + " \(after) \(valueType.text(comparedTotals.after))")
            if comparison.normalize { notes.append("\(before) scaled to the total of \(after)") }
            if layout.missingFrames > 0 {
                let name = comparison.width == .after ? before : after
                notes.append(
                    "\(groupedText(UInt64(layout.missingFrames))) frames only in \(name)"
                        + " (\(valueType.text(layout.missingValue))) have no width")
            }
        }
        return notes
    }
}
