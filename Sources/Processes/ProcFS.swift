// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// What an ID given by the user names.
package enum TaskIdentity: Equatable, Sendable {
    /// A process: the ID is that of its thread group.
    case process
    /// One of the other threads of the process whose ID is `of`.
    case thread(of: Int32)
}

/// A reader of /proc, or of a copy of it.
///
/// What it reads is untrusted: a file that is missing, cut, or nonsense gives nil or nothing, never a wrong
/// number. A process that ends meanwhile, or that this user may not see (`hidepid`), looks like one that is
/// not there. IDs are those of the PID namespace in which `root` was mounted.
package struct ProcFS: Sendable {
    /// Where the file system is mounted.
    package let root: String

    /// Reads from `root`, which need not exist.
    package init(root: String = "/proc") {
        self.root = root
    }

    /// What `id` names; nil if no process or thread has it.
    package func identity(of id: Int32) -> TaskIdentity? {
        // /proc/TID exists for every thread, though only processes are listed.
        guard let group: Int32 = statusField("Tgid", of: id)?.number(), group > 0 else { return nil }
        return group == id ? .process : .thread(of: group)
    }

    /// The IDs of all processes, ascending; empty if they cannot be listed.
    package func processIDs() -> [Int32] {
        numericEntries(root)
    }

    /// The IDs of all threads of a process, ascending, its own included; empty if there is no such process.
    package func threadIDs(of pid: Int32) -> [Int32] {
        pid > 0 ? numericEntries("\(root)/\(pid)/task") : []
    }

    /// The ID of a process whose first thread has not ended, else of another of its threads that lives on: of that
    /// alone /proc then has the mappings, the root and the files. The process's own if none lives.
    package func livingThread(of pid: Int32) -> Int32 {
        guard hasEnded(pid, thread: pid) else { return pid }
        return threadIDs(of: pid).first { !hasEnded(pid, thread: $0) } ?? pid
    }

    /// Whether all threads of a process have ended; it may wait to be reaped.
    package func hasEnded(_ pid: Int32) -> Bool { hasEnded(pid, thread: livingThread(of: pid)) }

    /// Whether a thread other than a process's first lives.
    package func hasOtherThreads(_ pid: Int32) -> Bool {
        threadIDs(of: pid).contains { $0 != pid && !hasEnded(pid, thread: $0) }
    }

    /// By field 3 of its stat file (proc_pid_stat(5)), behind a name in parentheses with anything in it.
    private func hasEnded(_ pid: Int32, thread: Int32) -> Bool {
        guard let stat = contents("task/\(thread)/stat", of: pid, limit: 1 << 12),
            let end = stat.lastIndex(of: UInt8(ascii: ")")), end + 2 < stat.endIndex
        else { return true }
        return [UInt8(ascii: "Z"), UInt8(ascii: "X")].contains(stat[end + 2])
    }

    /// The name of a process's main thread: at most 15 bytes, 63 for a kernel thread.
    ///
    /// A process chooses its name, so there can be any bytes in it; those that are not UTF-8 become U+FFFD.
    package func comm(of pid: Int32) -> String? {
        guard let bytes = contents("comm", of: pid, limit: 256) else { return nil }
        // The kernel adds one newline; others are part of the name.
        return (bytes.last == UInt8(ascii: "\n") ? bytes.dropLast() : bytes[...]).text
    }

    /// The ID of a process's parent; 0 if it has none in this PID namespace.
    package func parent(of pid: Int32) -> Int32? {
        statusField("PPid", of: pid)?.number()
    }

    /// The inode number of a process's mount namespace; nil without ptrace(2) access to it.
    package func mountNamespace(of pid: Int32) -> UInt64? {
        namespace("mnt", of: pid)
    }

    /// The inode number of a process's PID namespace; nil without ptrace(2) access to it.
    package func pidNamespace(of pid: Int32) -> UInt64? {
        namespace("pid", of: pid)
    }

    /// The effective capabilities of a process's main thread, bit N for capability N.
    ///
    /// For this process pass `getpid()`.
    package func effectiveCapabilities(of pid: Int32) -> UInt64? {
        statusField("CapEff", of: pid)?.number(radix: 16)
    }

    /// A process's IDs, from this PID namespace to the innermost it is in; empty before Linux 4.1.
    func namespaceIDs(of pid: Int32) -> [Int32] {
        guard let field = statusField("NSpid", of: pid) else { return [] }
        // 32 is the kernel's limit to nesting.
        return Fields(field, separator: "\t").prefix(33).compactMap { $0.number() }
    }

    /// One file of a process, at most `limit` bytes.
    func contents(_ name: String, of pid: Int32, limit: Int = 1 << 20) -> [UInt8]? {
        pid > 0 ? readFile("\(root)/\(pid)/\(name)", limit: limit) : nil
    }

    /// The value of a line of a process's status file.
    ///
    /// The kernel escapes newlines in the name of the process, so that it cannot forge a line.
    private func statusField(_ name: String, of pid: Int32) -> ArraySlice<UInt8>? {
        guard let bytes = contents("status", of: pid) else { return nil }
        for line in Fields(bytes[...], separator: "\n") {
            if let value = line.after(name + ":") { return value.trimmed }
        }
        return nil
    }

    private func namespace(_ kind: String, of pid: Int32) -> UInt64? {
        guard pid > 0, let target = linkTarget("\(root)/\(pid)/ns/\(kind)") else { return nil }
        guard let inode = target[...].after(kind + ":["), inode.last == UInt8(ascii: "]") else { return nil }
        return inode.dropLast().number()
    }

    private func numericEntries(_ path: String) -> [Int32] {
        // No more IDs than PID_MAX_LIMIT can exist.
        directoryEntries(path, limit: 1 << 22).compactMap { name in
            guard let number = Int32(name), number > 0, String(number) == name else { return nil }
            return number
        }.sorted()
    }
}
