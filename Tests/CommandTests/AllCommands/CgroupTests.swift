// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

/// A cgroup v2 of our own.
private struct Cgroup {
    let directory: String
    /// As in /proc/PID/cgroup.
    let path: String

    init(_ name: String, below parent: Cgroup? = nil) throws {
        guard let mount = Harness.cgroupMount else { throw HarnessError("cgroup v2 is not mounted") }
        path = (parent?.path ?? "") + "/" + name
        directory = mount + path
        guard mkdir(directory, 0o755) == 0 else { throw HarnessError("mkdir \(directory): \(errno)") }
    }

    /// Whoever was in it must have been reaped, but may still be on its way out.
    func remove() {
        try? eventually("an empty cgroup") { rmdir(directory) == 0 || errno != EBUSY }
    }

    func add(_ agent: Agent) throws {
        let file = open(directory + "/cgroup.procs", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { throw HarnessError("open \(directory)/cgroup.procs: \(errno)") }
        defer { close(file) }
        let text = agent.process
        guard write(file, text, text.utf8.count) == text.utf8.count else {
            throw HarnessError("cannot move a process to \(directory): \(errno)")
        }
    }
}

extension EndToEnd {
    @Suite(.require(Harness.cgroup2))
    struct CgroupTests {
        private let name = "apus-\(UUID().uuidString)"

        private func names(_ outcome: Outcome, _ folder: TemporaryFolder) throws -> [String] {
            try outcome.rows(containing: folder.path + "/").map {
                String($0.path.dropFirst(folder.path.count + 1))
            }
        }

        /// A hierarchy with an agent in each place, named as the place.
        private final class Host {
            let parent: Cgroup
            let nested: Cgroup
            let sibling: Cgroup
            private(set) var agents: [String: Agent]

            init(_ names: (parent: String, sibling: String)) throws {
                parent = try Cgroup(names.parent)
                nested = try Cgroup("nested", below: parent)
                sibling = try Cgroup(names.sibling)
                agents = [
                    "inside": try Agent(), "nested": try Agent(), "sibling": try Agent(), "root": try Agent(),
                ]
                if let agent = agents["inside"] { try parent.add(agent) }
                if let agent = agents["nested"] { try nested.add(agent) }
                if let agent = agents["sibling"] { try sibling.add(agent) }
            }

            deinit {
                agents = [:]
                for cgroup in [nested, parent, sibling] { cgroup.remove() }
            }

            /// All agents open a file that is called as they are, in this order.
            func open(in folder: TemporaryFolder) throws {
                for name in ["sibling", "inside", "root", "nested"] {
                    try agents[name]?.open(folder.path(name))
                }
            }

            var sentinel: Sentinel { Sentinel { [self] in try agents["inside"]?.open($0) } }
        }

        @Test(arguments: ["directory", "path", "path without slash"])
        func aCgroupAndAllBelow(form: String) throws {
            let folder = try TemporaryFolder()
            // The sibling's name begins as the other does.
            let host = try Host((name, name + "-sibling"))
            let argument =
                switch form {
                case "directory": host.parent.directory
                case "path": host.parent.path
                default: String(host.parent.path.dropFirst())
                }
            let outcome = try trace(["--cgroup", argument], sentinel: host.sentinel) {
                try host.open(in: folder)
            }
            let names = try names(outcome, folder)
            #expect(names == ["inside", "nested"])
            #expect(outcome.end == .exited(0) && outcome.errors.isEmpty)
        }

        @Test func onlyTheNestedOne() throws {
            let folder = try TemporaryFolder()
            let host = try Host((name, name + "-sibling"))
            let sentinel = Sentinel { try host.agents["nested"]?.open($0) }
            let outcome = try trace(["--cgroup", host.nested.path], sentinel: sentinel) {
                try host.open(in: folder)
            }
            let names = try names(outcome, folder)
            #expect(names == ["nested"])
        }

        @Test func theRootMeansAll() throws {
            let folder = try TemporaryFolder()
            let host = try Host((name, name + "-sibling"))
            let outcome = try trace(["--cgroup", "/"]) { try host.open(in: folder) }
            let names = try names(outcome, folder)
            #expect(names == ["sibling", "inside", "root", "nested"])
        }

        /// Which cgroup a task is in is asked at each open.
        @Test func aProcessThatMoves() throws {
            let folder = try TemporaryFolder()
            let host = try Host((name, name + "-sibling"))
            let root = try #require(host.agents["root"])
            let outcome = try trace(["--cgroup", host.parent.path], sentinel: host.sentinel) {
                try root.open(folder.path("before"))
                try host.parent.add(root)
                try root.open(folder.path("within"))
                try host.sibling.add(root)
                try root.open(folder.path("behind"))
            }
            let names = try names(outcome, folder)
            #expect(names == ["within"])
        }

        /// Maps that somebody else fills, as for BCC's tools: keys of 8 bytes.
        @Test(arguments: ["--cgroupmap", "--mntnsmap"])
        func onlyWhatAPinnedMapHas(option: String) throws {
            let folder = try TemporaryFolder()
            let mount = try #require(Harness.cgroupMount)
            let number =
                option == "--mntnsmap"
                ? "stat -Lc %i /proc/self/ns/mnt"
                : "stat -c %i \(mount)$(sed -n s/^0:://p /proc/self/cgroup)"
            let result = try Finished([
                "unshare", "--mount", "sh", "-ec",
                """
                mount -t bpf bpf \(folder.path)
                number=$(\(number))
                key=$(for bits in 0 8 16 24 32 40 48 56; do printf '%d ' $((number >> bits & 255)); done)
                for map in with without; do
                    bpftool map create \(folder.path)/$map type hash key 8 value 4 entries 4 name targets
                done
                bpftool map update pinned \(folder.path)/with key $key value 0 0 0 0
                bpftool map create \(folder.path)/array type array key 4 value 4 entries 4 name others
                for map in with without array none; do
                    echo $map
                    \(Harness.apus) opensnoop --json \(option) \(folder.path)/$map -- cat /etc/hostname /etc/passwd |
                        grep '"path":"/etc/passwd"' || true
                done
                """,
            ])
            try #require(result.end == .exited(0), "\(result.errors)")
            let lines = result.text.split(separator: "\n").filter {
                $0.contains("/etc/passwd") || !$0.contains("{")
            }
            #expect(
                lines.count == 5 && lines[0] == "with" && lines[1].contains("/etc/passwd"), "\(result.text)")
            #expect(lines.suffix(3) == ["without", "array", "none"])
            #expect(result.errors.contains("array' is not a hash map with keys of 8 bytes"))
            #expect(result.errors.contains("none' is not a pinned BPF map (ENOENT)"))
        }

        @Test func theCgroupsPathIsShown() throws {
            let folder = try TemporaryFolder()
            let host = try Host((name, name + "-sibling"))
            let outcome = try trace(["--print-cgroup"]) { try host.open(in: folder) }
            #expect(try outcome.row(folder.path("nested")).cgroup == host.nested.path)
            #expect(try outcome.row(folder.path("sibling")).cgroup == host.sibling.path)
            var status = stat()
            #expect(stat(host.nested.directory, &status) == 0)
            #expect(try outcome.row(folder.path("nested")).cgroupId == UInt64(status.st_ino))
        }

        @Test(arguments: [12, 20, 64])
        func aContainerByTheBeginningOfItsID(length: Int) throws {
            let folder = try TemporaryFolder()
            let id = Self.newContainerID()
            let host = try Host(("docker-\(id).scope", "docker-\(Self.newContainerID()).scope"))
            let outcome = try trace(["--container", String(id.prefix(length))], sentinel: host.sentinel) {
                try host.open(in: folder)
            }
            let names = try names(outcome, folder)
            #expect(names == ["inside", "nested"])
            #expect(outcome.end == .exited(0) && outcome.errors.isEmpty)
        }

        @Test func theContainerIsShown() throws {
            let folder = try TemporaryFolder()
            let id = Self.newContainerID()
            let host = try Host(("docker-\(id).scope", name))
            let outcome = try trace(["--print-container"]) { try host.open(in: folder) }
            #expect(try outcome.row(folder.path("inside")).container == String(id.prefix(12)))
            #expect(try outcome.row(folder.path("nested")).container == String(id.prefix(12)))
            #expect(try outcome.row(folder.path("sibling")).container == nil)
            #expect(try outcome.row(folder.path("root")).container == nil)
        }

        private static func newContainerID() -> String {
            String(hexadecimal((0..<32).map { _ in UInt8.random(in: 0...255) }))
        }
    }
}
