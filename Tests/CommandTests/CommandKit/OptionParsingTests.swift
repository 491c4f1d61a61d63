// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import Testing

@testable import Commands

@Suite struct OptionParsingTests {
    private func parse(_ words: String...) throws -> Opensnoop { try opensnoop(words) }

    @Test func withoutOptionsEverythingIsAtItsDefault() throws {
        let command = try parse()
        #expect(command.targets.processes == nil)
        #expect(command.targets.threads == nil)
        #expect(command.targets.comm == nil)
        #expect(command.targets.cgroup == nil)
        #expect(command.targets.container == nil)
        #expect(command.targets.command == [])
        #expect(!command.targets.follow)
        #expect(command.user == nil)
        #expect(!command.selection.failedOnly)
        #expect(command.selection.flags == [])
        #expect(command.selection.path == nil)
        #expect(command.common.duration == nil)
        #expect(command.common.bufferSize == nil)
        #expect(!command.common.json && !command.common.dryRun && !command.common.verbose)
        let display = command.display
        #expect(!display.timestamp && !display.userColumn && !display.parent && !display.threadColumn)
        #expect(!display.cgroup && !display.container && !display.extended && !display.fullPath)
    }

    @Test(arguments: [
        ["-p", "12"], ["--pid", "12"], ["--pid=12"], ["-x", "-p", "12"], ["-xp", "12"],
    ])
    func processes(words: [String]) throws {
        #expect(try opensnoop(words).targets.processes == IDList(ids: [12]))
    }

    @Test(arguments: [["-t", "12,34,5"], ["--tid", "12,34,5"], ["--tid=12,34,5"]])
    func threads(words: [String]) throws {
        #expect(try opensnoop(words).targets.threads == IDList(ids: [12, 34, 5]))
    }

    /// As strace has it; the last one alone would leave out what was asked for, without a word.
    @Test func listsThatAreGivenTwiceAddUp() throws {
        let command = try opensnoop(["-p", "1", "-t", "5", "--pid=2,3", "-p4", "--tid", "6"])
        #expect(command.targets.processes == IDList(ids: [1, 2, 3, 4]))
        #expect(command.targets.threads == IDList(ids: [5, 6]))
        let counting = try #require(
            try Syscount.parseAsRoot(["-s", "read", "-s", "write,openat"]) as? Syscount)
        #expect(Set(counting.selection.calls?.calls.map(\.name) ?? []) == ["read", "write", "openat"])
        let profile = try #require(
            try ProfileCommand.parseAsRoot(["-L", "4", "-L", "5"]) as? ProfileCommand)
        #expect(profile.targets.threads == IDList(ids: [4, 5]))
        let started = try #require(try Execsnoop.parseAsRoot(["-P", "1", "-P", "2"]) as? Execsnoop)
        #expect(started.selection.parents == IDList(ids: [1, 2]))
        #expect(throws: (any Error).self) { try Memleak.parseAsRoot(["-p", "1", "-p", "2"]) }
    }

    @Test(arguments: ["-u", "--uid"])
    func users(option: String) throws {
        #expect(try parse(option, "1000").user == 1000)
        #expect(try parse(option, "0").user == 0)
        #expect(try parse(option, "root").user == 0)
    }

    @Test(arguments: ["-n", "--name", "--comm"])
    func names(option: String) throws {
        #expect(try parse(option, "nginx").targets.comm == "nginx")
        #expect(try parse(option, "fifteen letters").targets.comm == "fifteen letters")
        #expect(try parse(option, "two words").targets.comm == "two words")
    }

    @Test(
        arguments: [
            (["-x"], \.selection.failedOnly), (["--failed"], \.selection.failedOnly),
            (["-T"], \.display.timestamp), (["--timestamp"], \.display.timestamp),
            (["-U"], \.display.userColumn), (["--print-uid"], \.display.userColumn),
            (["-P"], \.display.parent), (["--print-ppid"], \.display.parent),
            (["--print-tid"], \.display.threadColumn), (["--print-cgroup"], \.display.cgroup),
            (["--print-container"], \.display.container),
            (["-e"], \.display.extended), (["--extended-fields"], \.display.extended),
            (["--extended_fields"], \.display.extended),
            (["-F"], \.display.fullPath), (["--full-path"], \.display.fullPath),
            (["--json"], \.common.json), (["--dry-run"], \.common.dryRun),
            (["-v"], \.common.verbose), (["--verbose"], \.common.verbose),
            (["-p", "1", "--follow"], \.targets.follow),
            (["-xTUeF"], \.selection.failedOnly), (["-xTUeF"], \.display.fullPath),
        ] as [([String], any KeyPath<Opensnoop, Bool> & Sendable)])
    func switches(words: [String], isOn: any KeyPath<Opensnoop, Bool> & Sendable) throws {
        #expect(try opensnoop(words)[keyPath: isOn])
    }

    @Test(arguments: ["-f", "--flag-filter", "--flag_filter"])
    func flags(option: String) throws {
        #expect(try parse(option, "O_WRONLY").selection.flags == [1])
        #expect(
            try parse(option, "O_WRONLY", "-f", "O_RDWR", "-f", "O_CREAT").selection.flags == [1, 2, 0o100])
        #expect(try parse(option, "O_RDONLY").selection.flags == [0])
    }

    @Test(arguments: ["-d", "--duration"])
    func durations(option: String) throws {
        for (text, seconds) in [("10", 10), ("0.5", 0.5), ("0.001", 0.001), ("1e9", 1e9)]
            as [(String, Double)]
        {
            #expect(try parse(option, text).common.duration == seconds)
        }
    }

    @Test(
        arguments: [
            ("1", 1), ("65536", 65536), ("64K", 65536), ("64k", 65536), ("64KB", 65536), ("64KiB", 65536),
            ("16M", 16 << 20), ("1G", 1 << 30), ("3b", 3), ("2mib", 2 << 20),
        ] as [(String, UInt64)])
    func sizes(text: String, bytes: UInt64) throws {
        #expect(try parse("--buffer-size", text).common.bufferSize == bytes)
    }

    @Test(arguments: ["-b", "--buffer-pages"])
    func pages(option: String) throws {
        #expect(try parse(option, "64").common.bufferSize == 64 * 4096)
        #expect(try parse(option, "1").common.bufferSize == 4096)
        #expect(try parse(option, "524288").common.bufferSize == 1 << 31)
    }

    @Test(arguments: [
        ["--", "ls", "-l", "--json"], ["--exec", "ls", "-l", "--json"],
        ["--exec", "--", "ls", "-l", "--json"],
        ["-x", "--", "ls", "-l", "--json"],
    ])
    func commandsKeepTheirOwnOptions(words: [String]) throws {
        let command = try opensnoop(words)
        #expect(command.targets.command == ["ls", "-l", "--json"])
        #expect(!command.common.json)
    }

    @Test func pathsAndTargetsByName() throws {
        let command = try parse(
            "--path", "/etc/*", "--cgroup", "/user.slice", "--container", "web", "--btf", "/tmp/btf")
        #expect(command.selection.path?.matches("/etc/passwd") == true)
        #expect(command.targets.cgroup == "/user.slice")
        #expect(command.targets.container == "web")
        #expect(command.common.btf == "/tmp/btf")
    }
}

/// Each refusal is one sentence that says what to give instead.
@Suite struct OptionRefusalTests {
    private func refusal(_ words: [String]) -> String? {
        do {
            _ = try opensnoop(words)
            return nil
        } catch {
            return Opensnoop.message(for: error)
        }
    }

    private func expectRefusal(_ words: [String], _ remedy: String) {
        guard let message = refusal(words) else {
            Issue.record("\(words) is accepted")
            return
        }
        #expect(message.contains(remedy))
        #expect(!message.contains("\n"))
    }

    @Test(arguments: [
        ("", ""), ("0", "0"), ("-1", "-1"), ("abc", "abc"), ("1x", "1x"), ("1,", ""), (",1", ""),
        ("1,,2", ""),
        ("1,x", "x"), ("1 ", "1 "), ("2147483648", "2147483648"), ("1;2", "1;2"), ("0x10", "0x10"),
    ])
    func ids(text: String, culprit: String) {
        let reason = "invalid process or thread ID '\(culprit)': give a positive number."
        for option in ["-p", "--pid", "-t", "--tid"] { expectRefusal([option, text], reason) }
    }

    @Test func tooManyIDs() throws {
        let ids = (1...4097).map(String.init)
        expectRefusal(["-p", ids.joined(separator: ",")], "at most 4096 IDs can be given.")
        let most = try opensnoop(["-p", ids.dropLast().joined(separator: ",")])
        #expect(most.targets.processes?.ids.count == 4096)
        expectRefusal(
            ["-p", ids.dropLast().joined(separator: ","), "-p", "1"], "at most 4096 IDs can be given.")
    }

    @Test(arguments: ["", "0", "-1", "abc", "1s", "nan", "inf", "-0.5", "0.0001", "1e10", "1,5"])
    func durations(text: String) {
        let reason = "invalid duration '\(text)': expected a positive number of seconds, such as 10 or 0.5."
        for option in ["-d", "--duration"] { expectRefusal([option, text], reason) }
    }

    @Test(arguments: [
        "", "0", "K", "-1", "1.5M", "12X", "1T", "1KK", "1 M", "18446744073709551616", "17179869184G", "B",
        "0x10",
    ])
    func sizes(text: String) {
        expectRefusal(
            ["--buffer-size", text],
            "invalid size '\(text)': expected bytes, or a number with K, M or G, such as 64M.")
    }

    @Test(arguments: ["", "0", "-1", "abc", "1.5", "524289", "4294967296"])
    func pages(text: String) {
        let reason = "invalid number of pages '\(text)': expected 1 to 524288."
        for option in ["-b", "--buffer-pages"] { expectRefusal([option, text], reason) }
    }

    @Test(arguments: ["", "sixteen letters!", "ééééééééx"])
    func names(text: String) {
        for option in ["-n", "--name", "--comm"] {
            expectRefusal(
                [option, text], "'\(text)' cannot be in a task's name: those have 1 to 15 bytes.")
        }
    }

    @Test(arguments: ["", "no such user", "-1", "4294967296", "root:x"])
    func users(text: String) {
        for option in ["-u", "--uid"] {
            expectRefusal(
                [option, text],
                "there is no user '\(text)' in /etc/passwd: give a name from there or a number.")
        }
    }

    @Test(arguments: ["", "O_NOPE", "7", "O_WRONLY,O_RDWR"])
    func flags(text: String) {
        for option in ["-f", "--flag-filter", "--flag_filter"] {
            expectRefusal(
                [option, text],
                "invalid flag of open(2) '\(text)': expected a name such as O_WRONLY or O_CREAT.")
        }
    }

    @Test(arguments: [
        ("[a", "has a [ without its ]: write \\[ for a plain one."),
        ("[b-a]", "has a range that runs backwards."),
        ("a\\", "ends in a backslash: write \\\\ for one."),
    ])
    func patterns(text: String, reason: String) {
        expectRefusal(["--path", text], reason)
    }

    @Test(arguments: [
        (["-n", "a", "--comm", "b"], "-n and --comm mean the same: give one of them."),
        (["-d", "1", "--duration", "1"], "the duration was given twice."),
        (
            ["-b", "1", "--buffer-size", "4096"],
            "--buffer-pages and --buffer-size mean the same: give one of them."
        ),
        (["--bogus"], "Unknown option '--bogus'"), (["-z"], "Unknown option '-z'"),
        (["ls"], "'ls'"), (["ls", "-l"], "Unknown option '-l'"),
        (["-p"], "'-p"), (["--duration"], "'--duration"), (["--json=yes"], "--json"),
    ])
    func combinations(words: [String], reason: String) {
        expectRefusal(words, reason)
    }

    @Test func whatIsQuotedIsHarmless() throws {
        for words in [["-p", "\u{1b}[2J\u{7}"], ["-u", "\u{202e}x"], ["--buffer-size", "\u{9b}1"]] {
            let message = try #require(refusal(words))
            // Behind the parser's own prefix, which a usage message leaves out.
            let reason = try #require(message.components(separatedBy: ">': ").last)
            #expect(!reason.unicodeScalars.contains { $0.properties.generalCategory == .control })
            #expect(!reason.unicodeScalars.contains("\u{202e}"))
        }
    }
}
