// SPDX-License-Identifier: Apache-2.0
internal import Reporting
internal import Symbolization

/// Stacks as text and as JSON.
extension StackReport {
    func writeText(_ row: Row, to writer: ByteWriter) {
        if let waker = row.waker {
            writer.append("    waker:           ")
            writer.appendEscaped("\(waker.comm) \(waker.thread)")
            writer.append("\n")
            writeLines(waker.frames.reversed(), to: writer)
            writer.append("    --               --\n")
        }
        writeLines(row.frames, to: writer)
        for note in row.notes {
            writer.append("    ")
            writer.appendEscaped(note)
            writer.append("\n")
        }
        writer.append("    -                ")
        writer.appendEscaped(row.comm)
        writer.append(" (")
        writer.appendNumber(Int64(style.showsThread ? row.thread : row.process))
        writer.append(")")
        for label in row.labels.sorted(by: { $0.key < $1.key }) {
            writer.append(" ")
            writer.appendEscaped("\(label.key)=\(label.value)")
        }
        writer.append("\n        ")
        writer.appendNumber(row.values[style.value] / style.divisor)
        writer.append("\n\n")
    }

    /// One frame a line, with -d a delimiter where the kernel was entered.
    private func writeLines(_ frames: [Frame], to writer: ByteWriter) {
        for (index, frame) in frames.enumerated() {
            if options.delimited, index > 0, (frame.kind == .kernel) != (frames[index - 1].kind == .kernel) {
                writer.append("    --\n")
            }
            writer.append("    ")
            writeFrame(frame, to: writer)
            writer.append("\n")
        }
    }

    private func writeFrame(_ frame: Frame, to writer: ByteWriter) {
        if style.addresses, frame.kind != .marker {
            writer.append("0x")
            writer.appendNumber(frame.address, radix: 16, minimumDigits: 16)
            writer.append(" ")
        }
        let isCode = frame.kind != .marker
        writer.appendEscaped(
            frame.text(offset: style.offsets && isCode, module: style.offsets && isCode))
        if frame.isInlined { writer.append(" (inlined)") }
        guard let file = frame.file else { return }
        writer.append(" ")
        writer.appendEscaped(file.lastPathComponent)
        if let line = frame.line {
            writer.append(":")
            writer.appendNumber(Int64(line))
        }
    }

    func writeJSON(_ row: Row, to writer: ByteWriter) {
        writer.append("{\"type\":\"stack\"")
        if let time {
            writer.append(",\"time_ns\":")
            writer.appendNumber(time)
        }
        writer.append(",\"pid\":")
        writer.appendNumber(Int64(row.process))
        writer.append(",\"tid\":")
        writer.appendNumber(Int64(row.thread))
        writer.append(",\"start_ns\":")
        if row.started > 0 {
            writer.appendNumber(starts.unixNanoseconds(Self.time(ofStart: row.started)))
        } else {
            writer.append("null")
        }
        writer.append(",\"comm\":")
        writer.appendJSONString(row.comm)
        for (type, value) in zip(style.valueTypes, row.values) {
            writer.append(",")
            writer.appendJSONString(type.unit == "nanoseconds" ? type.name + "_ns" : type.name)
            writer.append(":")
            writer.appendNumber(value)
        }
        for label in row.labels.sorted(by: { $0.key < $1.key }) {
            writer.append(",")
            writer.appendJSONString(label.key)
            writer.append(":")
            writer.appendJSONString(label.value)
        }
        if let waker = row.waker {
            writer.append(",\"waker\":{\"pid\":")
            writer.appendNumber(Int64(waker.process))
            writer.append(",\"tid\":")
            writer.appendNumber(Int64(waker.thread))
            writer.append(",\"comm\":")
            writer.appendJSONString(waker.comm)
            writer.append(",")
            writeJSON(waker.frames, to: writer)
            writer.append("}")
        }
        if !row.notes.isEmpty {
            // Not frames: nothing is known of them but their names.
            writer.append(",\"proc_stack\":[")
            for (index, note) in row.notes.enumerated() {
                if index > 0 { writer.append(",") }
                writer.appendJSONString(note)
            }
            writer.append("]")
        }
        writer.append(",")
        writeJSON(row.frames, to: writer)
        if row.end.isKnown {
            writer.append(",\"user_stack_end\":")
            writer.appendJSONString(row.end.name)
            writer.append(",\"frame_pointers\":")
            writer.append(row.end.byFramePointer ? "true" : "false")
        }
        writer.append("}\n")
    }

    private func writeJSON(_ frames: [Frame], to writer: ByteWriter) {
        writer.append("\"frames\":[")
        for (index, frame) in frames.lazy.filter({ $0.kind != .marker }).enumerated() {
            if index > 0 { writer.append(",") }
            frame.writeJSON(to: writer)
        }
        writer.append("]")
    }
}
