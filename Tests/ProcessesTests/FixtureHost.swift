// SPDX-License-Identifier: Apache-2.0
import Foundation

@testable import Processes

/// A made-up host in a temporary folder: its /proc and the files runtimes keep; removed with this object.
final class FixtureHost {
    let path: String
    var proc: ProcFS { ProcFS(root: path + "/proc") }
    var finder: ContainerFinder { ContainerFinder(proc: proc, hostRoot: path) }

    init() throws {
        path = NSTemporaryDirectory() + "/apus-processes-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path + "/proc", withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file below the host's root, with the folders it needs.
    func write(_ file: String, _ bytes: some Sequence<UInt8>) throws {
        let url = URL(fileURLWithPath: path + "/" + file)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: url)
    }

    func write(_ file: String, _ text: String) throws { try write(file, text.utf8) }

    /// Makes a link, which need not lead anywhere.
    func link(_ file: String, to target: String) throws {
        let url = URL(fileURLWithPath: path + "/" + file)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(atPath: url.path, withDestinationPath: target)
    }

    /// Makes a process; `namespaceIDs` are what NSpid shows, its own ID where nil.
    func process(
        _ pid: Int32, parent: Int32 = 1, cgroup: String = "0::/\n", comm: String = "sh",
        namespaceIDs: [Int32]? = nil, environ: [String] = [], cmdline: [String] = [],
        mountNamespace: UInt64? = nil
    ) throws {
        let ids = (namespaceIDs ?? [pid]).map(String.init).joined(separator: "\t")
        try write(
            "proc/\(pid)/status",
            "Name:\t\(comm)\nUmask:\t0022\nTgid:\t\(pid)\nNgid:\t0\nPid:\t\(pid)\nPPid:\t\(parent)\nNSpid:\t\(ids)\n"
        )
        try write("proc/\(pid)/comm", comm + "\n")
        try write("proc/\(pid)/cgroup", cgroup)
        try write("proc/\(pid)/environ", environ.map { $0 + "\0" }.joined())
        try write("proc/\(pid)/cmdline", cmdline.map { $0 + "\0" }.joined())
        if let mountNamespace { try link("proc/\(pid)/ns/mnt", to: "mnt:[\(mountNamespace)]") }
    }

    /// Makes a container that docker runs on a host with cgroup version 2: one process and a name.
    func docker(_ id: String, name: String?, pid: Int32, environ: [String] = []) throws {
        try process(
            pid, cgroup: "0::/system.slice/docker-\(id).scope\n", namespaceIDs: [pid, 1], environ: environ,
            mountNamespace: UInt64(4_026_532_000 + Int64(pid)))
        guard let name else { return }
        try write("var/lib/docker/containers/\(id)/config.v2.json", #"{"ID":"\#(id)","Name":"/\#(name)"}"#)
    }
}

/// An ID of 64 digits that starts so.
func engineID(_ start: String) -> String {
    start + String(repeating: "0", count: 64 - start.utf8.count)
}
