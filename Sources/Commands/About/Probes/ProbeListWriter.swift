// SPDX-License-Identifier: Apache-2.0
internal import Reporting

/// Writes places that can be traced: as lines, or as JSON.
struct ProbeListWriter {
    let json: Bool
    let verbose: Bool

    func write(_ probe: ListedProbe, to writer: ByteWriter) {
        if json { return writeJSON(probe, to: writer) }
        _ = writer.appendEscaped(probe.title)
        writer.append(UInt8(ascii: "\n"))
        guard verbose else { return }
        if let offset = probe.offset {
            writer.append("    offset 0x")
            writer.appendNumber(offset, radix: 16)
            writer.append(" in the file\n")
        }
        for detail in probe.details { write(detail, to: writer) }
        if let result = probe.result {
            writer.append("    returns ")
            _ = writer.appendEscaped(result)
            writer.append(UInt8(ascii: "\n"))
        }
    }

    private func write(_ detail: ListedProbe.Detail, to writer: ByteWriter) {
        writer.append("    ")
        var width = writer.appendEscaped(detail.type)
        if !detail.name.isEmpty {
            if !detail.type.hasSuffix("*") {
                writer.append(UInt8(ascii: " "))
                width += 1
            }
            width += writer.appendEscaped(detail.name)
        }
        if let operand = detail.operand {
            writer.append(" in ")
            _ = writer.appendEscaped(operand)
        }
        if let offset = detail.offset, let size = detail.size {
            writer.append(repeating: 32, count: max(1, 40 - width))
            writer.append("offset \(offset), \(size) \(size == 1 ? "byte" : "bytes")")
            if detail.isSigned { writer.append(", signed") }
        }
        writer.append(UInt8(ascii: "\n"))
        guard !detail.meanings.isEmpty else { return }
        writer.append(detail.areFlags ? "        flags:" : "        values:")
        for meaning in detail.meanings {
            writer.append(UInt8(ascii: " "))
            _ = writer.appendEscaped(meaning.name)
            writer.append(UInt8(ascii: "="))
            _ = writer.appendEscaped(meaning.value)
        }
        writer.append(UInt8(ascii: "\n"))
    }

    // MARK: JSON

    private func writeJSON(_ probe: ListedProbe, to writer: ByteWriter) {
        writer.append("{\"probe\":")
        _ = writer.appendJSONString(probe.title)
        field("kind", probe.kind.rawValue, to: writer)
        if let scope = probe.scope {
            field(probe.kind == .tracepoint ? "category" : "file", scope, to: writer)
        }
        field("name", probe.name, to: writer)
        if let offset = probe.offset { number("offset", Int(clamping: offset), to: writer) }
        if verbose {
            writer.append(",\"arguments\":[")
            for (index, detail) in probe.details.enumerated() {
                if index > 0 { writer.append(UInt8(ascii: ",")) }
                writeJSON(detail, to: writer)
            }
            writer.append(UInt8(ascii: "]"))
            if let result = probe.result { field("result", result, to: writer) }
        }
        writer.append("}\n")
    }

    private func writeJSON(_ detail: ListedProbe.Detail, to writer: ByteWriter) {
        writer.append("{\"name\":")
        _ = writer.appendJSONString(detail.name)
        field("type", detail.type, to: writer)
        if let offset = detail.offset { number("offset", offset, to: writer) }
        if let size = detail.size {
            number("size", size, to: writer)
            writer.append(detail.isSigned ? ",\"signed\":true" : ",\"signed\":false")
        }
        if let operand = detail.operand { field("operand", operand, to: writer) }
        if !detail.meanings.isEmpty {
            writer.append(detail.areFlags ? ",\"flags\":{" : ",\"values\":{")
            for (index, meaning) in detail.meanings.enumerated() {
                if index > 0 { writer.append(UInt8(ascii: ",")) }
                _ = writer.appendJSONString(meaning.value)
                writer.append(UInt8(ascii: ":"))
                _ = writer.appendJSONString(meaning.name)
            }
            writer.append("}")
        }
        writer.append("}")
    }

    private func field(_ key: StaticString, _ text: String, to writer: ByteWriter) {
        writer.append(",\"")
        writer.append(key)
        writer.append("\":")
        _ = writer.appendJSONString(text)
    }

    private func number(_ key: StaticString, _ value: Int, to writer: ByteWriter) {
        writer.append(",\"")
        writer.append(key)
        writer.append("\":")
        writer.appendNumber(Int64(value))
    }
}
