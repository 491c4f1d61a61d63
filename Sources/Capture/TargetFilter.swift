// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import CSupport
internal import Glibc
internal import Processes
internal import Reporting
internal import Tracing

/// The targets that the options name, looked up on this machine, and the kernel's filter that selects them.
struct TargetFilter {
    private(set) var processes: [Int32] = []
    private(set) var threads: [Int32] = []
    /// The process of each thread that is not its process's first.
    private(set) var processOfThread: [Int32: Int32] = [:]
    private var user: UInt32?
    private var comm: String?
    private let commIsPrefix: Bool
    /// The inode number of its directory.
    private var cgroup: UInt64?
    private var mountNamespace: UInt64?
    /// Paths of pinned maps.
    private let cgroupMap: String?
    private let mountNamespaceMap: String?
    let follow: Bool
    /// What the user should hear about how the options were understood.
    private(set) var notes: [String] = []

    /// The number that every kernel gives its initial PID namespace (PROC_PID_INIT_INO).
    private static let initialPIDNamespace: UInt64 = 0xeffffffc
    /// Children that --follow can add.
    private static let followedProcesses: UInt32 = 65_536

    init(_ options: TargetOptions, user: UInt32?, proc: ProcFS = ProcFS()) throws {
        self.user = user
        comm = options.comm
        commIsPrefix = options.commIsPrefix
        cgroupMap = options.cgroupMap
        mountNamespaceMap = options.mountNamespaceMap
        follow = options.follow
        for id in options.processes?.ids ?? [] { try addProcess(id, proc) }
        for id in options.threads?.ids ?? [] { try addThread(id, proc) }
        if let path = options.cgroup { cgroup = try Self.cgroupID(path, proc) }
        if let name = options.container { try select(container: name, proc) }
    }

    private mutating func addProcess(_ id: Int32, _ proc: ProcFS) throws {
        switch proc.identity(of: id) {
        case .process: processes.append(id)
        case .thread(let group):
            threads.append(id)
            processOfThread[id] = group
            notes.append("\(id) is a thread of process \(group): tracing that thread only")
        case nil: throw CommandFailure("there is no process \(id): look for the right ID with ps or pgrep")
        }
    }

    private mutating func addThread(_ id: Int32, _ proc: ProcFS) throws {
        switch proc.identity(of: id) {
        case .process: break
        case .thread(let group): processOfThread[id] = group
        case nil: throw CommandFailure("there is no thread \(id): look for the right ID with ps -eL")
        }
        threads.append(id)
    }

    /// The command that was started for us, before it runs.
    mutating func addLaunched(_ process: Int32) { processes.append(process) }

    private static func cgroupID(_ path: String, _ proc: ProcFS) throws -> UInt64 {
        let mount = proc.cgroup2Mount()
        // Both "/sys/fs/cgroup/a" and the "/a" of /proc/PID/cgroup name the same directory.
        let candidates = [path, mount.map { $0 + (path.hasPrefix("/") ? "" : "/") + path }].compactMap { $0 }
        for candidate in candidates {
            if let id = cgroup2ID(candidate) { return id }
        }
        guard let mount else {
            throw CommandFailure(
                "--cgroup needs the cgroup v2 hierarchy, which is not mounted: mount -t cgroup2 none /sys/fs/cgroup"
            )
        }
        throw CommandFailure("'\(escaped(path))' is not a cgroup v2 directory: give one below \(mount)")
    }

    private static func cgroup2ID(_ path: String) -> UInt64? {
        var system = statfs()
        var status = stat()
        // CGROUP2_SUPER_MAGIC in linux/magic.h
        guard statfs(path, &system) == 0, Int(system.f_type) == 0x6367_7270, stat(path, &status) == 0 else {
            return nil
        }
        return UInt64(status.st_ino)
    }

    private mutating func select(container name: String, _ proc: ProcFS) throws {
        let container: Container
        do {
            container = try ContainerFinder(proc: proc).find(name)
        } catch {
            throw CommandFailure(error.description)
        }
        if let path = container.cgroupPath, let id = try? Self.cgroupID(path, proc), cgroup == nil {
            cgroup = id
        } else if let namespace = container.mountNamespace {
            // A cgroup v1 host has no ID of the container that programs could test.
            mountNamespace = namespace
        } else {
            throw CommandFailure(
                "container '\(escaped(name))' has neither a cgroup v2 nor a mount namespace that can be read")
        }
    }

    /// Whether the IDs that we see are those that the kernel itself uses.
    var hasKernelIDs: Bool {
        ProcFS().pidNamespace(of: getpid()).map { $0 == Self.initialPIDNamespace } ?? true
    }

    private var constants: task_filter {
        var filter = task_filter()
        filter.`self` = UInt32(getpid())
        if !processes.isEmpty { filter.flags |= FILTER_PROCESS.rawValue }
        if !threads.isEmpty { filter.flags |= FILTER_THREAD.rawValue }
        if let user {
            filter.flags |= FILTER_USER.rawValue
            filter.user = user
        }
        if let comm {
            filter.flags |= FILTER_COMM.rawValue
            filter.comm_prefix = commIsPrefix ? 1 : 0
            filter.comm_accept = 1 << UInt32(comm.utf8.count - 1)
            withUnsafeMutableBytes(of: &filter.comm_positions) { table in
                let positions = table.assumingMemoryBound(to: UInt16.self)
                for (index, byte) in comm.utf8.enumerated() { positions[Int(byte)] |= 1 << UInt16(index) }
            }
        }
        if let cgroup {
            filter.flags |= FILTER_CGROUP.rawValue
            filter.cgroup = cgroup
        }
        if let mountNamespace {
            filter.flags |= FILTER_MOUNT_NAMESPACE.rawValue
            filter.mount_namespace = UInt32(truncatingIfNeeded: mountNamespace)
        }
        if cgroupMap != nil { filter.flags |= FILTER_CGROUP_MAP.rawValue }
        if mountNamespaceMap != nil { filter.flags |= FILTER_MOUNT_NAMESPACE_MAP.rawValue }
        if !hasKernelIDs, let own = ProcFS().pidNamespace(of: getpid()) {
            filter.pid_namespace = UInt32(truncatingIfNeeded: own)
        }
        return filter
    }

    /// Puts the filter into an object before it is loaded.
    func configure(_ object: borrowing OpenObject) throws {
        object.setConstant("task_filter", to: constants)
        if let path = cgroupMap { try Self.use(path, as: "filter_cgroups", of: object, "--cgroupmap") }
        if let path = mountNamespaceMap {
            try Self.use(path, as: "filter_mount_namespaces", of: object, "--mntnsmap")
        }
        try object.resize(
            "filter_processes", to: follow ? Self.followedProcesses : UInt32(max(1, processes.count)))
        try object.resize("filter_threads", to: UInt32(max(1, threads.count)))
        if !follow || processes.isEmpty {
            for program in ["follow_fork", "follow_fork_again", "follow_exit"] { object.disable(program) }
        }
    }

    private static func use(
        _ path: String, as map: String, of object: borrowing OpenObject, _ option: String
    ) throws {
        let what = "\(option): '\(escaped(path))'"
        let pinned: PinnedMap
        do throws(BPFError) {
            pinned = try PinnedMap(path: path)
        } catch {
            throw CommandFailure(
                "\(what) is not a pinned BPF map (\(errnoName(error.code) ?? "error \(error.code)")): make one "
                    + "with bpftool map create \(escaped(path)) type hash key 8 value 4 entries 16 name targets"
            )
        }
        guard pinned.isHash, pinned.keySize == 8 else {
            throw CommandFailure("\(what) is not a hash map with keys of 8 bytes: give one that is")
        }
        try object.replace(map, by: pinned)
    }

    /// Adds a process that was left out by `fill`.
    func addRunning(_ process: Int32, _ object: LoadedObject) throws {
        let processMap: HashMap<UInt32, UInt8> = object.map("filter_processes")
        try processMap.set(UInt32(process), to: 1)
    }

    /// Fills the filter's maps of the loaded object.
    func fill(_ object: LoadedObject, without excluded: Int32? = nil) throws {
        let processMap: HashMap<UInt32, UInt8> = object.map("filter_processes")
        for id in processes where id != excluded { try processMap.set(UInt32(id), to: 1) }
        let threadMap: HashMap<UInt32, UInt8> = object.map("filter_threads")
        for id in threads { try threadMap.set(UInt32(id), to: 1) }
    }
}
