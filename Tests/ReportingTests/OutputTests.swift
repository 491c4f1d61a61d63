// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Reporting

/// A pipe; what is still open of it is closed in the end. No child of another test may inherit it.
private final class TestPipe {
    private(set) var reader: Int32 = -1
    private(set) var writer: Int32 = -1

    init() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        reader = ends[0]
        writer = ends[1]
    }

    deinit {
        closeReader()
        closeWriter()
    }

    func closeReader() {
        if reader >= 0 { close(reader) }
        reader = -1
    }

    func closeWriter() {
        if writer >= 0 { close(writer) }
        writer = -1
    }

    /// Everything that is in the pipe now, without waiting for more.
    func contents() -> String {
        _ = fcntl(reader, F_SETFL, O_NONBLOCK)
        return readAll(reader)
    }

    /// Until no process has the reading end any more, not even a child just being born.
    func waitUntilNobodyReads() {
        var state = pollfd(fd: writer, events: 0, revents: 0)
        while poll(&state, 1, -1) < 0 {}
    }

    /// Writes until no more fits.
    func fill() {
        _ = fcntl(writer, F_SETFL, O_NONBLOCK)
        let block = [UInt8](repeating: 120, count: 4096)
        while write(writer, block, block.count) > 0 {}
        while write(writer, block, 1) > 0 {}
        _ = fcntl(writer, F_SETFL, 0)
    }
}

/// Reads to the end, or until there is nothing.
private func readAll(_ descriptor: Int32) -> String {
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 1000)
    while true {
        let count = read(descriptor, &block, block.count)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
        bytes += block.prefix(count)
    }
}

/// A file without a name.
private func temporaryFile() throws -> Int32 {
    var template = Array((NSTemporaryDirectory() + "/apus-output-XXXXXX").utf8CString)
    let descriptor = mkstemp(&template)
    try #require(descriptor >= 0)
    unlink(template)
    return descriptor
}

@Suite struct OutputTests {
    private func add(_ line: String, to output: Output) throws {
        try output.write { $0.append(line + "\n") }
    }

    @Test func linesLeaveWholeAndWhenTold() throws {
        let pipe = try TestPipe()
        let output = Output(descriptor: pipe.writer)
        try add("first", to: output)
        try add("second", to: output)
        #expect(pipe.contents() == "")
        try output.flush()
        #expect(pipe.contents() == "first\nsecond\n")
        try output.flush()
        #expect(pipe.contents() == "")
        try add("third", to: output)
        try output.flush()
        #expect(pipe.contents() == "third\n")
    }

    @Test func rowsOfATableComeOutInOrder() throws {
        let pipe = try TestPipe()
        let output = Output(descriptor: pipe.writer)
        let table = Table([Column<Int64>("N", width: 3, key: "n") { $0.integer($1) }], json: false)
        try output.write { table.writeHeading(to: $0) }
        for number in 1...3 as ClosedRange<Int64> { try output.row(table, number) }
        try output.flush()
        #expect(pipe.contents() == "N\n1\n2\n3\n")
    }

    /// Many times what a pipe holds, to a reader that is slower than the writer.
    @Test func nothingIsLostOrTwiceThroughAPipe() throws {
        final class Box: @unchecked Sendable { var text = "" }
        let pipe = try TestPipe()
        let received = Box()
        let ended = DispatchSemaphore(value: 0)
        let reader = pipe.reader
        Thread {
            received.text = readAll(reader)
            ended.signal()
        }.start()
        let output = Output(descriptor: pipe.writer)
        var sent = ""
        for number in 0..<40_000 {
            try add("line \(number)", to: output)
            sent += "line \(number)\n"
        }
        try output.flush()
        pipe.closeWriter()
        ended.wait()
        #expect(received.text == sent)
    }

    @Test func aReaderThatHasLeftIsTheEnd() throws {
        let pipe = try TestPipe()
        let output = Output(descriptor: pipe.writer)
        pipe.closeReader()
        pipe.waitUntilNobodyReads()
        try add("to nobody", to: output)
        #expect(throws: Output.WriteError.closed) { try output.flush() }
        // What could not be written is dropped, not tried again.
        try output.flush()
    }

    @Test func aReaderThatLeavesWhileMuchIsWrittenIsTheEnd() throws {
        let pipe = try TestPipe()
        let output = Output(descriptor: pipe.writer)
        try add("read", to: output)
        try output.flush()
        #expect(pipe.contents() == "read\n")
        pipe.closeReader()
        pipe.waitUntilNobodyReads()
        #expect(throws: Output.WriteError.closed) {
            for _ in 0..<100_000 { try add("not read", to: output) }
        }
    }

    @Test func aReaderThatTakesNothingIsGivenUpOnceToldToEnd() throws {
        let pipe = try TestPipe()
        let output = Output(descriptor: pipe.writer)
        pipe.fill()
        var asked = 0
        output.shouldEnd = {
            asked += 1
            return asked == 2
        }
        try add("does not fit", to: output)
        #expect(throws: Output.WriteError.closed) { try output.flush() }
        // Not told yet at the first time: then it goes on waiting.
        #expect(asked == 2)
    }

    @Test func beingToldToEndLosesNothingThatFits() throws {
        let pipe = try TestPipe()
        let output = Output(descriptor: pipe.writer)
        output.shouldEnd = { true }
        try add("last words", to: output)
        try output.flush()
        #expect(pipe.contents() == "last words\n")
    }

    @Test func aRegularFileGetsEverything() throws {
        let file = try temporaryFile()
        defer { close(file) }
        let output = Output(descriptor: file)
        var sent = ""
        for number in 0..<20_000 {
            try add("line \(number)", to: output)
            sent += "line \(number)\n"
        }
        // Rows do not wait in memory for ever.
        #expect(lseek(file, 0, SEEK_CUR) >= 1 << 16)
        try output.flush()
        lseek(file, 0, SEEK_SET)
        #expect(readAll(file) == sent)
    }

    @Test func aFullDeviceIsAFailure() throws {
        let full = open("/dev/full", O_WRONLY | O_CLOEXEC)
        try #require(full >= 0)
        defer { close(full) }
        let output = Output(descriptor: full)
        try add("text", to: output)
        #expect(throws: Output.WriteError.failed(ENOSPC)) { try output.flush() }
    }

    @Test func aClosedDescriptorIsAFailure() throws {
        // A number that no test will be given: above the limit.
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let output = Output(descriptor: Int32(clamping: limit.rlim_max))
        try add("text", to: output)
        #expect(throws: Output.WriteError.failed(EBADF)) { try output.flush() }
    }
}
