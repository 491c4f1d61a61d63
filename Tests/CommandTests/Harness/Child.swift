// SPDX-License-Identifier: Apache-2.0
import Foundation

/// How a process ended.
enum End: Equatable {
    case exited(Int32)
    case killed(Int32)
}

/// A process of ours. It is killed with this object if it still runs.
final class Child {
    let pid: pid_t
    private let words: [String]
    private var known: End?

    /// What becomes the child's standard input, output and error.
    struct Streams {
        var input: Int32?
        var output: Int32?
        var errors: Int32?
    }

    /// What runs the tests may have left descriptors open; with them, programs would be given other numbers.
    private static let keepDescriptors: Void = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        for descriptor in names.compactMap({ Int32($0) }) where descriptor > 2 { closeOnExec(descriptor) }
    }()

    /// Starts a program with all signals at their defaults and none blocked.
    ///
    /// Tests run on threads of Dispatch, which block some, and children inherit that.
    init(_ words: [String], _ streams: Streams = Streams()) throws {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        let wanted = [(streams.input, O_RDONLY), (streams.output, O_WRONLY), (streams.errors, O_WRONLY)]
        for (number, (descriptor, mode)) in wanted.enumerated() {
            if let descriptor {
                posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
            } else {
                posix_spawn_file_actions_addopen(&actions, Int32(number), "/dev/null", mode, 0)
            }
        }
        Self.keepDescriptors
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var started: pid_t = 0
        let code = posix_spawnp(&started, words[0], &actions, &attributes, &arguments, environ)
        guard code == 0 else { throw HarnessError("cannot start \(words[0]): error \(code)") }
        pid = started
        self.words = words
    }

    deinit {
        guard known == nil else { return }
        kill(pid, SIGKILL)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
    }

    func send(_ signal: Int32) { if known == nil { kill(pid, signal) } }

    /// How it ended; nil while it runs.
    func end() -> End? {
        if let known { return known }
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
        let signal = status & 0x7f
        known = signal == 0 ? .exited(status >> 8 & 0xff) : .killed(signal)
        return known
    }

    /// What has become of it, for messages.
    var fate: String {
        let name = words.prefix(4).joined(separator: " ")
        return end().map { "'\(name)' has ended: \($0)" } ?? "'\(name)' runs"
    }

    /// Waits for its end; kills it if that does not come, which the result then says.
    func wait(patience: TimeInterval = Harness.patience) -> End {
        let deadline = Date() + patience
        while true {
            if let end = end() { return end }
            if Date() > deadline { send(SIGKILL) }
            usleep(1_000)
        }
    }
}

/// A program that ran to its end, and what it said.
struct Finished {
    let end: End
    let output: Data
    let errors: String

    var text: String { String(decoding: output, as: UTF8.self) }

    /// - Parameter input: a file that it reads.
    init(_ words: [String], input: String? = nil, patience: TimeInterval = Harness.patience) throws {
        let said = try Scratch()
        let complained = try Scratch()
        let source = input.map { open($0, O_RDONLY | O_CLOEXEC) }
        defer { if let source { close(source) } }
        let child = try Child(
            words, Child.Streams(input: source, output: said.descriptor, errors: complained.descriptor))
        end = child.wait(patience: patience)
        output = try said.contents()
        errors = String(decoding: try complained.contents(), as: UTF8.self)
    }
}

private func closeOnExec(_ descriptor: Int32) {
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
}

/// A file without a name that takes what a child writes: never full, and readable at any time.
final class Scratch {
    let descriptor: Int32

    init() throws {
        var template = Array("/tmp/apus-XXXXXX".utf8CString)
        descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw HarnessError("mkstemp: \(errno)") }
        unlink(template)
        closeOnExec(descriptor)
    }

    deinit { close(descriptor) }

    /// What lies behind an offset.
    func contents(from offset: Int = 0) throws -> Data {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw HarnessError("fstat: \(errno)") }
        var data = Data(count: max(0, Int(status.st_size) - offset))
        var done = 0
        while done < data.count {
            let got = data.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress.map { $0 + done }, $0.count - done, offset + done)
            }
            guard got > 0 else { throw HarnessError("pread: \(errno)") }
            done += got
        }
        return data
    }
}

/// A pipe whose ends children do not inherit unless told to.
final class Pipe {
    private(set) var reader: Int32
    private(set) var writer: Int32

    init() throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw HarnessError("pipe: \(errno)") }
        (reader, writer) = (ends[0], ends[1])
        closeOnExec(reader)
        closeOnExec(writer)
        // A program that dies early must not take the tests with it.
        signal(SIGPIPE, SIG_IGN)
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

    func write(_ text: String) throws {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let done = rest.withUnsafeBytes { Glibc.write(writer, $0.baseAddress, $0.count) }
            guard done > 0 else { throw HarnessError("write to a pipe: \(errno)") }
            rest = rest.dropFirst(done)
        }
    }

    /// The next line without its end; fails if none comes in time or the other side is gone.
    ///
    /// - Parameter child: who writes it. Nobody else may have the writing end, or its end goes unnoticed.
    func line(by child: Child? = nil, patience: TimeInterval = Harness.patience) throws -> String {
        let deadline = Date() + patience
        while true {
            if let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
                defer { buffer = Array(buffer[(end + 1)...]) }
                return String(decoding: buffer[..<end], as: UTF8.self)
            }
            var poll = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, Int32(max(0, deadline.timeIntervalSinceNow * 1000))) > 0 else {
                throw HarnessError("no line came through a pipe in time\(child.map { "; \($0.fate)" } ?? "")")
            }
            var bytes = [UInt8](repeating: 0, count: 65_536)
            let got = read(reader, &bytes, bytes.count)
            guard got > 0 else {
                // Who has closed its end is about to end.
                _ = child?.wait(patience: 5)
                throw HarnessError("a pipe ended without a line\(child.map { "; \($0.fate)" } ?? "")")
            }
            buffer += bytes[..<got]
        }
    }

    private var buffer: [UInt8] = []
}
