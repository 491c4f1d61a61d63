// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// Functions that are timed by their return instructions, in programs that return probes would end.
    @Suite(.require(.tool("g++"))) struct FunctionReturnTests {
        private static let builds: [[String]] = [
            ["-O0"], ["-O2"], ["-O2", "-static"], ["-O1", "-fcf-protection=full", "-fno-pie", "-no-pie"],
        ]

        private let folder: TemporaryFolder

        init() throws { folder = try TemporaryFolder() }

        /// The program ways-out.
        private func program(_ options: [String] = ["-O2"]) throws -> String {
            let program = folder.path("ways-out")
            let source = try Harness.source("ways-out.cpp")
            let made = try Finished(["g++"] + options + ["-pthread", source, "-o", program])
            try #require(made.end == .exited(0), "\(made.errors)")
            return program
        }

        private func run(_ arguments: [String]) throws -> (lines: JSONLines, errors: String) {
            let result = try Finished(
                [Harness.apus, "funclatency", "--json", "-F"] + arguments, patience: 120)
            try #require(result.end == .exited(0), "\(result.errors)")
            return (try JSONLines(result.text), result.errors)
        }

        /// What the program says of each function: how many calls return, and how many are left.
        private func truth(_ lines: [String]) -> [String: (returns: Int, left: Int)] {
            var truth: [String: (returns: Int, left: Int)] = [:]
            for words in lines.map({ $0.split(separator: " ") }) where words.count == 3 {
                truth[String(words[0])] = (Int(words[1]) ?? -1, Int(words[2]) ?? -1)
            }
            return truth
        }

        private func counts(_ lines: JSONLines) -> [String: Int] {
            Dictionary(lines.rows.map { ($0.text("function"), $0.number("count")) }) { $0 + $1 }
        }

        private func unreturned(_ errors: String) -> Int {
            errors.split(separator: "\n").filter { $0.contains("in no histogram") }.compactMap { line in
                line.split(separator: " ").lazy.compactMap { Int($0) }.first
            }.reduce(0, +)
        }

        @Test(arguments: builds) func callsThatReturnAreTimedAndOthersCounted(options: [String]) throws {
            let program = try program(options)
            let names = truth(try JSONLines(Finished([program, "9"]).text).others).keys.sorted()
            try #require(names.count == 21)
            let (lines, errors) = try run(
                ["-r", "\(program):^(\(names.joined(separator: "|")))$", "--", program, "9"])
            let truth = truth(lines.others)
            #expect(truth.keys.sorted() == names, "the program went another way: \(errors)")
            #expect(counts(lines) == truth.mapValues(\.returns).filter { $0.value > 0 })
            #expect(unreturned(errors) == truth.values.map(\.left).reduce(0, +), "\(errors)")
            #expect(!errors.contains("lost") && !errors.contains("return probe"), "\(errors)")
        }

        /// Also those of the C library, if it is in the program: vector code, system calls, the switch of stacks.
        @Test(arguments: builds) func programsSurviveThatAllTheirFunctionsAreTimed(options: [String]) throws {
            let program = try program(options)
            let (lines, errors) = try run(["\(program):*", "--", program, "9"])
            let truth = truth(lines.others)
            #expect(truth.count == 21, "the program went another way: \(errors)")
            let found = counts(lines).filter { truth[$0.key] != nil }
            #expect(found == truth.mapValues(\.returns).filter { $0.value > 0 })
            #expect(errors.contains("or takes it for another: ") && errors.contains("begins_with_vector"))
        }

        @Test func theSameOfTheLibraryThatTheyUse() throws {
            let program = try program()
            let (lines, errors) = try run(["c:*", "--", program, "9"])
            #expect(truth(lines.others).count == 21, "the program went another way: \(errors)")
            let found = counts(lines)
            // Two turns of 300 fibers that yield and are resumed, and nine that are resumed elsewhere.
            #expect(found["swapcontext", default: 0] >= 600 + 9, "\(found)")
            #expect(found["raise"] == 9, "\(found)")
        }

        @Test func whereAFunctionEndsIsSaidIfItIsNotKnown() throws {
            let program = try program()
            let alone = try run(["\(program):ends_anywhere", "--", program, "9"])
            #expect(counts(alone.lines) == ["ends_anywhere": 9])
            #expect(alone.errors.contains("ends_anywhere: timed by the kernel's return probes"))
            let never = try Finished(
                [Harness.apus, "funclatency", "--return-probes", "never", "\(program):ends_anywhere"])
            #expect(never.end == .exited(1))
            #expect(never.errors.contains("no return instructions were found in ends_anywhere"))
            let pattern = try run(["\(program):ends_*", "--", program, "9"])
            #expect(counts(pattern.lines) == ["ends_here": 12])
            #expect(pattern.errors.contains("1 of the 2 user functions are left out"), "\(pattern.errors)")
        }

        /// Jumps and recursion do not disturb return probes, where they are asked for.
        @Test func returnProbesTimeTheSame() throws {
            let program = try program()
            let pattern =
                "\(program):^(chooses|jumps_on|ends_here|ends_anywhere|does_nothing|returns_after|forks)$"
            let (lines, errors) = try run(["--return-probes", "always", "-r", pattern, "--", program, "9"])
            let truth = truth(lines.others)
            #expect(truth.count == 21, "the program went another way: \(errors)")
            #expect(
                counts(lines) == [
                    "chooses": 9, "jumps_on": 10, "ends_here": 12, "ends_anywhere": 9, "does_nothing": 9,
                    "returns_after": 909, "forks": 9,
                ])
        }

        @Test(.require(.tool("go")), arguments: ["main.*", "*"])
        func programsInGoSurvive(pattern: String) throws {
            let program = folder.path("stacks")
            let source = try Harness.source("stacks.go")
            let made = try Finished(
                ["env", "HOME=\(folder.path)", "GO111MODULE=off", "GOFLAGS=", "CGO_ENABLED=0"]
                    + ["go", "build", "-o", program, source], patience: 120)
            try #require(made.end == .exited(0), "\(made.errors)")
            let (lines, errors) = try run(["\(program):\(pattern)", "--", program, "50"])
            #expect(lines.others.contains("done"), "\(errors)")
            // Called when the stack is large already: 20 goroutines, 50 rounds, and one call each in the end.
            #expect(counts(lines)["main.leaf"] == 20 * 51, "\(errors)")
            let refused = try Finished(
                [Harness.apus, "funclatency", "--return-probes", "always", "\(program):main.main"])
            #expect(refused.end == .exited(1))
            #expect(refused.errors.contains("has code in Go"))
        }

        @Test(.require(.tool("python3"))) func aRunningProgramGoesOnWorking() throws {
            let said = try Scratch()
            let stop = folder.path("stop")
            let program = try Child(
                ["python3", "-c", Self.script, stop],
                Child.Streams(output: said.descriptor, errors: said.descriptor))
            try eventually("python to work", by: [program]) { try !said.contents().isEmpty }
            let (lines, errors) = try run(["-p", "\(program.pid)", "--duration", "2", "c:*"])
            #expect(lines.rows.count > 3, "\(errors)")
            try Data().write(to: URL(fileURLWithPath: stop))
            #expect(program.wait() == .exited(0))
            #expect(String(decoding: try said.contents(), as: UTF8.self) == "ready\ndone\n")
        }

        /// Three threads that allocate, search text and fail to open files until there is a file of the name given.
        private static let script = """
            import json, os, re, sys, threading
            def work():
                while not os.path.exists(sys.argv[1]):
                    assert json.loads(json.dumps({"a": list(range(50))}))["a"][49] == 49
                    assert re.sub("a+", "b", "baaab" * 10) == "bbb" * 10
                    os.stat("/")
                    try: open("/nonexistent/file")
                    except OSError: pass
            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads: thread.start()
            print("ready", flush=True)
            for thread in threads: thread.join()
            print("done", flush=True)
            """
    }
}
