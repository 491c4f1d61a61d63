// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import Processes

/// The capabilities that tracing needs (linux/capability.h), whoever the user is.
enum Privileges {
    private static let admin: UInt64 = 1 << 21
    private static let perfmon: UInt64 = 1 << 38
    private static let bpf: UInt64 = 1 << 39

    /// Names of the capabilities that are missing to load and attach BPF programs.
    static func missing(_ effective: UInt64) -> [String] {
        if effective & admin != 0 { return [] }
        var names: [String] = []
        if effective & bpf == 0 { names.append("CAP_BPF") }
        if effective & perfmon == 0 { names.append("CAP_PERFMON") }
        return names
    }

    /// Fails with a sentence that names what is missing.
    static func require(proc: ProcFS = ProcFS()) throws {
        let missing = missing(proc.effectiveCapabilities(of: getpid()) ?? 0)
        guard !missing.isEmpty else { return }
        let names = missing.joined(separator: " and ")
        throw CommandFailure(
            "tracing needs the capabilities CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN), and \(names) "
                + (missing.count > 1 ? "are" : "is") + " missing: run it with sudo")
    }
}
