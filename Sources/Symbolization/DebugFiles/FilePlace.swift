// SPDX-License-Identifier: Apache-2.0
internal import CSymbolization
internal import Glibc

/// A directory, open, closed with the last reference.
package final class RootDirectory: Sendable {
    package let descriptor: Int32

    /// - Parameter descriptor: taken over.
    init(adopting descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }
}

/// Where a file lies as a process sees it that has another root than we have: in a container, or after chroot. What the
/// file names is looked for there.
package struct FilePlace: Sendable {
    let root: RootDirectory
    /// From that root.
    let path: String
}

/// The roots of processes.
struct RootDirectories {
    private struct Key: Hashable {
        let mounts: FileIdentity
        let root: FileIdentity
    }

    private var known: [Key: (root: RootDirectory, prefix: String)] = [:]
    private let own = Self.key("/proc/self")

    /// Where a file lies in another root than ours; nil if the process has ours, or it cannot be told.
    ///
    /// - Parameters:
    ///   - directory: the process's in /proc.
    ///   - root: its root, open.
    ///   - path: the file's, as /proc/PID/maps has it: with the way to a root that chroot has set.
    mutating func place(_ directory: String, _ root: Int32?, _ path: String) -> FilePlace? {
        guard let root, let key = Self.key(directory), let own, key != own else { return nil }
        if known[key] == nil {
            let copy = fcntl(root, F_DUPFD_CLOEXEC, 3)
            guard copy >= 0 else { return nil }
            if known.count >= 256 { known = [:] }
            known[key] = (RootDirectory(adopting: copy), Self.link(directory + "/root") ?? "/")
        }
        guard let (root, prefix) = known[key] else { return nil }
        let isBelow = prefix != "/" && path.hasPrefix(prefix + "/")
        return FilePlace(root: root, path: isBelow ? String(path.dropFirst(prefix.utf8.count)) : path)
    }

    private static func key(_ directory: String) -> Key? {
        guard let mounts = identity(directory + "/ns/mnt"), let root = identity(directory + "/root") else {
            return nil
        }
        return Key(mounts: mounts, root: root)
    }

    private static func identity(_ path: String) -> FileIdentity? {
        var information = stat()
        guard stat(path, &information) == 0 else { return nil }
        return FileIdentity(device: UInt64(information.st_dev), inode: UInt64(information.st_ino))
    }

    private static func link(_ path: String) -> String? {
        let target = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, filled in
            filled = buffer.withMemoryRebound(to: CChar.self) { text in
                text.baseAddress.map { max(readlink(path, $0, text.count), 0) } ?? 0
            }
        }
        return target.first == UInt8(ascii: "/") ? String(decoding: target, as: UTF8.self) : nil
    }
}
