// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// A line of `memleak --json`.
struct LeakRow: Decodable {
    struct Frame: Decodable {
        let function: String?
        let module: String?
        let file: String?
        let line: Int?
    }

    let type: String
    let bytes: Int64?
    let allocations: Int64?
    let estimated: Bool?
    let frames: [Frame]?
    let pid: Int32?
    /// Of a report with --follow: why there is one.
    let cause: String?
    let userStackEnd: String?

    enum CodingKeys: String, CodingKey {
        case type, bytes, allocations, estimated, frames, pid, cause
        case userStackEnd = "user_stack_end"
    }

    func has(_ function: String) -> Bool { frames?.contains { $0.function == function } ?? false }

    static func all(_ output: String) throws -> [LeakRow] {
        try output.split(separator: "\n").filter { $0.hasPrefix("{") }.map {
            try JSONDecoder().decode(LeakRow.self, from: Data($0.utf8))
        }
    }

    /// The stacks of the last report.
    static func last(_ output: String) throws -> [LeakRow] {
        let rows = try all(output)
        let reports = rows.indices.filter { rows[$0].type == "report" }
        guard let end = reports.last else { throw HarnessError("no report in: \(output)") }
        let start = reports.dropLast().last.map { $0 + 1 } ?? 0
        return rows[start..<end].filter { $0.type == "stack" }
    }
}

/// Blocks and bytes that a program says it has left, by function.
func left(_ output: String, prefix: String) -> [String: [Int64]] {
    var found: [String: [Int64]] = [:]
    for line in output.split(separator: "\n") where line.hasPrefix(prefix) {
        let words = line.split(separator: " ")
        let numbers = words.dropFirst().compactMap { Int64($0) }
        if numbers.count == 2, numbers[0] > 0 { found[String(words[0])] = numbers }
    }
    return found
}

/// The same by stacks that have such a function.
func reported(_ stacks: [LeakRow], prefix: String) -> [String: [Int64]] {
    var found: [String: [Int64]] = [:]
    for stack in stacks {
        guard
            let name = stack.frames?.compactMap(\.function).first(where: { name in
                name.hasPrefix(prefix) || name == "strdup" || name == "__strdup"
            })
        else { continue }
        // libc has no frame pointers: what has called strdup is not on the stack.
        let key = name.hasSuffix("strdup") ? "leak_strdup" : name
        let sum = found[key] ?? [0, 0]
        found[key] = [sum[0] + (stack.allocations ?? 0), sum[1] + (stack.bytes ?? 0)]
    }
    return found
}

extension EndToEnd {
    @Suite struct MemleakTests {
        /// With frame pointers, which user stacks follow, and calls that are calls.
        private static let framed = [
            "-g", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-w",
        ]

        private func program(_ name: String, _ more: [String] = []) throws -> String {
            try Harness.program(name, options: Self.framed + more)
        }

        private func run(_ options: [String], _ command: [String]) throws -> Finished {
            let result = try Finished(
                [Harness.apus, "memleak", "--json", "-T", "1000"] + options + ["--"] + command, patience: 120)
            try #require(result.end == .exited(0), "\(result.errors)")
            return result
        }

        @Test(arguments: [1, 4, 16])
        func everyFunctionToTheByte(threads: Int) throws {
            let result = try run([], [try program("leak"), "\(threads)", "20"])
            let expected = left(result.text, prefix: "leak_")
            #expect(expected.count == 10)
            #expect(reported(try LeakRow.last(result.text), prefix: "leak_") == expected)
        }

        @Test func attachedWhileItRuns() throws {
            let run = try Attached([try program("leak"), "4", "50", "keep", "wait"])
            try run.sendLine()
            let text = try run.finish(after: "leak_strdup")
            #expect(
                reported(try LeakRow.last(text), prefix: "leak_") == left(try run.printed(), prefix: "leak_"))
        }

        @Test(arguments: ["-static", "-static-pie"])
        func aStaticProgram(how: String) throws {
            let result = try run([], [try program("leak", [how]), "3", "10"])
            let expected = left(result.text, prefix: "leak_")
            let found = reported(try LeakRow.last(result.text), prefix: "leak_")
            #expect(expected.count == 10)
            #expect(found == expected)
        }

        @Test func throughTheLoader() throws {
            let program = try program("leak")
            let header = try Finished(["readelf", "-l", program]).text
            let loader = try #require(header.firstMatch(of: /interpreter: ([^\]]+)\]/)).1
            let result = try run([], [String(loader), program, "2", "10"])
            let expected = left(result.text, prefix: "leak_")
            #expect(expected.count == 10)
            #expect(reported(try LeakRow.last(result.text), prefix: "leak_") == expected)
        }

        @Test func whoFreesEverythingHasNothing() throws {
            let run = try Attached([try program("leak"), "1", "2000", "free", "wait"])
            try run.sendLine()
            let text = try run.finish(after: "leak_strdup")
            let rows = try LeakRow.all(text)
            #expect(rows.contains { $0.type == "report" })
            let isEmpty = rows.allSatisfy { (row: LeakRow) -> Bool in row.type == "report" && row.bytes == 0 }
            #expect(isEmpty, "\(text)")
        }

        @Test func aMillionRandomOperations() throws {
            let run = try Attached([try program("allocations"), "4", "1000000", "7", "wait"])
            try run.sendLine()
            let text = try run.finish(after: "site_realloc")
            let expected = left(try run.printed(), prefix: "site_")
            #expect(expected.count == 4)
            #expect(reported(try LeakRow.last(text), prefix: "site_") == expected)
            #expect(!(try run.complaints()).contains("not remembered"))
        }

        @Test func estimatesOfSamplesComeNear() throws {
            let options = ["--sample-bytes", "4096", "1"]
            let run = try Attached([try program("allocations"), "2", "400000", "9", "wait"], options)
            try run.sendLine()
            let text = try run.finish(after: "site_realloc")
            let expected = left(try run.printed(), prefix: "site_").values.map { $0[1] }.reduce(0, +)
            let stacks = try LeakRow.last(text)
            #expect(stacks.allSatisfy { $0.estimated == true })
            let found = reported(stacks, prefix: "site_").values.map { $0[1] }.reduce(0, +)
            // Some 1,500 samples: the standard error is below 3 percent.
            #expect(abs(Double(found - expected)) < 0.15 * Double(expected), "\(found) of \(expected)")
        }

        @Test func anAllocatorThatIsLoadedLater() throws {
            let library = try program("pool", ["-DLIBRARY", "-shared", "-fPIC"])
            let run = try Attached([try program("pool"), library], ["-v", "1"])
            try run.sendLine()
            try run.waitFor("je_malloc")
            try run.sendLine()
            let text = try run.finish(after: "done")
            // Beside it, what the loader has allocated for the library.
            #expect(reported(try LeakRow.last(text), prefix: "leak_")["leak_pool"] == [40, 4000])
        }

        @Test func anotherMountNamespace() throws {
            // Its libc is a copy that nobody else can see.
            let source = try program("leak")
            let script = """
                mount -t tmpfs none /mnt && cp \(source) /mnt/leak && \
                cp -L $(ldd \(source) | grep -o '/[^ ]*libc.so[^ ]*') /mnt/libc.so.6 && \
                export LD_LIBRARY_PATH=/mnt && exec /mnt/leak 2 10 keep wait
                """
            let run = try Attached(["sh", "-c", script], ["-v", "1"], through: ["unshare", "--mount"])
            #expect(try run.complaints().contains("/mnt/libc.so.6: "))
            try run.sendLine()
            let text = try run.finish(after: "leak_strdup")
            #expect(
                reported(try LeakRow.last(text), prefix: "leak_") == left(try run.printed(), prefix: "leak_"))
        }

        @Test func throughAShellAndItsExec() throws {
            let program = try program("leak")
            let result = try run([], ["sh", "-c", "exec env X=1 \(program) 2 5"])
            let expected = left(result.text, prefix: "leak_")
            #expect(expected.count == 10)
            #expect(reported(try LeakRow.last(result.text), prefix: "leak_") == expected)
        }

        @Test func nothingToProbeIsAnError() throws {
            let folder = try TemporaryFolder()
            let stripped = folder.path("stripped")
            _ = try Finished(["strip", "-o", stripped, try program("leak", ["-static"])])
            let result = try Finished([Harness.apus, "memleak", "--", stripped, "1", "1", "keep", "wait"])
            #expect(result.end == .exited(1))
            #expect(result.errors.contains("no allocator that can be found"))
            #expect(!result.text.contains("Top 0"))
        }

        @Test func filtersAndText() throws {
            let program = try program("leak")
            let result = try Finished(
                [
                    Harness.apus, "memleak", "-z", "500", "-Z", "650", "-a", "--sort", "count", "-c",
                    "\(program) 1 3",
                ],
                patience: 60)
            #expect(result.end == .exited(0))
            let heads = result.text.matches(of: /(?m)^\t(\d+) bytes in (\d+) allocations from stack$/)
            #expect(Set(heads.map { "\($0.1) \($0.2)" }) == ["1536 3", "1821 3"])
            #expect(result.text.contains("Top 2 stacks with outstanding allocations:"))
            #expect(result.text.matches(of: /(?m)^\t\taddr = 0x[0-9a-f]+ size = 512$/).count == 3)
            #expect(
                result.text.firstMatch(
                    of: /(?m)^\t\t0x[0-9a-f]{16}\tleak_memalign\+0x[0-9a-f]+ leak\.c:\d+ \[leak/)
                    != nil, "\(result.text)")
        }

        /// The results of a busy program stay right, and its code is as it was, however the tracer ends.
        @Test func comingAndGoingUnderLoad() throws {
            let load = try Attached([try program("allocations"), "8", "0", "3", "wait"], ["1", "1"])
            try load.sendLine()
            for round in 0..<10 {
                let errors = try Scratch()
                let tracer = try Child(
                    [Harness.apus, "memleak", "-p", "\(load.target.pid)", "1"],
                    Child.Streams(errors: errors.descriptor))
                // Three in the middle of something, at whatever it is by then; the others when all probes are there.
                if round < 3 {
                    usleep(UInt32(100_000 * (round + 1)))
                } else {
                    try eventually("the probes", by: [tracer, load.target]) {
                        String(decoding: try errors.contents(), as: UTF8.self).contains("attaching")
                    }
                    usleep(UInt32(50_000 * round))
                }
                tracer.send(round % 3 == 2 ? SIGKILL : SIGINT)
                let end = tracer.wait()
                #expect(round % 3 == 2 ? end == .killed(SIGKILL) : round < 3 || end == .exited(0), "\(end)")
                #expect(load.target.end() == nil, "\(load.target.fate)")
            }
            _ = try load.finish(after: "ready")
        }
    }
}
