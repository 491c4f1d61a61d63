// SPDX-License-Identifier: Apache-2.0
internal import CSymbolization
internal import Glibc

/// Fetches debug files by build ID with `debuginfod-find`, elfutils' tool, which knows the servers and keeps what it
/// has fetched (debuginfod-find(1)).
package final class DebugFileServer {
    private let tool: String
    private let say: (String) -> Void
    /// Seconds that one file may take.
    private let patience: Double
    /// By build ID; nil for those that are not to be had.
    private var known: [String: OpenFile?] = [:]
    private var isClosed = false
    private var missing = 0
    private var lastWords = ""

    /// - Parameters:
    ///   - tool: Its name, or a path.
    ///   - patience: Seconds that one file may take. After one that takes longer no more are asked for.
    ///   - say: Tells the user a sentence.
    package init(
        tool: String = DebugFileServer.usualTool, patience: Double = 60, say: @escaping (String) -> Void
    ) {
        self.tool = tool
        self.patience = patience
        self.say = say
    }

    package static let usualTool = "debuginfod-find"

    /// Whether the tool can be found.
    package static var isInstalled: Bool {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        return path.split(separator: ":").contains { access("\($0)/\(usualTool)", X_OK) == 0 }
    }

    /// The debug file of an ELF file, which is known to belong to it; nil if it cannot be had.
    /// - Parameters:
    ///   - buildID: In hexadecimal.
    ///   - path: The ELF file's, for messages.
    ///   - reader: What looks into files.
    func find(buildID: String, of path: String, _ reader: any CodeReader = LocalReader()) -> OpenFile? {
        if let answer = known[buildID] { return answer }
        guard !isClosed else { return nil }
        let answer = fetch(buildID, path, reader)
        if answer == nil { missing += 1 }
        known.updateValue(answer, forKey: buildID)
        return answer
    }

    /// Says so if nothing came of asking.
    package func conclude() {
        guard !isClosed, missing > 0, missing == known.count else { return }
        let reason = lastWords.isEmpty ? "" : ": \(tool) says '\(lastWords)'"
        let files = missing == 1 ? "the debug file" : "none of the \(missing) debug files"
        say("\(files) that names are missing from could \(missing == 1 ? "not " : "")be had\(reason)")
    }

    private func fetch(_ buildID: String, _ path: String, _ reader: any CodeReader) -> OpenFile? {
        switch run([tool, "debuginfo", buildID], for: path) {
        case .done(let text):
            let line = text.split(separator: "\n").last.map(String.init) ?? ""
            // What a server sends need not be what was asked for.
            guard line.hasPrefix("/"), let file = OpenFile(path: line),
                let found = reader.facts(of: .file(file))?.buildID, hexadecimal(found) == buildID
            else {
                lastWords = "a file of another build"
                return nil
            }
            return file
        case .failed(let text):
            lastWords = text.split(separator: "\n").last.map { String($0.prefix(200)) } ?? ""
        case .late:
            close("\(tool) has not answered for \(Int(patience)) seconds")
        case .ended(let signal):
            close("\(tool) was ended by signal \(signal)")
        }
        return nil
    }

    private func close(_ reason: String) {
        isClosed = true
        say("\(reason): names that are still missing stay so")
    }

    private enum Result {
        case done(String)
        case failed(String)
        case late
        case ended(signal: Int32)
    }

    private func run(_ words: [String], for path: String) -> Result {
        var child: pid_t = 0
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        let output = apus_tool_start(&arguments, &child)
        guard output >= 0 else { return .failed("cannot start a process") }
        defer { Glibc.close(output) }
        let start = monotonicNanoseconds()
        var text: [UInt8] = []
        var status: Int32 = 0
        var isOpen = true
        var isSaid = false
        while true {
            let age = Double(monotonicNanoseconds() - start) / 1e9
            if age > patience { break }
            if age > 2, !isSaid {
                isSaid = true
                say("waiting for the debug file of \(path)")
            }
            if isOpen { isOpen = read(output, &text) } else { usleep(1000) }
            // With a pipe still open there may be more to read; but another process may hold it.
            let ended = waitpid(child, &status, WNOHANG)
            guard ended != 0 else { continue }
            while isOpen, read(output, &text, wait: 0) {}
            return ended == child ? result(status, text) : .failed("it was lost")
        }
        kill(child, SIGKILL)
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        return .late
    }

    private func result(_ status: Int32, _ text: [UInt8]) -> Result {
        // As wait(2) encodes it.
        if status & 0x7f != 0 { return .ended(signal: status & 0x7f) }
        let text = String(decoding: text, as: UTF8.self)
        return status >> 8 == 0 ? .done(text) : .failed(text)
    }

    /// Takes in what there is.
    /// - Parameter wait: For so many milliseconds at most.
    /// - Returns: Whether there was something, or may be more.
    private func read(_ output: Int32, _ text: inout [UInt8], wait: Int32 = 100) -> Bool {
        var ready = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
        guard poll(&ready, 1, wait) > 0 else { return wait > 0 }
        let bytes = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
            count = max(Glibc.read(output, buffer.baseAddress, buffer.count), 0)
        }
        if text.count < 1 << 16 { text += bytes }
        return !bytes.isEmpty
    }
}
