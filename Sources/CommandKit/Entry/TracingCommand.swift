// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser
internal import Reporting
internal import Tracing

/// A command that traces: its options, and `trace`. `run` owns what every command shares.
package protocol TracingCommand: ListedCommand {
    var common: CommonOptions { get set }
    var targets: TargetOptions { get set }
    /// The user filter, where the command has one.
    var user: UInt32? { get }

    /// Open, configure, disable what this kernel lacks, and hand over to the session.
    func trace(_ session: Session) throws
}

extension TracingCommand {
    package var user: UInt32? { nil }

    package func run() throws { try runTracing() }

    /// What `run` does for a command that has nothing else to offer.
    func runTracing() throws {
        let name = Self.configuration.commandName ?? String(describing: Self.self).lowercased()
        try withPlainErrors {
            let session = try Session(name: name, common: common, targets: targets, user: user)
            try trace(session)
        }
    }

    /// Says in words what went wrong.
    func withPlainErrors(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as BPFError {
            if common.verbose, let log = error.log { writeError(log) }
            throw CommandFailure(error.description + Self.hint(error))
        }
    }

    /// What most often lies behind a refusal that tells nothing.
    private static func hint(_ error: BPFError) -> String {
        guard error.advice == nil else { return "" }
        switch errnoName(error.code) {
        case "EPERM":
            return
                "; the kernel may be locked down, or this is a container or user namespace without CAP_BPF "
                + "and CAP_PERFMON of the host"
        case "EACCES", "EINVAL", "E2BIG":
            return "; the kernel's verifier refused them: run with -v for its last words"
        case "ENOMEM": return "; a smaller --buffer-size needs less"
        default: return ""
        }
    }
}
