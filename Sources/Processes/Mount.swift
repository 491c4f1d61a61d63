// SPDX-License-Identifier: Apache-2.0

/// A mounted file system: one line of /proc/self/mountinfo, see proc_pid_mountinfo(5).
package struct Mount: Equatable, Sendable {
    /// Where it is mounted; bytes that are not UTF-8 become U+FFFD.
    package let mountPoint: String
    /// The type, such as `ext4` or `fuse.sshfs`.
    package let fileSystem: String
    /// The directory of the file system that is mounted: `/`, or another for a bind mount.
    package let root: String
    /// The options of this mount (`rw`, `noatime`) and then those of the file system.
    package let options: [String]

    /// Reads a line; nil if it has another form.
    init?(line: ArraySlice<UInt8>) {
        let fields = line.split(
            separator: UInt8(ascii: " "), maxSplits: 128, omittingEmptySubsequences: false)
        // ID, parent, device, root, mount point, options, any number of tags, "-", type, source, options.
        guard fields.count >= 10, fields[4].first == UInt8(ascii: "/"),
            let dash = fields[6...].firstIndex(where: { $0.elementsEqual("-".utf8) }), dash + 3 < fields.count
        else { return nil }
        root = Self.unescaped(fields[3])
        mountPoint = Self.unescaped(fields[4])
        fileSystem = Self.unescaped(fields[dash + 1])
        options = [fields[5], fields[dash + 3]].flatMap { list in
            list.split(separator: UInt8(ascii: ",")).map(Self.unescaped)
        }
    }

    /// Undoes the kernel's `\040` for space, tab, newline, backslash and `#`.
    ///
    /// Other backslashes stand for themselves.
    private static func unescaped(_ field: ArraySlice<UInt8>) -> String {
        guard field.contains(UInt8(ascii: "\\")) else { return field.text }
        var bytes: [UInt8] = []
        var rest = field
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == UInt8(ascii: "\\"), digits.count == 3, let code: UInt8 = digits.number(radix: 8) {
                bytes.append(code)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return bytes[...].text
    }
}

extension ProcFS {
    /// Every file system mounted in this process's mount namespace, in the kernel's order.
    ///
    /// Of those at one place the last is on top. Empty if they cannot be read.
    package func mounts() -> [Mount] {
        // Container hosts have thousands, each overlay with some KB of layers.
        guard let bytes = readFile("\(root)/self/mountinfo", limit: 1 << 24) else { return [] }
        let lines = Fields(bytes[...], separator: "\n")
        return Array(lines.lazy.compactMap(Mount.init(line:)).prefix(1 << 17))
    }

    /// Where the cgroup2 hierarchy is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside version 1.
    ///
    /// Only a mount of the hierarchy's root counts, since only to that can the path of a cgroup be appended.
    /// nil if there is none.
    package func cgroup2Mount() -> String? {
        mountPoint(of: "cgroup2", preferring: ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"])
    }

    /// Where tracefs is mounted: /sys/kernel/tracing if it is there, else another place; nil if it is nowhere.
    package func tracefs() -> String? {
        mountPoint(of: "tracefs", preferring: ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"])
    }

    private func mountPoint(of type: String, preferring usual: [String]) -> String? {
        var onTop: [String: Mount] = [:]
        let all = mounts()
        for mount in all { onTop[mount.mountPoint] = mount }
        let points = all.filter { $0.fileSystem == type && $0.root == "/" && onTop[$0.mountPoint] == $0 }
            .map(\.mountPoint)
        return usual.first(where: points.contains) ?? points.first
    }
}
