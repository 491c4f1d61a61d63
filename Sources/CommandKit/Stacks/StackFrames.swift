// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import Reporting
internal import Symbolization

/// Writes a file that the user asked for by name.
func writeFile(_ path: String, _ body: (ByteWriter) throws -> Void) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
        throw CommandFailure("cannot write '\(escaped(path))': \(errnoName(errno) ?? "error \(errno)")")
    }
    defer { close(descriptor) }
    let output = Output(descriptor: descriptor)
    try output.write(body)
    try output.flush()
}

/// Stacks of pictures, root first.
extension [Profile.Frame] {
    /// Kernel functions in the colour of waiting; what is above them is the same box whether it ran or waited.
    func offCPU(_ wait: String) -> [Profile.Frame] {
        map { frame in
            var frame = frame
            if frame.kind == .kernel { frame.kind = .offCPU }
            return frame
        } + [.offCPU(wait)]
    }

    /// With the stack of who ended the wait, leaf first, upside down above it, as in BCC's offwaketime.
    func woken(by comm: String, on stack: [Profile.Frame]) -> [Profile.Frame] {
        self + [Profile.Frame(.marker, "--")] + stack + [Profile.Frame(.marker, comm)]
    }
}

extension Frame {
    var forProfile: Profile.Frame {
        let kind: Profile.Frame.Kind =
            isInlined ? .inlined : self.kind == .kernel ? .kernel : self.kind == .jit ? .jit : .user
        return Profile.Frame(
            kind, function ?? "", module: module, buildID: buildID, moduleOffset: moduleOffset,
            address: address,
            file: file, line: line)
    }

    func writeJSON(to writer: ByteWriter) {
        writer.append("{\"kind\":")
        writer.appendJSONString(kind == .kernel ? "kernel" : kind == .jit ? "jit" : "user")
        writer.append(",\"address\":")
        writer.appendNumber(address)
        let texts: [(StaticString, String?)] = [
            ("function", function), ("module", module), ("build_id", buildID), ("file", file),
        ]
        for (key, text) in texts {
            writer.append(",\"")
            writer.append(key)
            writer.append("\":")
            if let text { writer.appendJSONString(text) } else { writer.append("null") }
        }
        writer.append(",\"offset\":")
        writer.appendNumber(functionOffset)
        writer.append(",\"module_offset\":")
        writer.appendNumber(moduleOffset)
        writer.append(",\"line\":")
        if let line { writer.appendNumber(Int64(line)) } else { writer.append("null") }
        writer.append(",\"inlined\":")
        writer.append(isInlined ? "true" : "false")
        writer.append("}")
    }
}

extension ByteWriter {
    /// A frame on a line of its own: what is known, files and modules without their folders.
    func appendFrame(_ text: String, isInlined: Bool, file: String?, line: Int?, module: String?) {
        appendEscaped(text)
        if isInlined { append(" (inlined)") }
        if let file {
            append(" ")
            appendEscaped(file.lastPathComponent)
            if let line { append(":\(line)") }
        }
        guard let module else { return }
        let name = module.lastPathComponent
        append(" ")
        appendEscaped(name.hasPrefix("[") ? name : "[\(name)]")
    }
}
