// SPDX-License-Identifier: Apache-2.0
internal import CSupport
internal import Glibc
internal import Processes

/// Names for the cgroup v2 IDs that programs report, remembered.
///
/// An ID is the inode number of the cgroup's directory. One walk over the hierarchy finds all; another is made
/// for an ID that is new, at most once a second.
final class CgroupNames {
    private let mount: String?
    private var paths: [UInt64: String] = [:]
    private var lastWalk = 0
    private var containers: [UInt64: String?] = [:]
    private static let mostDirectories = 100_000

    init(proc: ProcFS = ProcFS()) { mount = proc.cgroup2Mount() }

    /// The path below the hierarchy's root, as in /proc/PID/cgroup; nil if the cgroup is gone or not known.
    func path(_ id: UInt64) -> String? {
        if let known = paths[id] { return known }
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC_COARSE, &now)
        guard let mount, now.tv_sec != lastWalk else { return nil }
        lastWalk = now.tv_sec
        walk(mount)
        return paths[id]
    }

    /// The container that a cgroup, or on a cgroup v1 host the process, belongs to.
    func container(_ id: UInt64, process: Int32) -> String? {
        if let known = containers[id] { return known }
        var name = path(id).flatMap { containerID(inCgroupPath: $0)?.id }
        if name == nil {
            name =
                ProcFS().cgroupPaths(of: process).lazy.compactMap { containerID(inCgroupPath: $0.path)?.id }
                .first
        }
        let display = name.map { id in
            (try? ContainerFinder(proc: ProcFS()).find(id))?.displayName ?? String(id.prefix(12))
        }
        // On a v1 host all processes may share one v2 cgroup, which then says nothing.
        if path(id) != "/" { containers[id] = display }
        return display
    }

    private func walk(_ mount: String) {
        var pending = [mount]
        var seen = 0
        while let directory = pending.popLast(), seen < Self.mostDirectories {
            seen += 1
            var status = stat()
            guard stat(directory, &status) == 0 else { continue }
            let path = String(directory.dropFirst(mount.count))
            paths[UInt64(status.st_ino)] = path.isEmpty ? "/" : path
            pending += Self.subdirectories(directory)
        }
    }

    private static func subdirectories(_ directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var found: [String] = []
        while let entry = readdir(stream) {
            guard entry.pointee.d_type == UInt8(DT_DIR) else { continue }
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { found.append(directory + "/" + name) }
        }
        return found
    }
}
