// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// Names are those of the time of the event, though another program, library or process is at the same place when
    /// the report is written. Tests/Programs/moments.c does the same under names of its parts.
    @Suite struct MomentTests {
        private let folder: TemporaryFolder

        init() throws { folder = try TemporaryFolder() }

        private func build(_ name: String, _ part: String, _ options: [String]) throws -> String {
            let path = folder.path(name)
            let made = try Harness.program("moments", options: ["-g", "-O1", "-DPART=\(part)"] + options)
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            try? FileManager.default.removeItem(atPath: path)
            try FileManager.default.copyItem(atPath: made, toPath: path)
            return path
        }

        /// Two programs of one name whose code is at the same addresses, or nearly.
        private func programs() throws -> (first: String, second: String) {
            (try build("a/prog", "first", ["-no-pie"]), try build("b/prog", "second", ["-no-pie"]))
        }

        private func run(_ words: [String]) throws -> Finished {
            let result = try Finished([Harness.apus] + words, patience: 60)
            try #require(result.end == .exited(0), "\(result.errors)")
            #expect(!result.errors.contains("lost"), "\(result.errors)")
            return result
        }

        /// The sum of a number of all stacks that have a function of a part.
        private func sum(_ stacks: [Stack], _ function: String, _ number: (Stack) -> Int64?) -> Int64 {
            stacks.filter { $0.has(function) && $0.has("works") }.reduce(0) { $0 + (number($1) ?? 0) }
        }

        /// In a round each part waits three times, 300 ms in all, and burns as much CPU time.
        private func check(_ parts: [String: Int64], _ tail: [String]) throws {
            let offcputime = try Stack.all(
                try run(["offcputime", "--json", "-U", "--state", "1"] + tail).text)
            let profile = try Stack.all(try run(["profile", "--json", "-U", "-F", "199"] + tail).text)
            let counted = try Stack.all(try run(["stackcount", "--json", "-U", "c:usleep"] + tail).text)
            for (part, rounds) in parts {
                expect(offcputime, part + "_waits", 3 * rounds) { $0.blocks.map(Int64.init) }
                expect(counted, part + "_waits", 3 * rounds) { $0.calls.map(Int64.init) }
                let waited = sum(offcputime, part + "_waits", \.offCpuNs) + cut(offcputime, \.offCpuNs)
                #expect(waited >= 300_000_000 * rounds, "\(part)")
                // 60 a round, but for what a busy or a virtual machine does not give.
                let samples = sum(profile, part + "_burns") { $0.samples.map(Int64.init) }
                #expect(samples < 80 * rounds, "\(part): \(samples) samples")
                #expect(samples + cut(profile) { $0.samples.map(Int64.init) } > 0, "\(part)")
            }
            let names = parts.keys.map { $0 + "_" }
            for stack in offcputime + profile + counted {
                let met = names.filter { name in
                    stack.frames.contains { $0.function?.hasPrefix(name) ?? false }
                }
                #expect(met.count < 2, "parts of two times in one stack")
            }
        }

        /// So many times, and not once more: what is missing is in stacks that say that they were cut.
        private func expect(
            _ stacks: [Stack], _ function: String, _ times: Int64, _ number: (Stack) -> Int64?
        ) {
            let named = sum(stacks, function, number)
            let cut = cut(stacks, number)
            #expect(named <= times && named + cut >= times, "\(function): \(named), \(cut) cut")
        }

        /// The same of stacks that were cut, as those are that a walk meets while code is being replaced.
        private func cut(_ stacks: [Stack], _ number: (Stack) -> Int64?) -> Int64 {
            stacks.filter { $0.userStackEnd != "root" }.reduce(0) { $0 + (number($1) ?? 0) }
        }

        private func leaks(_ tail: [String]) throws -> [LeakRow] {
            try LeakRow.last(try run(["memleak", "--json", "-o", "0"] + tail).text)
        }

        private func blocks(_ rows: [LeakRow], _ function: String) -> Int64 {
            rows.filter { $0.has(function) }.reduce(0) { $0 + ($1.allocations ?? 0) }
        }

        /// So many blocks, and not one more: what is missing is in stacks that say that they were cut.
        private func expect(_ rows: [LeakRow], _ function: String, _ times: Int64) {
            let named = blocks(rows, function)
            let cut = rows.filter { $0.userStackEnd != "root" }.reduce(0) { $0 + ($1.allocations ?? 0) }
            #expect(named <= times && named + cut >= times, "\(function): \(named), \(cut) cut: \(rows)")
        }

        // MARK: - Libraries

        private func libraries(_ shift: [String]) throws -> [String] {
            let one = try build("one.so", "one", ["-DPLUGIN", "-shared", "-fPIC"])
            return [
                one, try build("two.so", "two", ["-DPLUGIN", "-shared", "-fPIC", "-DBLOCKS=7"] + shift), one,
            ]
        }

        /// What is at an address of one is somewhere in the other: at the same place, or in another function.
        @Test(arguments: [[], ["-DSHIFT=9"]])
        func librariesInTheSamePlace(shift: [String]) throws {
            let host = try build("host", "host", ["-pie"])
            let tail = ["--", host, "plugins", "150"] + (try libraries(shift))
            let bases = try Finished([host, "plugins", "0"] + tail.suffix(3)).text.split(separator: "\n")
            try #require(bases.count == 3)
            #expect(Set(bases).count == 1, "the loader has put them in different places: \(bases)")
            try check(["one": 2, "two": 1], tail)
            let rows = try leaks(tail)
            expect(rows, "one_keeps", 10)
            expect(rows, "two_keeps", 7)
        }

        /// What happened long before a library was replaced is as sure as if it never was: also where nothing else on
        /// the machine maps anything in between.
        @Test func longBeforeAChangeNothingIsCut() throws {
            let host = try build("host", "host", ["-pie"])
            let tail = ["--", host, "plugins", "2000"] + (try libraries([]).prefix(2))
            let waits = try Stack.all(try run(["offcputime", "--json", "-U", "--state", "1"] + tail).text)
            let blocks = try leaks(tail)
            let ends = waits.map(\.userStackEnd) + blocks.map(\.userStackEnd)
            #expect(!ends.contains("remapped"), "\(waits) \(blocks)")
            for part in ["one", "two"] {
                #expect(sum(waits, part + "_waits") { $0.blocks.map(Int64.init) } == 3, "\(part): \(waits)")
                #expect(self.blocks(blocks, part + "_keeps") == (part == "one" ? 5 : 7), "\(part): \(blocks)")
            }
        }

        /// The same of stacks that follow frame pointers, where the kernel walks them and adds them up.
        @Test(arguments: [[], ["-DSHIFT=9"]])
        func byFramePointers(shift: [String]) throws {
            let host = try build("host", "host", ["-pie", "-fno-omit-frame-pointer"])
            let framed = ["-fno-omit-frame-pointer"]
            let one = try build("one.so", "one", ["-DPLUGIN", "-shared", "-fPIC"] + framed)
            let two = try build(
                "two.so", "two", ["-DPLUGIN", "-shared", "-fPIC", "-DBLOCKS=7"] + shift + framed)
            let tail = ["--unwind", "fp", "--", host, "plugins", "150", one, two, one]
            let rows = try leaks(tail)
            #expect(blocks(rows, "one_keeps") == 10 && blocks(rows, "two_keeps") == 7, "\(rows)")
            let counted = try Stack.all(try run(["stackcount", "--json", "-U", "c:malloc"] + tail).text)
            let waits = try Stack.all(try run(["offcputime", "--json", "-U", "--state", "1"] + tail).text)
            // At the entry of malloc, and in what has no frame, the caller has none yet: its caller is the first.
            func works(_ library: String, _ stack: Stack) -> Bool {
                stack.frames.contains { $0.function == "works" && $0.module == library }
            }
            for (library, kept, rounds) in [(one, 10, 2), (two, 7, 1)] {
                let calls = counted.filter { works(library, $0) }.reduce(0) { $0 + ($1.calls ?? 0) }
                #expect(calls == kept, "\(library): \(calls)")
                let blocks = waits.filter { works(library, $0) }.reduce(0) { $0 + ($1.blocks ?? 0) }
                #expect(blocks == 3 * rounds, "\(library): \(blocks)")
            }
        }

        // MARK: - Programs and processes

        @Test func programsAtTheSameAddresses() throws {
            let (first, second) = try programs()
            try check(["first": 1, "second": 1], ["--", first, "then", second])
            // Nothing is left of the first; what is, has the second's names.
            let rows = try leaks(["--", first, "then", second])
            expect(rows, "second_keeps", 5)
            expect(rows, "first_keeps", 0)
        }

        @Test func programsOfTheWholeMachine() throws {
            let (first, second) = try programs()
            let output = try Scratch()
            let errors = try Scratch()
            let tracer = try Child(
                [Harness.apus, "offcputime", "--json", "-U", "--state", "1"],
                Child.Streams(output: output.descriptor, errors: errors.descriptor))
            try eventually("the tracer to be ready", by: [tracer]) {
                String(decoding: try errors.contents(), as: UTF8.self).contains("Ctrl-C to end")
            }
            let runner = try Child([first, "then", second])
            #expect(runner.wait() == .exited(0))
            tracer.send(SIGINT)
            #expect(tracer.wait(patience: 60) == .exited(0))
            let stacks = try Stack.all(String(decoding: try output.contents(), as: UTF8.self))
                .filter { $0.pid == runner.pid }
            var named: Int64 = 0
            for part in ["first", "second"] {
                let blocks = stacks.filter { $0.has(part + "_waits") }.reduce(0) {
                    $0 + Int64($1.blocks ?? 0)
                }
                #expect(blocks > 0 && blocks <= 3, "\(part): \(blocks) waits")
                named += blocks
            }
            // On a busy machine a stack may be cut, because its program began only a moment ago.
            let cut = stacks.filter { $0.userStackEnd != "root" }.reduce(0) { $0 + Int64($1.blocks ?? 0) }
            #expect(named + cut >= 6, "\(named) named, \(cut) cut")
        }

        @Test(.require(.root))
        func processesOfOneNumber() throws {
            let (first, second) = try programs()
            let runner = try build("runner", "runner", ["-pie"])
            try check(["first": 1, "second": 1], ["--follow", "--", runner, "number", first, second])
            // The same program twice: two rows for each of its stacks, of one number.
            let result = try run(
                [
                    "offcputime", "--json", "-U", "--state", "1", "--follow", "--", runner, "number", first,
                    first,
                ])
            let stacks = try Stack.all(result.text)
            let waits = stacks.filter { $0.has("first_waits") && $0.userStackEnd == "root" }
            #expect(waits.count == 2 && Set(waits.map(\.pid)).count == 1)
            #expect(waits.allSatisfy { ($0.blocks ?? 0) <= 3 }, "\(waits)")
            expect(stacks, "first_waits", 6) { $0.blocks.map(Int64.init) }
        }

        @Test func aProcessThatRenamesItself() throws {
            let program = try build("before", "part", ["-pie"])
            let tail = ["--json", "-U", "--", program, "rename", "after"]
            let profile = try Stack.all(try run(["profile", "-F", "199"] + tail).text)
            let offcputime = try Stack.all(try run(["offcputime", "--state", "1"] + tail).text)
            for name in ["before", "after"] {
                let samples = profile.filter { $0.comm == name && $0.has("part_burns") }.reduce(0) {
                    $0 + ($1.samples ?? 0)
                }
                // 60 each, but for what a busy or a virtual machine does not give: not those of both.
                #expect(samples > 0 && samples < 80, "\(name): \(samples) samples of 60")
                expect(offcputime.filter { $0.comm == name }, "part_waits", 3) { $0.blocks.map(Int64.init) }
            }
        }

        // MARK: - Threads

        @Test func aProcessWhoseFirstThreadHasEnded() throws {
            let program = try build("leaderless", "part", ["-pie", "-pthread"])
            let child = try Child([program, "thread", "10000"])
            defer { child.send(SIGKILL) }
            let target = ["-p", "\(child.pid)"]
            try eventually("the first thread to end", by: [child]) {
                try String(contentsOfFile: "/proc/\(child.pid)/stat", encoding: .utf8).contains(") Z ")
            }
            let profile = try Stack.all(
                try run(["profile", "--json", "-U", "-F", "199", "--duration", "2"] + target).text)
            #expect(sum(profile, "part_burns") { $0.samples.map(Int64.init) } > 0)
            let offcputime = try Stack.all(
                try run(["offcputime", "--json", "-U", "--duration", "2"] + target).text)
            #expect(sum(offcputime, "part_waits", \.offCpuNs) > 50_000_000)
            let rows = try leaks(["--duration", "2"] + target)
            #expect(blocks(rows, "part_keeps") > 0)
            let calls = try run(
                ["funccount", "--json", "--duration", "2"] + target + ["\(program):part_waits"])
            #expect(try JSONLines(calls.text).rows.contains { $0.number("count") > 0 }, "\(calls.text)")
        }

        /// The end of the first thread is not that of the target.
        @Test func aProcessWhoseFirstThreadEnds() throws {
            let program = try build("leaderless", "part", ["-pie", "-pthread"])
            try check(["part": 1], ["--", program, "thread", "1"])
            let rows = try leaks(["--", program, "thread", "1"])
            #expect(blocks(rows, "part_keeps") == 5)
        }

        // MARK: - Code

        @Test(arguments: ["mremap", "map"])
        func codeThatWasCopiedInItsPlace(way: String) throws {
            let program = try build("copied", "part", ["-pie", "-fomit-frame-pointer"])
            func share(_ result: Finished) throws -> Double {
                let stacks = try Stack.all(result.text).filter { $0.frames.count > 1 }
                let all = stacks.filter { $0.comm == "copied" && !$0.has("memcpy") }
                let named = all.filter { $0.has("part_burns") && $0.has("works") && $0.has("main") }
                func count(_ stacks: [Stack]) -> Double {
                    Double(stacks.reduce(0) { $0 + ($1.samples ?? 0) })
                }
                #expect(count(all) > 5)
                return count(named) / count(all)
            }
            let profile = ["profile", "--json", "-U", "-F", "199"]
            let whole = try share(try run(profile + ["--", program, "copy", way, "2"]))
            #expect(whole > 0.9, "\(whole)")
            let output = try Pipe()
            let child = try Child([program, "copy", way, "10000"], Child.Streams(output: output.writer))
            defer { child.send(SIGKILL) }
            output.closeWriter()
            #expect(try output.line(by: child) == "moved")
            let later = try share(try run(profile + ["--duration", "2", "-p", "\(child.pid)"]))
            #expect(later > 0.9, "\(later)")
        }

        @Test func aProgramThatItsLoaderRuns() throws {
            let loader = try Finished([
                "sh", "-c", "readelf -l /bin/sh | sed -n 's/.*interpreter: \\(.*\\)\\]/\\1/p'",
            ])
            .text.trimmingCharacters(in: .whitespacesAndNewlines)
            let program = try build("loaded", "part", ["-pie"])
            try check(["part": 1], ["--", loader, program])
            #expect(blocks(try leaks(["--", loader, program]), "part_keeps") == 5)
        }
    }
}
