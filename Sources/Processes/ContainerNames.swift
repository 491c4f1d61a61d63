// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// The names that runtimes leave on the host for their containers.
///
/// Only plain names come out, see `isPlainName`.
struct ContainerNames {
    private let proc: ProcFS
    private let hostRoot: String

    /// Reads processes from `proc` and files from below `hostRoot`.
    init(proc: ProcFS, hostRoot: String) {
        self.proc = proc
        self.hostRoot = hostRoot
    }

    /// The name docker gave the container with this ID; nil if it is not docker's or may not be read.
    func docker(id: String) -> String? {
        // A machine's name must not choose the file.
        guard isEngineID(id) else { return nil }
        let file = "\(hostRoot)/var/lib/docker/containers/\(id)/config.v2.json"
        guard let path = readFile(file, limit: 1 << 22).flatMap(topLevelName(inJSON:)) else { return nil }
        let name = path.after("/") ?? path
        return isPlainName(name) ? name : nil
    }

    /// The names podman and CRI-O gave, by ID, from the command lines of the conmon processes among `pids`.
    func conmon(among pids: [Int32]) -> [String: String] {
        var names: [String: String] = [:]
        for pid in pids where proc.comm(of: pid) == "conmon" {
            guard let line = proc.contents("cmdline", of: pid, limit: 1 << 16) else { continue }
            var arguments = Fields(line[...], separator: "\0")
            var id: String?
            var name: String?
            while let argument = arguments.next() {
                switch argument.text {
                case "-c", "--cid": id = arguments.next()?.text
                case "-n", "--name": name = arguments.next()?.text
                default: break
                }
            }
            if let id, isEngineID(id), let name, isPlainName(name) { names[id] = name }
        }
        return names
    }

    /// The names Kubernetes gave to those of the containers that are in `ids`, by ID, from the links to their
    /// logs.
    func kubernetes(for ids: Set<String>) -> [String: [String]] {
        var names: [String: [String]] = [:]
        for entry in directoryEntries("\(hostRoot)/var/log/containers", limit: 1 << 16) {
            // POD_NAMESPACE_CONTAINER-ID.log
            guard let stem = entry.before(".log"), stem.utf8.count > 65 else { continue }
            let id = String(decoding: stem.utf8.suffix(64), as: UTF8.self)
            guard ids.contains(id), let owner = stem.before("-" + id) else { continue }
            let parts = owner.split(separator: "_", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 3 else { continue }
            let found = Self.podNames(pod: parts[0], namespace: parts[1], container: parts[2])
            if !found.isEmpty { names[id] = found }
        }
        return names
    }

    /// The names in `k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT`, which CRI-O and cri-dockerd give; empty for
    /// another name, and for the container that only holds a pod's namespaces.
    static func kubernetes(inEngineName name: String) -> [String] {
        let parts = name.split(separator: "_", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 6, parts[0] == "k8s", parts[1] != "POD" else { return [] }
        return podNames(pod: parts[2], namespace: parts[3], container: parts[1])
    }

    /// What a process's environment says its host is called, unless that says nothing: it is the name of this
    /// host, or the start of the container's ID.
    ///
    /// A container chooses its environment, so it can claim to be called anything.
    func hostName(of pid: Int32, id: String) -> String? {
        let limit = 1 << 18
        guard let bytes = proc.contents("environ", of: pid, limit: limit) else { return nil }
        // The last variable of a cut environment may be cut too.
        let whole = bytes.count < limit ? bytes[...] : bytes[..<(bytes.lastIndex(of: 0) ?? 0)]
        for variable in Fields(whole, separator: "\0") {
            guard let value = variable.after("HOSTNAME=") else { continue }
            let name = value.text
            return isPlainName(name) && id.after(name) == nil && name != thisHost() ? name : nil
        }
        return nil
    }

    private func thisHost() -> String? {
        readFile("\(proc.root)/sys/kernel/hostname", limit: 256).map { bytes in
            bytes.prefix { $0 != UInt8(ascii: "\n") }.text
        }
    }

    private static func podNames(pod: String, namespace: String, container: String) -> [String] {
        guard isPlainName(pod), isPlainName(namespace), isPlainName(container) else { return [] }
        return ["\(pod)/\(container)", "\(namespace)/\(pod)/\(container)", pod]
    }
}
