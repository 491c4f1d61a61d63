// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// memleak of children, of which programs/family.c has every kind.
    @Suite struct MemleakFollowTests {
        private static let blocks: Int64 = 40

        private func family(_ more: [String] = []) throws -> String {
            try Harness.program(
                "family",
                options: ["-g", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-w"] + more)
        }

        private func run(_ options: [String], _ command: [String]) throws -> Finished {
            let result = try Finished(
                [Harness.apus, "memleak", "--json", "--follow"] + options + ["--"] + command, patience: 120)
            try #require(result.end == .exited(0), "\(result.errors)")
            #expect(
                !result.errors.contains("lost") && !result.errors.contains("not followed"), "\(result.errors)"
            )
            return result
        }

        /// Blocks and bytes below a function, by process and what its report was for.
        private struct Left: Hashable {
            let process: Int32
            let cause: String
            let function: String
        }

        private func left(_ output: String) throws -> [Left: [Int64]] {
            var found: [Left: [Int64]] = [:]
            var stacks: [LeakRow] = []
            for row in try LeakRow.all(output) {
                if row.type == "stack" { stacks.append(row) }
                guard row.type == "report" else { continue }
                for stack in stacks {
                    let name = stack.frames?.compactMap(\.function).first { $0.hasPrefix("keep_") }
                    guard let name else { continue }
                    #expect(stack.pid == row.pid)
                    let key = Left(process: row.pid ?? 0, cause: row.cause ?? "", function: name)
                    let sum = found[key] ?? [0, 0]
                    found[key] = [sum[0] + (stack.allocations ?? 0), sum[1] + (stack.bytes ?? 0)]
                }
                stacks = []
            }
            return found
        }

        /// What the program says that there is, in reports of processes that have ended.
        private func expected(_ said: String, parentCause: String = "exit") throws -> [Left: [Int64]] {
            var expected: [Left: [Int64]] = [:]
            for line in said.split(separator: "\n") where !line.hasPrefix("{") {
                let words = line.split(separator: " ")
                guard words.count == 2, let process = Int32(words[1]) else { continue }
                func add(_ cause: String, _ function: String, _ bytes: Int64) {
                    expected[Left(process: process, cause: cause, function: function)] = [
                        Self.blocks, Self.blocks * bytes,
                    ]
                }
                switch words[0] {
                case "child": add("exit", "keep_of_child", 200)
                case "stays": add("exit", "keep_of_stayer", 300)
                case "executing":
                    add("exec", "keep_before_exec", 400)
                    add("exit", "keep_of_executed", 500)
                case "grandchild": add("exit", "keep_of_grandchild", 600)
                case "spawned": add("exit", "keep_of_executed", 500)
                // The child that shares the memory has freed what the parent had, and left what is its own.
                case "end":
                    add(parentCause, "keep_of_sharer", 700)
                    add(parentCause, "keep_of_late_sharer", 800)
                default: break
                }
            }
            return expected
        }

        @Test(arguments: [[], ["-C"], ["--unwind", "fp"]])
        func everyKindOfChildToTheByte(options: [String]) throws {
            let result = try run(options, [try family(), "3", "\(Self.blocks)"])
            let expected = try expected(result.text)
            #expect(expected.count == 10)
            #expect(try left(result.text) == expected)
        }

        /// Children have names and reports of their own, and the parent's comes last.
        @Test func asText() throws {
            let result = try Finished(
                [Harness.apus, "memleak", "-f", "--", try family(), "1", "\(Self.blocks)"], patience: 60)
            try #require(result.end == .exited(0), "\(result.errors)")
            let child = try #require(result.text.firstMatch(of: /child (\d+)\n/)).1
            let parent = try #require(result.text.firstMatch(of: /end (\d+)\n/)).1
            let heading = try Regex(
                "\(child) family\\w*: Top 1 stacks with outstanding allocations when it ended:\\n")
            #expect(result.text.contains(heading))
            let last = try #require(
                result.text.split(separator: "\n").last { $0.contains("outstanding allocations") })
            #expect(last.contains("] \(parent) family"))
        }

        /// Of a process that runs already; it lives on, and so does a child.
        @Test func attachedWhileItRuns() throws {
            let run = try Attached(
                [try family(), "2", "\(Self.blocks)", "wait"], ["1000", "-o", "0", "--follow"],
                format: ["--json"])
            try run.sendLine()
            try run.waitUntilItPrints("end ")
            let text = try run.interrupt()
            let said = try run.printed()
            var expected = try expected(said, parentCause: "end")
            let stayer = try #require(expected.keys.first { $0.function == "keep_of_stayer" })
            let stays = expected.removeValue(forKey: stayer)
            expected[Left(process: stayer.process, cause: "end", function: "keep_of_stayer")] = stays
            #expect(expected.count == 9)
            #expect(try left(text) == expected)
        }

        /// A picture has every process by its name and number.
        @Test func inOnePicture() throws {
            let folder = try TemporaryFolder()
            let path = folder.path("family.html")
            let result = try run(["--flamegraph", path], [try family(), "2", "\(Self.blocks)"])
            let picture = try String(contentsOfFile: path, encoding: .utf8)
            for child in result.text.matches(of: /child (\d+)\n/) {
                #expect(picture.contains("-\(child.1)\""))
            }
        }

        /// Without --follow, children that share the memory count for the process once they are noticed, and no others.
        @Test func whoSharesTheMemory() throws {
            let result = try Finished(
                [Harness.apus, "memleak", "--json", "--", try family(), "2", "\(Self.blocks)"], patience: 60)
            try #require(result.end == .exited(0), "\(result.errors)")
            let stacks = try LeakRow.last(result.text)
            func sum(_ function: String) -> Int64 {
                stacks.filter { $0.has(function) }.reduce(0) { $0 + ($1.allocations ?? 0) }
            }
            #expect(sum("keep_of_late_sharer") == Self.blocks)
            for other in ["child", "stayer", "executed", "grandchild"] {
                #expect(sum("keep_of_\(other)") == 0)
            }
            #expect(sum("keep_before_exec") == 0)
        }

        @Test(arguments: [["--mmap", "-p", "1"], []])
        func optionsThatMakeNoSense(options: [String]) throws {
            let result = try Finished([Harness.apus, "memleak", "--follow"] + options, patience: 20)
            #expect(result.end == .exited(64))
            #expect(result.errors.contains("--follow"))
        }
    }
}
