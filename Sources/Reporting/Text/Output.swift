// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Standard output: rows are collected and leave in whole lines when the loop says so, or when there are many.
package final class Output {
    package enum WriteError: Error, Equatable {
        /// The reader has gone away (`| head`): no failure, just the end.
        case closed
        case failed(Int32)
    }

    private let descriptor: Int32
    /// A pipe, socket or terminal, whose reader may be slow: writing to it must not keep us from hearing signals.
    private let mayBlock: Bool
    private static let flushBytes = 1 << 16
    private let writer = ByteWriter(capacity: flushBytes * 2)
    /// What a pipe takes without blocking once it is writable (POSIX: PIPE_BUF).
    private static let pipeBytes = 4096
    /// How long a reader that takes nothing is waited for once we have been told to end.
    private static let patienceMilliseconds: Int32 = 1000

    /// Whether nothing can be written any more, and what is still to come is left out.
    private var isDiscarding = false

    /// Asked while output blocks: whether the program has been told to end.
    package var shouldEnd: () -> Bool = { false }

    package init(descriptor: Int32 = 1) {
        self.descriptor = descriptor
        // A write that fails is said in a sentence, and what was found so far is not lost.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        var status = stat()
        let known = fstat(descriptor, &status) == 0
        mayBlock = !known || status.st_mode & S_IFMT != S_IFREG
    }

    /// Appends text; flushes if much has been collected.
    package func write(_ append: (ByteWriter) throws -> Void) throws {
        try append(writer)
        if writer.count >= Self.flushBytes { try flush() }
    }

    /// Appends lines, whatever their length.
    package func collect(_ lines: [String]) {
        for line in lines {
            writer.append(line)
            writer.append("\n")
        }
    }

    package func row<Row>(_ table: Table<Row>, _ row: borrowing Row) throws {
        table.write(row, to: writer)
        if writer.count >= Self.flushBytes { try flush() }
    }

    /// Leaves out what has been collected and what is still to come, without an error.
    package func discardRest() { isDiscarding = true }

    /// Writes everything that has been collected.
    ///
    /// - Throws: `WriteError`, once: after it, what comes is left out, so that a command can end as it always does.
    package func flush() throws(WriteError) {
        // Also after a failure: what could not be written once will not be written by another try.
        defer { writer.removeAll() }
        guard !isDiscarding else { return }
        do throws(WriteError) {
            try writeCollected()
        } catch {
            isDiscarding = true
            throw error
        }
    }

    private func writeCollected() throws(WriteError) {
        var done = 0
        while done < writer.count {
            if mayBlock { try waitUntilWritable() }
            let length = mayBlock ? min(Self.pipeBytes, writer.count - done) : writer.count - done
            let written = Glibc.write(descriptor, writer.bytes.baseAddress.map { $0 + done }, length)
            if written >= 0 {
                done += written
            } else if errno == EPIPE {
                throw .closed
            } else if errno != EINTR && errno != EAGAIN {
                throw .failed(errno)
            }
        }
    }

    private func waitUntilWritable() throws(WriteError) {
        var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        while Glibc.poll(&poll, 1, Self.patienceMilliseconds) == 0 {
            if shouldEnd() { throw .closed }
        }
        if poll.revents & Int16(POLLERR) != 0 { throw .closed }
    }
}

/// Writes one line to standard error. Messages are rare: each leaves at once.
package func writeError(_ message: String) {
    var line = message + "\n"
    line.withUTF8 { bytes in
        var rest = UnsafeRawBufferPointer(bytes)
        while !rest.isEmpty {
            let written = Glibc.write(2, rest.baseAddress, rest.count)
            if written < 0 && errno != EINTR { return }
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(max(0, written)))
        }
    }
}
