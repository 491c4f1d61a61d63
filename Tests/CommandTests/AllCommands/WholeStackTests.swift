// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Stacks that take more than a rule for each frame, of programs whose functions are known.
    @Suite struct WholeStackTests {
        private let folder: TemporaryFolder

        init() throws { folder = try TemporaryFolder() }

        private func compile(_ name: String, _ options: [String], to target: String? = nil) throws -> String {
            let path = folder.path(target ?? name)
            let source = try Harness.source("\(name).c")
            let result = try Finished(["cc"] + options + ["-o", path, source, "-pthread"])
            guard result.end == .exited(0) else { throw HarnessError("cc \(options): \(result.errors)") }
            return path
        }

        private func run(_ words: [String]) throws -> String {
            let result = try Finished([Harness.apus] + words, patience: 120)
            try #require(result.end == .exited(0), "\(result.errors)")
            return result.text
        }

        /// The functions from one on, leaf last, of the stacks that have it; "?" for those without a name.
        private func paths(_ stacks: [Stack], from first: String) -> [[String]] {
            stacks.compactMap { stack in
                let names = stack.user.reversed().map { $0.function ?? "?" }
                return names.firstIndex(of: first).map { Array(names[$0...]) }
            }
        }

        @Test(
            arguments: [
                ("fixed", ["on_stack", "large_fixed", "burn_here"]),
                ("variable", ["on_stack", "large_variable", "burn_here"]),
                ("coroutine", ["coroutine", "burn_here"]),
                (
                    "switched",
                    [
                        "in_thread", "on_stack", "call_switched", "on_lower_stack", "call_switched",
                        "on_new_stack", "burn_here",
                    ]
                ),
            ])
        func framesOfAnySizeOnAnyStackAreWalked(how: String, expected: [String]) throws {
            let program = try compile(
                "frames", ["-O1", "-g", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"])
            let stacks = try Stack.all(
                run(["profile", "-F", "199", "-U", "--json", "--", program, how, "1000"]))
            let burning = stacks.filter { $0.has("burn_here") }
            try #require(burning.reduce(0) { $0 + ($1.samples ?? 0) } > 5)
            for stack in burning {
                // What burn_here calls may be on top.
                let path = paths([stack], from: expected[0]).first?.prefix(expected.count).map { $0 }
                #expect(path == expected, "\(stack.frames.map { $0.function ?? "?" })")
                // What is below a coroutine is the C library's, and nobody calls it.
                #expect(how == "coroutine" || stack.userStackEnd == "root")
            }
        }

        @Test(arguments: ["-fno-omit-frame-pointer", "-fomit-frame-pointer"])
        func codeWithoutCallFrameInformationHidesNoCaller(option: String) throws {
            let library = try compile(
                "bare",
                [
                    "-O2", "-DLIBRARY", "-shared", "-fPIC", "-fomit-frame-pointer", "-fno-stack-protector",
                    "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-optimize-sibling-calls",
                ], to: "libbare.so")
            let program = try compile(
                "bare", ["-O1", "-g", option, "-Wl,--no-as-needed", "-Wl,-rpath,\(folder.path)", library],
                to: "bare\(option)")
            let slept = try Stack.all(
                run(["offcputime", "-U", "--state", "1", "--json", "--", program, "2"]))
            let ran = try Stack.all(run(["profile", "-F", "499", "-U", "--json", "--", program, "2"]))
            let expected = [
                (slept, "bare_nap", ["calls_each", "calls_nap", "bare_nap"], \Stack.blocks),
                (ran, "bare_leaf", ["calls_each", "calls_leaf", "bare_leaf"], \Stack.samples),
                (
                    ran, "bare_leaf", ["calls_each", "calls_caller", "bare_caller", "bare_leaf"],
                    \Stack.samples
                ),
            ]
            for (stacks, leaf, path, count) in expected {
                let right = stacks.filter { stack in paths([stack], from: path[0]).first == path }
                #expect(right.reduce(0) { $0 + ($1[keyPath: count] ?? 0) } > 2, "\(path)")
                // What is not known is not made up.
                let wrong = stacks.filter { stack in
                    stack.has(leaf) && stack.userStackEnd == "root"
                        && !expected.contains { paths([stack], from: $0.2[0]).first == $0.2 }
                }
                #expect(wrong.isEmpty, "\(wrong.map { $0.frames.map { $0.function ?? "?" } })")
            }
        }

        @Test func codeOf32BitsIsWalkedByItsFramePointers() throws {
            let program = try compile(
                "bits32",
                [
                    "-m32", "-O1", "-g", "-fno-pie", "-no-pie", "-static", "-nostdlib", "-ffreestanding",
                    "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer", "-fno-stack-protector",
                ])
            let ran = try Stack.all(run(["profile", "-F", "199", "-U", "--json", "--", program]))
                .filter { $0.has("work_32") }
            #expect(ran.reduce(0) { $0 + ($1.samples ?? 0) } > 5)
            #expect(
                ran.allSatisfy {
                    paths([$0], from: "_start").first == ["_start", "begin_32", "serve_32", "work_32"]
                })
            let slept = try Stack.all(
                run(["offcputime", "-U", "--state", "1", "--json", "--", program]))
            #expect(
                slept.contains { paths([$0], from: "begin_32").first?.prefix(2) == ["begin_32", "serve_32"] })
        }

        /// With the tables of 32-bit files: the C library's, the vDSO's, those of code that realigns its stack.
        @Test(arguments: [[], ["-fPIE", "-pie"], ["-static"]])
        func codeOf32BitsIsWalkedByItsTables(options: [String]) throws {
            let program = try compile("narrow", ["-m32", "-O2", "-g", "-fomit-frame-pointer"] + options)
            let ran = try Stack.all(run(["profile", "-F", "499", "-U", "--json", "--", program]))
                .filter { $0.has("spin") }
            try #require(ran.reduce(0) { $0 + ($1.samples ?? 0) } > 50)
            let callers = [
                ["main", "computes", "spin"], ["main", "grows", "spin"], ["works", "spin"],
                ["main", "sorts", "compares", "spin"], ["main", "raises", "handles", "spin"],
                ["main", "raises_more", "handles_more", "spin"],
            ]
            let ours = Set(callers.joined())
            var seen: Set<[String]> = []
            for stack in ran {
                // Without what the C library calls its own functions.
                let path = stack.user.reversed().compactMap(\.function).filter(ours.contains)
                #expect(callers.contains(path), "\(stack.frames.map { $0.function ?? "?" })")
                #expect(stack.userStackEnd == "root", "\(stack.frames.map { $0.function ?? "?" })")
                seen.insert(path)
            }
            #expect(seen == Set(callers))
            let slept = try Stack.all(
                run(["offcputime", "-U", "--state", "1", "--json", "--", program]))
            #expect(
                slept.contains {
                    $0.userStackEnd == "root"
                        && paths([$0], from: "main").first?.prefix(2) == ["main", "waits"]
                })
        }

        private func plugins() throws -> (program: String, libraries: [String]) {
            let libraries = try [("one", 100, []), ("two", 50, ["-DSHIFT"])].map { name, count, more in
                try compile(
                    "plugins",
                    [
                        "-O1", "-g", "-shared", "-fPIC", "-fomit-frame-pointer", "-DPLUGIN=\(name)",
                        "-DCOUNT=\(count)",
                    ] + more,
                    to: "\(name).so")
            }
            return (try compile("plugins", ["-O1", "-g"], to: "host"), libraries)
        }

        @Test func whatALibraryAllocatesRightAfterItIsLoadedHasAWholeStack() throws {
            let (program, libraries) = try plugins()
            for library in libraries {
                let text = try run(["memleak", "--json", "-o", "0", "--", program, library])
                let rows = try LeakRow.last(text).filter { row in
                    row.frames?.contains { $0.function?.hasSuffix("_keeps") ?? false } ?? false
                }
                #expect(rows.count == 1)
                let names = rows.first?.frames?.compactMap(\.function) ?? []
                #expect(names.dropFirst().prefix(2) == ["plugin_works", "main"], "\(names)")
                #expect(rows.first?.allocations == (library.hasSuffix("one.so") ? 100 : 50))
            }
        }

        @Test func whatWasAtAnAddressBeforeIsNotUsedForTheNextLibrary() throws {
            let (program, libraries) = try plugins()
            let sequence = (0..<20).map { libraries[$0 % 2] }
            let leaks = try LeakRow.last(run(["memleak", "--json", "-o", "0", "--", program] + sequence))
            for row in leaks where row.frames?.first?.function?.hasSuffix("_keeps") ?? false {
                let names = row.frames?.map { $0.function ?? "?" } ?? []
                let isRight = names.dropFirst().prefix(2) == ["plugin_works", "main"]
                let isCut = names.count == 1
                #expect(isRight || isCut, "\(names)")
            }
            let waits = try Stack.all(
                run(["offcputime", "-U", "--state", "1", "--json", "--", program] + sequence))
            for stack in waits
            where stack.frames.contains(where: { $0.function?.hasSuffix("_waits") ?? false }) {
                #expect(
                    stack.has("plugin_works") && stack.has("main") && stack.userStackEnd == "root"
                        || stack.userStackEnd != "root", "\(stack.frames.map { $0.function ?? "?" })")
            }
        }
    }
}
