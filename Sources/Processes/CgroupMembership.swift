// SPDX-License-Identifier: Apache-2.0

/// A cgroup a process is in: one line of its /proc/PID/cgroup.
package struct CgroupMembership: Equatable, Sendable {
    /// The hierarchy's number; 0 is cgroup2.
    package let hierarchy: UInt32
    /// The controllers of a version 1 hierarchy, or `name=…` for one that has none; empty for cgroup2.
    package let controllers: [String]
    /// Where the process is in the hierarchy, relative to the reader's cgroup namespace.
    ///
    /// So it may start with `/..`. For a cgroup that is gone the kernel adds ` (deleted)`.
    package let path: String

    /// Whether this is the cgroup2 hierarchy.
    package var isUnified: Bool { hierarchy == 0 && controllers.isEmpty }

    /// Reads `hierarchy:controllers:path`; nil if the line has another form.
    init?(line: ArraySlice<UInt8>) {
        // Only the path may hold colons, and some runtimes do put them there.
        let fields = line.split(separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
        guard fields.count == 3, fields[2].first == UInt8(ascii: "/") else { return nil }
        guard let number: UInt32 = fields[0].number() else { return nil }
        hierarchy = number
        controllers = fields[1].split(separator: UInt8(ascii: ",")).map(\.text)
        path = fields[2].text
    }
}

extension ProcFS {
    /// The cgroups a process is in, one for each hierarchy; empty if there is no such process.
    package func cgroupPaths(of pid: Int32) -> [CgroupMembership] {
        // Some 14 hierarchies, each with a path of up to 4096 bytes.
        guard let bytes = contents("cgroup", of: pid, limit: 1 << 17) else { return [] }
        let lines = Fields(bytes[...], separator: "\n")
        return Array(lines.lazy.compactMap(CgroupMembership.init(line:)).prefix(64))
    }
}
