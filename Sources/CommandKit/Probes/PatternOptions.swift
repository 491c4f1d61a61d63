// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import Reporting
internal import Tracing

/// What a command looks at, for those that take a pattern.
package struct PatternOptions: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "What to look at: FILE:FUNCTION, a kernel function, t:CATEGORY:NAME or u:FILE:PROBE; * for any text.",
            valueName: "pattern"))
    package var pattern: String?

    @Flag(
        name: [.customShort("r"), .customLong("regexp")],
        help: "The name is a regular expression, which is found anywhere in names.")
    package var regular = false

    package init() {}

    package mutating func validate() throws { _ = try parsed() }

    func parsed() throws -> ProbePattern? {
        try pattern.map { try ProbePattern($0, regular: regular) }
    }

    /// That there is a pattern; without one a command can only be tried out, with all kinds of probes.
    ///
    /// - Parameter example: of what can be given, for the message.
    func require(_ common: CommonOptions, example: String) throws {
        guard pattern != nil || common.dryRun else {
            throw ValidationError("give what to look at, such as \(example).")
        }
    }

    /// The places that match; nil without a pattern.
    func targets(
        _ kinds: Set<ProbeKind>, _ session: Session, returns: ReturnProbes? = nil
    ) throws -> ProbeTargets? {
        try parsed().map {
            try ProbeTargets(
                $0, process: session.onlyProcess, kinds: kinds, returns: returns, session)
        }
    }
}

/// When the commands that take a pattern print.
package struct ReportOptions: ParsableArguments {
    @Option(
        name: [.customShort("i", allowingJoined: true), .customLong("interval")], parsing: .unconditional,
        help: ArgumentHelp("Print every so many seconds; without it, at the end.", valueName: "seconds"),
        transform: parseSeconds)
    package var interval: Double?

    @Flag(
        name: [.customShort("T"), .customLong("timestamp")], help: "Print the time of day with each report.")
    package var timestamp = false

    package init() {}
}

extension Session {
    /// The one process that is traced, if there is only one and it runs already.
    var onlyProcess: Int32? {
        guard let only = onlyProcesses, only.count == 1, let process = only.first, process != launchedProcess
        else { return nil }
        return process
    }
}
