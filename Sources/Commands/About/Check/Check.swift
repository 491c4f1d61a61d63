// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CSupport
internal import Glibc
internal import Processes
internal import Reading
internal import Reporting
internal import Symbolization
internal import Tracing

/// What can be done here, and what stands in the way of the rest.
package struct Check: ListedCommand {
    package static let place = 1
    package static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Report which commands work on this machine, and what prevents the others.",
        discussion: """
            Tries every feature that the commands build on, then loads and attaches each command's programs and \
            detaches them again. Exits with 0 if all commands work, with 1 if one does not.
            """)

    @Flag(name: .customLong("json"), help: "Print one JSON object a line instead of a table.")
    package var json = false

    package init() {}

    /// One line of the result.
    struct Finding {
        let kind: StaticString
        let name: String
        let answer: StaticString
        /// What it means or what would change it; empty if there is nothing to say.
        let remark: String
    }

    package func run() throws {
        LibbpfLog.install(verbose: false)
        let output = Output()
        let columns = [
            Column<Finding>("KIND", width: 9, key: "kind") { $0.text($1.kind.description) },
            Column<Finding>("WORKS", width: 7, key: "works") { $0.text($1.answer.description) },
            Column<Finding>("WHAT", width: 51, key: "what") { $0.text($1.name) },
            Column<Finding>("REMARK", key: "remark") { $0.text($1.remark) },
        ]
        let table = Table(columns, json: json)
        try output.write { table.writeHeading(to: $0) }
        /// Trying takes seconds on a busy machine: each answer leaves at once, and between two of them we can be ended.
        func tell(_ finding: Finding) throws {
            apus_give_signals_back()
            try output.row(table, finding)
            try output.flush()
        }
        let missing = Privileges.missing(ProcFS().effectiveCapabilities(of: getpid()) ?? 0)
        for finding in Self.machine(missing: missing) { try tell(finding) }
        for feature in Feature.allCases {
            try tell(Self.finding(feature, privileged: missing.isEmpty))
        }
        try tell(Self.tracefs())
        try tell(Self.unwinding(privileged: missing.isEmpty))
        try tell(Self.reading())
        var failed = false
        for command in Toolkit.commands {
            let finding = Self.finding(command)
            failed = failed || finding.answer.description != "yes"
            try tell(finding)
        }
        if failed { throw ExitCode(1) }
    }

    private static func machine(missing: [String]) -> [Finding] {
        var system = utsname()
        uname(&system)
        let release = withUnsafeBytes(of: system.release) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        return [
            Finding(kind: "kernel", name: "Linux \(release)", answer: "yes", remark: ""),
            Finding(
                kind: "privilege", name: "CAP_BPF and CAP_PERFMON", answer: missing.isEmpty ? "yes" : "no",
                remark: missing.isEmpty ? "" : "missing: \(missing.joined(separator: ", ")); run it with sudo"
            ),
            limit(
                "kernel.kptr_restrict", in: "/proc/sys/kernel/kptr_restrict", stands: { $0 < 2 },
                remark: "kernel functions stay without names: sysctl kernel.kptr_restrict=1"),
            lockdown(),
        ].compactMap { $0 }
    }

    private static func limit(
        _ name: String, in path: String, stands: (Int) -> Bool, remark: String
    ) -> Finding? {
        guard let bytes = readFile(path, limit: 64),
            let value = Int(String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self))
        else { return nil }
        let good = stands(value)
        return Finding(
            kind: "limit", name: "\(name) = \(value)", answer: good ? "yes" : "no", remark: good ? "" : remark
        )
    }

    private static func lockdown() -> Finding? {
        guard let bytes = readFile("/sys/kernel/security/lockdown", limit: 256) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        let confidential = text.contains("[confidentiality]")
        return Finding(
            kind: "limit", name: "kernel lockdown", answer: confidential ? "no" : "yes",
            remark: confidential ? "mode confidentiality forbids tracing: boot with lockdown=integrity" : "")
    }

    private static func finding(_ feature: Feature, privileged: Bool) -> Finding {
        if feature.isThere { return Finding(kind: "feature", name: feature.title, answer: "yes", remark: "") }
        if feature.needsPrivilege && !privileged {
            return Finding(
                kind: "feature", name: feature.title, answer: "unknown",
                remark: "trying it needs the capabilities")
        }
        return Finding(
            kind: "feature", name: feature.title, answer: "no", remark: "needs \(feature.requirement)")
    }

    private static func tracefs() -> Finding {
        let found = Tracefs.system
        return Finding(
            kind: "feature", name: "the kernel's list of tracepoints (tracefs)",
            answer: found == nil ? "no" : "yes",
            remark: found?.access ?? Tracefs.remedy)
    }

    /// Whether the kernel takes the programs that walk user stacks; commands do without, by frame pointers.
    private static func unwinding(privileged: Bool) -> Finding {
        let name = "user stacks by call frame information"
        guard privileged else {
            return Finding(
                kind: "feature", name: name, answer: "unknown", remark: "trying it needs the capabilities")
        }
        do {
            let parsed = try ProfileCommand.parse(["--dry-run", "--unwind", "dwarf"])
            try parsed.run()
            return Finding(kind: "feature", name: name, answer: "yes", remark: "")
        } catch {
            return Finding(
                kind: "feature", name: name, answer: "no", remark: "stacks follow frame pointers: \(error)")
        }
    }

    /// Whether files of other users are read by a process without privileges; commands do without.
    private static func reading() -> Finding {
        let reader = ReaderProcess(executable: Reader.executable, options: SymbolizerOptions(), lines: false)
        // Any question will do: the answer comes after it has given up what it does not need.
        _ = reader.facts(of: .memory([]))
        let refusal = reader.losses.ends > 0 ? "it ends" : reader.refusal
        return Finding(
            kind: "feature", name: "symbols read without privileges", answer: refusal == nil ? "yes" : "no",
            remark: refusal.map { "files of other users are read with ours: \($0)" } ?? "")
    }

    private static func finding(_ command: any TracingCommand.Type) -> Finding {
        let name = command.configuration.commandName ?? ""
        do {
            var parsed = try command.parse(["--dry-run"])
            try parsed.run()
            return Finding(kind: "command", name: name, answer: "yes", remark: "")
        } catch {
            return Finding(kind: "command", name: name, answer: "no", remark: "\(error)")
        }
    }
}
