// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Processes that are gone long before anybody names their frames, and mostly before anybody could look.
    @Suite struct ShortLivedTests {
        /// At fixed addresses, so that nm tells what is where.
        private func brief() throws -> (path: String, burning: ClosedRange<UInt64>) {
            let path = try Harness.program(
                "brief", options: ["-O1", "-fno-omit-frame-pointer", "-static", "-no-pie"])
            let symbols = try Finished(["nm", "-S", path])
            let line = try #require(
                symbols.text.split(separator: "\n").first { $0.hasSuffix(" burn_briefly") })
            let numbers = line.split(separator: " ").prefix(2).compactMap { UInt64($0, radix: 16) }
            try #require(numbers.count == 2)
            return (path, numbers[0]...numbers[0] + numbers[1])
        }

        private func run(_ words: [String]) throws -> [Stack] {
            let result = try Finished([Harness.apus] + words, patience: 120)
            try #require(result.end == .exited(0), "\(result.errors)")
            return try Stack.all(result.text)
        }

        @Test func everyFunctionOfShortLivedProcessesIsNamed() throws {
            let (path, burning) = try brief()
            let stacks = try run([
                "profile", "-F", "999", "--json", "--follow", "--", "sh", "-c",
                "i=0; while [ $i -lt 100 ]; do \(path); i=$((i+1)); done",
            ]).filter { $0.comm.hasPrefix("brief") }
            let frames = stacks.flatMap(\.user).filter { burning.contains($0.address) }
            #expect(Set(stacks.map(\.pid)).count >= 95)
            #expect(frames.count >= 95)
            #expect(frames.allSatisfy { $0.function == "burn_briefly" && $0.module?.hasSuffix(path) == true })
        }

        /// Where a stack is found through frame pointers, code built without them makes up the frames behind the
        /// first: only that one is sure to be code.
        @Test func theCodeOfALoadThatForksIsKnown() throws {
            let command =
                "i=0; while [ $i -lt 50 ]; do sh -c :; expr $i + 1; ls /; /bin/true; i=$((i+1)); done >/dev/null"
            let stacks = try run(["profile", "-F", "999", "--json", "--follow", "--", "sh", "-c", command])
            let counted = stacks.filter { !$0.user.isEmpty }
            let all = counted.reduce(0) { $0 + ($1.samples ?? 0) }
            let known = counted.filter { $0.user[0].function != nil || $0.user[0].module != nil }
                .reduce(0) { $0 + ($1.samples ?? 0) }
            // Some are over before a sample can meet them.
            #expect(Set(counted.map(\.pid)).count >= 20)
            #expect(Double(known) >= 0.99 * Double(all), "\(known) of \(all)")
        }

        /// A program that is deleted while it runs can only be read as long as it runs.
        @Test func aProgramThatIsDeletedAtOnceIsNamed() throws {
            let (path, burning) = try brief()
            let copy = "/tmp/apus-brief-$$-$i"
            // Each copy is a new file. They stay when they have burned, so that there is time to read them.
            let stacks = try run([
                "profile", "--unwind", "fp", "-F", "999", "--json", "--follow", "--", "sh", "-c",
                "i=0; while [ $i -lt 30 ]; do cp \(path) \(copy); \(copy) 3 & sleep 0.003; rm \(copy); "
                    + "i=$((i+1)); done; wait",
            ]).filter { $0.comm.hasPrefix("apus-brief") }
            let frames = stacks.flatMap(\.user).filter { burning.contains($0.address) }
            #expect(Set(stacks.map(\.pid)).count >= 25)
            let named = frames.filter { $0.function == "burn_briefly" }
            #expect(Double(named.count) >= 0.9 * Double(frames.count), "\(named.count) of \(frames.count)")
        }

        @Test func waitsOfShortLivedProcessesAreNamed() throws {
            let stacks = try run([
                "offcputime", "--json", "--follow", "--", "sh", "-c",
                "i=0; while [ $i -lt 50 ]; do sleep 0.002; i=$((i+1)); done",
            ]).filter { $0.comm == "sleep" && !$0.user.isEmpty }
            #expect(Set(stacks.map(\.pid)).count >= 45)
            let known = stacks.filter { $0.user[0].module != nil }
            #expect(Double(known.count) >= 0.99 * Double(stacks.count), "\(known.count) of \(stacks.count)")
        }
    }
}
