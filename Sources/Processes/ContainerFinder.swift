// SPDX-License-Identifier: Apache-2.0

/// Finds the containers that are running.
///
/// It asks no runtime: everything is read from /proc and from files that runtimes keep, so it needs no
/// socket, but only root sees every name.
package struct ContainerFinder: Sendable {
    private let proc: ProcFS
    private let hostRoot: String

    /// Reads processes from `proc`, and /var/lib/docker and /var/log/containers below `hostRoot`.
    package init(proc: ProcFS, hostRoot: String = "") {
        self.proc = proc
        self.hostRoot = hostRoot
    }

    /// The running containers, by name; empty if there are none or this user sees none.
    package func all() -> [Container] {
        search().map(\.container)
    }

    /// The container with this name, or the only one whose ID of hexadecimal digits starts so.
    ///
    /// A name that a runtime keeps, or a whole ID, counts before all else. The host name that a container's
    /// environment claims counts no more than the start of another's ID, so that none can pass for another.
    /// - Throws: `none` if there is no such container, `ambiguous` if there are several.
    package func find(_ nameOrIDPrefix: String) throws(FindError) -> Container {
        let all = search()
        var matches = all.filter { $0.isGiven(nameOrIDPrefix) }
        if matches.isEmpty { matches = all.filter { $0.maybeIs(nameOrIDPrefix) } }
        guard let match = matches.first else {
            throw .none(nameOrIDPrefix, running: all.map(\.container.displayName))
        }
        guard matches.count == 1 else {
            throw .ambiguous(nameOrIDPrefix, candidates: matches.map(\.container.label))
        }
        return match.container
    }

    // MARK: - Search

    private func search() -> [Candidate] {
        var groups: [ContainerKey: ContainerProcesses] = [:]
        var outside: [Int32] = []
        for pid in proc.processIDs() {
            let memberships = proc.cgroupPaths(of: pid)
            guard let found = Self.container(in: memberships) else {
                outside.append(pid)
                continue
            }
            let unified = memberships.first(where: \.isUnified).flatMap { ContainerCgroup(path: $0.path) }
            groups[ContainerKey(found), default: ContainerProcesses()]
                .add(pid, unifiedCgroup: unified?.id == found.id ? unified?.cgroup : nil)
        }
        guard !groups.isEmpty else { return [] }
        let names = ContainerNames(proc: proc, hostRoot: hostRoot)
        // A conmon inside a container could lend its names to containers outside.
        let conmon = names.conmon(among: outside)
        let kubernetes = names.kubernetes(for: Set(groups.keys.map(\.id)))
        return groups.map { key, group in
            var given = kubernetes[key.id] ?? []
            for case let name? in [names.docker(id: key.id), conmon[key.id]] {
                given += ContainerNames.kubernetes(inEngineName: name) + [name]
            }
            if key.place != nil { given.append(key.id) }
            return candidate(key.id, group, givenNames: given.withoutRepeats, names: names)
        }.sorted { $0.order < $1.order }
    }

    private func candidate(
        _ id: String, _ group: ContainerProcesses, givenNames: [String], names: ContainerNames
    ) -> Candidate {
        let first = firstProcess(of: group.processes)
        let claimed = first.flatMap { names.hostName(of: $0, id: id) }
        let all = (givenNames + [claimed].compactMap(\.self)).withoutRepeats
        let container = Container(
            id: id, names: all, cgroupPath: group.cgroup, processes: group.processes,
            mountNamespace: first.flatMap(proc.mountNamespace))
        return Candidate(container: container, givenNames: givenNames)
    }

    /// The process a container was started with.
    ///
    /// Not simply the lowest ID, for IDs wrap around: the first one has its parent outside the container, as
    /// have only commands run in it later, and unlike those is number 1 in a PID namespace.
    private func firstProcess(of pids: [Int32]) -> Int32? {
        let inside = Set(pids)
        let entered = pids.filter { pid in proc.parent(of: pid).map { !inside.contains($0) } ?? false }
        let initial = entered.first { pid in
            let numbers = proc.namespaceIDs(of: pid)
            return numbers.count > 1 && numbers.last == 1
        }
        return initial ?? entered.first ?? pids.first
    }

    /// The container that the hierarchies show.
    ///
    /// cgroup2 and systemd's own go first, since every process is in them, whatever controllers there are.
    private static func container(in memberships: [CgroupMembership]) -> ContainerCgroup? {
        let systemd = memberships.filter { $0.controllers == ["name=systemd"] }
        let ordered = memberships.filter(\.isUnified) + systemd + memberships
        return ordered.lazy.compactMap { ContainerCgroup(path: $0.path) }.first
    }
}

/// What makes two processes' containers the same one.
private struct ContainerKey: Hashable {
    let id: String
    /// The cgroup of a machine: unlike an ID, a name can be given twice, in two containers.
    let place: String?

    init(_ found: ContainerCgroup) {
        id = found.id
        place = found.isMachine ? found.cgroup : nil
    }
}

/// What the processes of a container have shown of it.
private struct ContainerProcesses {
    private(set) var processes: [Int32] = []
    /// The cgroup in the cgroup2 hierarchy that holds all of them.
    private(set) var cgroup: String?

    mutating func add(_ pid: Int32, unifiedCgroup: String?) {
        cgroup = processes.isEmpty || cgroup == unifiedCgroup ? unifiedCgroup : nil
        processes.append(pid)
    }
}

/// A container, and which of its names it did not choose itself.
private struct Candidate {
    let container: Container
    let givenNames: [String]

    /// By name; the rest makes the order the same each time.
    var order: (String, String, Int32) {
        (container.displayName, container.id, container.processes.first ?? 0)
    }

    /// Whether a runtime, or the whole ID, calls it so.
    func isGiven(_ name: String) -> Bool {
        container.id == name || givenNames.contains(name)
    }

    /// Whether it calls itself so, or its ID starts so.
    func maybeIs(_ name: String) -> Bool {
        if container.names.contains(name) { return true }
        return !name.isEmpty && isEngineID(container.id) && container.id.after(name) != nil
    }
}

extension [String] {
    /// The strings in order, each once.
    fileprivate var withoutRepeats: [String] {
        var seen: Set<String> = []
        return filter { seen.insert($0).inserted }
    }
}
