// SPDX-License-Identifier: Apache-2.0

/// Writes `comm;root;…;leaf count` lines: what FlameGraph.pl, speedscope and others read.
///
/// Equal stacks are one line, and lines are sorted by name: two runs can be compared with `diff`.
package struct FoldedStacks: Sendable {
    /// Which of the values is the count.
    package var value = 0
    /// The count is the value divided by this and rounded: BCC's off-CPU tools have microseconds here.
    package var divisor: UInt64 = 1
    /// Whether kernel frames get `_[k]` behind their name (BCC's -a), inlined ones `_[i]`, compiled at run time `_[j]`.
    package var annotate = false
    /// A frame between the user's and the kernel's: `-` in BCC's folded output, `--` in its other.
    package var delimiter: String?
    /// Labels that go before the root.
    package var groups = ["process"]

    package init() {}

    package func write(_ profile: Profile, to writer: ByteWriter) {
        write(profile) { append in append(writer) }
    }

    /// Hands over one line after the other, for `Output.write`.
    package func write(
        _ profile: Profile, _ line: (_ append: (ByteWriter) -> Void) throws -> Void
    ) rethrows {
        var tree = FrameTree()
        tree.add(
            profile, value: value,
            options: .init(groups: groups, delimiter: delimiter, text: { foldedText($0, annotate: annotate) })
        )
        var path: [String] = []
        for (node, depth) in tree.preorder(.name) {
            path.removeSubrange(depth...)
            path.append(tree.labels[Int(tree.nodes.seconds[node])].text)
            let count = rounded(tree.own[0][node])
            guard count > 0 else { continue }
            try line { writer in
                for frame in path.dropLast() {
                    writer.append(frame)
                    writer.append(UInt8(ascii: ";"))
                }
                writer.append(unmistakableLeaf(path[depth]))
                writer.append(UInt8(ascii: " "))
                writer.appendNumber(count)
                writer.append(UInt8(ascii: "\n"))
            }
        }
    }

    private func rounded(_ value: UInt64) -> UInt64 {
        let divisor = max(1, divisor)
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder >= divisor - remainder ? quotient + 1 : quotient
    }
}

/// The frame's text without what means something else in a folded line.
private func foldedText(_ frame: Profile.Frame, annotate: Bool) -> String {
    var text = frame.text
    if !text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ";") }) {
        text = String(String.UnicodeScalarView(text.unicodeScalars.map(foldedScalar)))
    }
    guard annotate else { return text }
    switch frame.kind {
    case .kernel: return text + "_[k]"
    case .offCPU: return frame.isOfKernel ? text + "_[k]" : text
    case .inlined: return text + "_[i]"
    case .jit: return text + "_[j]"
    case .user, .marker: return text
    }
}

private func foldedScalar(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
    switch scalar {
    case ";": ":"
    case "\n", "\r", "\t", "\u{2028}", "\u{2029}": " "
    case "\\": scalar
    // The lines may be looked at on a terminal.
    case _ where escaped(String(scalar)).hasPrefix("\\"): "\u{fffd}"
    default: scalar
    }
}

/// `name 12` in front of a count would be read as a name with two counts, as differential input has them.
private func unmistakableLeaf(_ text: String) -> String {
    guard let space = text.utf8.lastIndex(of: 0x20) else { return text }
    let last = text[text.utf8.index(after: space)...]
    guard last.utf8.first.map({ $0 >= 0x30 && $0 <= 0x39 }) == true,
        last.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 || $0 == UInt8(ascii: ".") })
    else { return text }
    return text[..<space] + "_" + last
}
