// SPDX-License-Identifier: Apache-2.0

/// A running container: found from the cgroup paths and names that docker, podman, containerd, CRI-O,
/// Kubernetes, LXC and systemd-nspawn leave behind.
package struct Container: Equatable, Sendable {
    /// The full ID of 64 hexadecimal digits, or the name of an LXC or systemd-nspawn machine.
    package let id: String
    /// Every name known, the best first: printable ASCII without spaces.
    package let names: [String]
    /// Its path in the cgroup2 hierarchy; nil if it has no cgroup of its own there that holds all its
    /// processes, as on a host with cgroup version 1.
    package let cgroupPath: String?
    /// The IDs of its processes, ascending; those of containers inside it are not among them.
    package let processes: [Int32]
    /// The inode number of its first process's mount namespace; nil without ptrace(2) access to that process.
    package let mountNamespace: UInt64?

    /// The best name, else the ID's first 12 digits.
    package var displayName: String { names.first ?? shortID }

    /// The ID as people write it: the first 12 digits, or a machine's whole name.
    var shortID: String { isEngineID(id) ? String(id.prefix(12)) : id }

    /// The name and, where that is not it, the ID: enough to tell it from its namesakes.
    var label: String { displayName == shortID ? shortID : "\(displayName) (\(shortID))" }
}
