// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

/// The program uring: opens through io_uring.
private final class Ring {
    private let child: Child
    private let commands: Pipe
    private let answers: Pipe

    var pid: Int32 { child.pid }

    struct Request {
        var call = "openat"
        var directory: Int32 = Agent.here
        var path: String
        var flags: UInt64 = 0
        var mode: UInt32 = 0
        var inWorker = false
    }

    init() throws {
        (commands, answers) = (try Pipe(), try Pipe())
        child = try Child(
            [try Harness.program("uring")],
            Child.Streams(input: commands.reader, output: answers.writer, errors: 2))
        commands.closeReader()
        answers.closeWriter()
    }

    /// Submits requests at once, and returns their results.
    @discardableResult
    func submit(_ requests: [Request]) throws -> [Int] {
        for one in requests {
            let path = hexadecimal(one.path.utf8)
            let rest = "\(one.flags) \(one.mode)\(one.inWorker ? " async" : "")"
            try commands.write("\(one.call) \(one.directory) \(path) \(rest)\n")
        }
        try commands.write("\n")
        let results = try answers.line(by: child).split(separator: " ").compactMap { Int($0) }
        guard results.count == requests.count else { throw HarnessError("io_uring does not work") }
        return results
    }

    @discardableResult
    func submit(_ request: Request) throws -> Int { try submit([request])[0] }
}

extension EndToEnd {
    @Suite struct IOUringTests {
        /// Many containers and some kernels forbid it.
        private static let allowed: Requirement = {
            let ring = try? Ring()
            return Requirement(
                "io_uring is not to be had", isExpected: false,
                isMet: (try? ring?.submit(Ring.Request(path: "/"))) != nil)
        }()

        private func expectEqual(_ row: Row, _ request: Ring.Request, _ given: Int, _ ring: Ring) {
            #expect(row.call == "io_uring")
            #expect(row.outcome == outcome(given))
            #expect(row.path == request.path)
            // A 64-bit kernel adds O_LARGEFILE before anybody can look.
            #expect(row.flags == request.flags | 0o100000)
            #expect(row.dirfd == request.directory)
            #expect(row.pid == ring.pid)
            #expect(row.ppid == getpid())
            #expect(row.comm.hasPrefix("uring"))
            #expect(row.uid == 0)
            #expect(!row.compat)
            #expect(row.mode == (request.flags & 0o100 != 0 ? request.mode : nil))
        }

        @Test(
            .require(allowed), arguments: ["openat", "openat2"], [false, true])
        func eachByItself(call: String, inWorker: Bool) throws {
            let folder = try TemporaryFolder()
            try folder.file("there")
            let ring = try Ring()
            func request(_ name: String, _ flags: UInt64 = 0, _ mode: UInt32 = 0) -> Ring.Request {
                Ring.Request(
                    call: call, path: folder.path(name), flags: flags, mode: mode, inWorker: inWorker)
            }
            let requests = [
                request("there"), request("missing"), request("made", 0o301, 0o640),
                request("there", 0o2000002),
                request("there/below", 0o102, 0o600), request("there", 0o300, 0o600),
            ]
            var given: [Int] = []
            let outcome = try trace { for request in requests { given.append(try ring.submit(request)) } }
            let rows = try outcome.rows(of: ring.pid)
            #expect(given.map { min($0, 0) } == [0, -2, 0, 0, -20, -17])
            #expect(rows.count == requests.count)
            for (row, (request, result)) in zip(rows, zip(requests, given)) {
                expectEqual(row, request, result, ring)
            }
            #expect(outcome.errors.isEmpty)
        }

        @Test(.require(allowed), arguments: [false, true])
        func manyInOneSubmission(inWorker: Bool) throws {
            let folder = try TemporaryFolder()
            for index in stride(from: 0, to: 40, by: 3) { try folder.file("\(index)") }
            let ring = try Ring()
            let requests = (0..<40).map { index in
                Ring.Request(
                    call: index.isMultiple(of: 2) ? "openat" : "openat2", path: folder.path("\(index)"),
                    inWorker: inWorker)
            }
            var given: [Int] = []
            let outcome = try trace { given = try ring.submit(requests) }
            #expect(given.map { min($0, 0) } == (0..<40).map { $0.isMultiple(of: 3) ? 0 : -2 })
            #expect(try outcome.rows(of: ring.pid).count == 40)
            for (request, result) in zip(requests, given) {
                expectEqual(try outcome.row(request.path), request, result, ring)
            }
        }

        @Test(.require(allowed))
        func relativePaths() throws {
            let folder = try TemporaryFolder()
            let name = "file-\(UUID().uuidString)"
            try folder.file(name)
            let ring = try Ring()
            var given: [Int] = []
            let opens = {
                let directory = try ring.submit(Ring.Request(path: folder.path))
                given = [directory]
                for inWorker in [false, true] {
                    given.append(
                        try ring.submit(
                            Ring.Request(directory: Int32(directory), path: name, inWorker: inWorker)))
                }
            }
            let plain = try trace(body: opens).rows(containing: name)
            #expect(plain.map(\.path) == [name, name])
            #expect(plain.map(\.result) == Array(given.dropFirst()))
            #expect(plain.map(\.dirfd) == [Int32(given[0]), Int32(given[0])])
            let full = try trace(["-F"], body: opens).rows(containing: name)
            #expect(full.map(\.path) == [folder.path(name), folder.path(name)])
            #expect(full.map(\.result) == Array(given.dropFirst()))
        }

        @Test(.require(allowed))
        func filters() throws {
            let folder = try TemporaryFolder()
            try folder.file("there")
            let ring = try Ring()
            let other = try Ring()
            let sentinel = Sentinel { path in
                try ring.submit(Ring.Request(path: path, flags: 1))
                try ring.submit(Ring.Request(path: path, flags: 2))
            }
            let opens = {
                try other.submit(Ring.Request(path: folder.path("other"), flags: 1))
                try ring.submit(Ring.Request(path: folder.path("missing"), flags: 1))
                try ring.submit(Ring.Request(path: folder.path("there"), flags: 1))
                try ring.submit(Ring.Request(path: folder.path("missing-too"), flags: 0))
            }
            func names(_ arguments: [String]) throws -> [String] {
                try trace(["-p", "\(ring.pid)"] + arguments, sentinel: sentinel) { _ = try opens() }
                    .rows(containing: folder.path).map { String($0.path.dropFirst(folder.path.count + 1)) }
            }
            #expect(try names([]) == ["missing", "there", "missing-too"])
            #expect(try names(["-x"]) == ["missing", "missing-too"])
            #expect(try names(["-f", "O_WRONLY"]) == ["missing", "there"])
            #expect(try names(["-x", "-f", "O_WRONLY"]) == ["missing"])
        }
    }
}
