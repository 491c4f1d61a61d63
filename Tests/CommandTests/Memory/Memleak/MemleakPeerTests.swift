// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Testing

@testable import Commands

@Suite struct MemleakPeerTests {
    /// Each with the meaning that BCC's memleak, or libbpf-tools', gives it.
    @Test func optionsOfBothPeers() throws {
        let short = try Memleak.parse([
            "-p", "12", "-t", "-o", "250", "-C", "-F", "-s", "7", "-T", "3", "-z", "16", "-Z", "64K", "-O",
            "c",
            "-S", "je_", "--sort", "count", "2", "9",
        ])
        #expect(short.process == IDList(ids: [12]))
        #expect(short.traceCalls && short.combinedOnly && short.missingFree)
        #expect(short.older == 250 && short.sampleRate == 7 && short.top == 3)
        #expect(short.least == 16 && short.most == 65_536)
        #expect(short.object == "c" && short.prefix == "je_" && short.sort == .count)
        #expect(short.interval == 2 && short.count == 9)
        let long = try Memleak.parse([
            "--pid", "12", "--trace", "--show-allocs", "--older", "250", "--wa-missing-free", "--sample-rate",
            "7", "--top", "3", "--min-size", "16", "--max-size", "64", "--obj", "c", "--symbols-prefix",
            "je_",
            "--stack-storage-size", "99", "--perf-max-stack-depth", "30", "--verbose",
        ])
        #expect(long.process == IDList(ids: [12]))
        #expect(long.traceCalls && long.showBlocks && long.missingFree && long.common.verbose)
        #expect(long.stackStorage == 99 && long.pictures.walk.maxFrames == 30)
        let command = try Memleak.parse(["--command", "a 'b c' d\\ e", "--combined-only"])
        #expect(command.words == ["a", "b c", "d e"])
        #expect(try Memleak.parse(["--percpu"]).percpu && Memleak.parse(["-P"]).percpu)
        #expect(try Memleak.parse([]).older == 500, "milliseconds")
    }

    @Test func tasksAreOfTheKernel() throws {
        let parsed = try Memleak.parse([
            "--comm", "sh", "--uid", "0", "--cgroup", "/a", "--container", "web", "--tid", "3",
        ])
        #expect(parsed.targets.comm == "sh" && parsed.targets.cgroup == "/a")
        #expect(parsed.targets.container == "web" && parsed.targets.threads == IDList(ids: [3]))
        #expect(parsed.user == 0)
    }

    @Test(arguments: ["--comm", "--uid", "--cgroup", "--container", "--tid"])
    func tasksAreNotChosenInAProcess(option: String) {
        for words in [["-p", "1"], ["-c", "ls"]] {
            #expect(throws: (any Error).self) { try Memleak.parse([option, "1"] + words) }
        }
    }

    @Test(arguments: [
        ["-p", "1,2"], ["-p", "1", "-c", "ls"], ["-s", "2", "--sample-bytes", "1K"], ["-P", "-p", "1"],
        ["-a", "-C"], ["--growth", "--temporary", "-p", "1"], ["-z", "9", "-Z", "8"], ["-S", "je_"],
        ["--temporary"], ["0"], ["1", "0"], ["-o", "-1"], ["-c", "'a"], ["--growth", "1", "2"],
    ])
    func whatMakesNoSense(words: [String]) {
        #expect(throws: (any Error).self) { try Memleak.parse(words) }
    }
}
