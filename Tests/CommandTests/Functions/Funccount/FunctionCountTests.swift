// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Counts of a program that calls its functions in known numbers (Tests/Programs/functions.c).
    @Suite struct FunctionCountTests {
        private func counts(_ arguments: [String]) throws -> [String: Int] {
            let found = try JSONLines.of(["funccount", "--json"] + arguments)
            return Dictionary(found.rows.map { ($0.text("name"), $0.number("count")) }) { first, _ in first }
        }

        @Test func everyCallOfUserFunctionsCounts() throws {
            let program = try Harness.program("functions")
            let found = try counts(["\(program):*_called", "--", program])
            #expect(found == ["often_called": 1200, "seldom_called": 30])
            let followed = try counts(["\(program):often_*", "--follow", "--", program])
            #expect(followed == ["often_called": 1205])
        }

        @Test func aFunctionThatIsLocalToItsFile() throws {
            let program = try Harness.program("functions")
            let found = try counts(["\(program):local_to_file", "--", program])
            #expect(found == ["local_to_file": 70])
        }

        @Test func aFunctionThatTheKernelRefusesSpoilsNoOther() throws {
            let program = try Harness.program("functions")
            let result = try Finished([
                Harness.apus, "funccount", "--json", "-r",
                "\(program):^(often_called|begins_with_lock|seldom_called)$",
                "--", program,
            ])
            #expect(result.end == .exited(0))
            let rows = try JSONLines(result.text).rows
            #expect(rows.map { $0.number("count") } == [30, 1200])
            #expect(result.errors.contains("takes it for another: begins_with_lock\n"), "\(result.errors)")
        }

        @Test func bothPlacesOfAStaticProbeAndItsSemaphore() throws {
            let program = try Harness.program("functions")
            #expect(try counts(["u:\(program):reached", "--", program]) == ["functions_test:reached": 42])
            #expect(try counts(["usdt:\(program):*", "--", program]) == ["functions_test:reached": 42])
        }

        @Test func tracepointsOfSystemCallsAndRawOnes() throws {
            let program = try Harness.program("calls")
            let rows = try counts(["t:syscalls:sys_*_getppid", "--", program])
            // Two ways to enter the kernel have the same tracepoint, or none for the 32-bit one.
            let native = try #require(rows["sys_enter_getppid"])
            #expect(native == 1000 || native == 1011)
            #expect(rows["sys_exit_getppid"] == native)
            let raw = try counts(["rt:sched_process_fork", "--", program])
            #expect(raw == ["sched_process_fork": 1])
            #expect(try counts(["t:sched:sched_process_for*", "--", program]) == raw)
        }

        @Test func allTracepointsAtOnce() throws {
            let program = try Harness.program("calls")
            let result = try Finished([Harness.apus, "funccount", "--json", "t:*:*", "--", program])
            try #require(result.end == .exited(0), "\(result.errors)")
            let rows = try JSONLines(result.text).rows
            func count(_ name: String) -> Int { rows.first { $0.text("name") == name }?.number("count") ?? 0 }
            #expect(count("sched_process_fork") == 1)
            let native = count("sys_enter_getppid")
            #expect(native == 1000 || native == 1011)
            #expect(count("sys_exit_getppid") == native)
            // Those of single calls are made out of these.
            let single = rows.filter { $0.text("name").hasPrefix("sys_enter_") }.map { $0.number("count") }
            #expect(single.reduce(0, +) <= count("sys_enter"))
        }

        @Test func regularExpressionsAndIntervals() throws {
            let program = try Harness.program("functions")
            let found = try counts(["-r", "\(program):^(often|seldom)_", "--", program])
            #expect(found == ["often_called": 1200, "seldom_called": 30])
            // Intervals add up.
            let rows = try JSONLines.of([
                "funccount", "--json", "-i", "0.01", "\(program):sleeps_a_while", "--", program,
            ]).rows
            #expect(rows.map { $0.number("count") }.reduce(0, +) == 3)
        }

        @Test(arguments: [
            (["funccount"], Int32(64), "give what to look at"),
            (["funccount", "t:sched:"], 64, "has no name at its end"),
            (["funccount", "t:no_such_category:*"], 1, "nothing here matches"),
            (["funccount", "/no/such/file:f"], 1, "there is no"),
            (["funccount", "u:c:no_such_function"], 1, "nothing here matches"),
        ])
        func whatCannotBeCountedIsSaid(words: [String], status: Int32, message: String) throws {
            let result = try Finished([Harness.apus] + words)
            #expect(result.end == .exited(status))
            #expect(result.output.isEmpty)
            #expect(result.errors.contains(message), "\(result.errors)")
            #expect(result.errors.split(separator: "\n").count == 1)
        }
    }

    /// What `probes` lists, against the kernel's own files and binutils.
    @Suite struct ProbeListTests {
        private func lines(_ arguments: [String]) throws -> [String] {
            let result = try Finished([Harness.apus, "probes"] + arguments)
            try #require(result.end == .exited(0), "\(result.errors)")
            return result.text.split(separator: "\n").map(String.init)
        }

        /// A file of tracefs, which need not be mounted where the tests run.
        private func tracefs(_ file: String) throws -> String {
            let script = """
                test -e /sys/kernel/tracing/events || mount -t tracefs tracefs /sys/kernel/tracing
                cat "/sys/kernel/tracing/$0"
                """
            let result = try Finished(["unshare", "--mount", "sh", "-c", script, file])
            try #require(result.end == .exited(0), "\(result.errors)")
            return result.text
        }

        @Test func allTracepointsThatTheKernelHas() throws {
            let truth = try tracefs("available_events")
            let expected = truth.split(separator: "\n").filter { !$0.hasPrefix("ftrace:") }
                .map { "tracepoint:\($0)" }
            let found = try lines(["t:*:*"])
            #expect(Set(found) == Set(expected))
            #expect(found.count == expected.count)
        }

        @Test func argumentsAreThoseOfTheFormatFile() throws {
            let format = try tracefs("events/sched/sched_switch/format")
            let rows = try JSONLines.of(["probes", "--json", "-v", "t:sched:sched_switch"]).rows
            let arguments = try #require(rows.first?["arguments"] as? [[String: Any]])
            #expect(rows.count == 1)
            let places = format.split(separator: "\n").filter {
                $0.contains("field:") && !$0.contains(" common_")
            }
            #expect(arguments.count == places.count)
            for (argument, line) in zip(arguments, places) {
                #expect(line.contains(argument.text("name")))
                #expect(line.contains("offset:\(argument.number("offset"));"))
                #expect(line.contains("size:\(argument.number("size"));"))
                #expect(line.contains("signed:\(argument["signed"] as? Bool == true ? 1 : 0);"))
            }
            let state = try #require(arguments.first { $0.text("name") == "prev_state" })
            #expect((state["flags"] as? [String: String])?.values.contains("D") == true)
        }

        @Test func functionsOfAFileAreThoseOfItsSymbolTable() throws {
            let program = try Harness.program("functions")
            let symbols = try Finished(["nm", "--defined-only", program])
            try #require(symbols.end == .exited(0))
            let expected = symbols.text.split(separator: "\n").compactMap { line -> String? in
                let words = line.split(separator: " ")
                guard words.count == 3, "tTwW".contains(words[1]), words[2].hasSuffix("_called") else {
                    return nil
                }
                return "uprobe:\(program):\(words[2])"
            }
            #expect(try lines(["u:\(program):*_called"]) == expected.sorted())
            #expect(expected.count == 2)
        }

        @Test func staticProbesAndTheirArguments() throws {
            let program = try Harness.program("functions")
            let rows = try JSONLines.of(["probes", "--json", "-v", "usdt:\(program):*"]).rows
            #expect(rows.map { $0.text("name") } == ["functions_test:reached", "functions_test:reached"])
            for row in rows {
                let arguments = try #require(row["arguments"] as? [[String: Any]])
                #expect(arguments.map { $0.text("type") } == ["int32"])
            }
        }

        @Test func kernelFunctionsHaveTheirSignature() throws {
            let found = try lines(["-v", "k:vfs_read"])
            #expect(found.first == "kprobe:vfs_read")
            #expect(found.contains("    struct file *file"))
            #expect(found.last == "    returns ssize_t")
        }

        @Test func aReaderThatHasSeenEnoughIsNoFailure() throws {
            let result = try Finished([
                "bash", "-c", "\(Harness.apus) probes | head -1; exit ${PIPESTATUS[0]}",
            ])
            #expect(result.end == .exited(0))
            #expect(result.text.split(separator: "\n").count == 1)
        }
    }
}
