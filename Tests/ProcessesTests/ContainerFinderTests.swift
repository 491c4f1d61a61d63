// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Processes

@Suite struct ContainerFinderTests {
    private let host: FixtureHost

    init() throws { host = try FixtureHost() }

    @Test func nothingRunsWhereThereIsNoProc() {
        #expect(ContainerFinder(proc: ProcFS(root: host.path + "/missing")).all() == [])
    }

    @Test func processesOfTheHostAreNoContainer() throws {
        try host.process(1, parent: 0, cgroup: "0::/init.scope\n")
        try host.process(2, parent: 0, cgroup: "0::/\n")
        try host.process(700, cgroup: "0::/system.slice/containerd.service\n", comm: "containerd-shim")
        try host.write("proc/701/cgroup", [0xFF, 0x00, 0x0A])
        #expect(host.finder.all() == [])
    }

    @Test func dockerOnVersion2() throws {
        let id = engineID("4f5c")
        let path = "/system.slice/docker-\(id).scope"
        try host.docker(id, name: "web", pid: 900)
        try host.process(905, parent: 900, cgroup: "0::\(path)/init\n", namespaceIDs: [905, 7])
        let expected = Container(
            id: id, names: ["web"], cgroupPath: path, processes: [900, 905], mountNamespace: 4_026_532_900)
        #expect(host.finder.all() == [expected])
        #expect(expected.displayName == "web")
    }

    @Test func dockerOnVersion1HasNoCgroupPath() throws {
        let id = engineID("4f5c")
        try host.process(900, cgroup: "4:memory:/docker/\(id)\n1:name=systemd:/docker/\(id)\n0::/\n")
        // A process may be in the container's cgroup of some hierarchies only.
        try host.process(901, parent: 900, cgroup: "4:memory:/docker/\(id)\n1:name=systemd:/\n")
        let found = host.finder.all()
        #expect(found.map(\.id) == [id])
        #expect(found[0].processes == [900, 901])
        #expect(found[0].cgroupPath == nil)
    }

    @Test func dockerOnAHybridHostHasACgroupPathWhereItHasACgroup() throws {
        let (docker, podman) = (engineID("d0"), engineID("b0"))
        let service = "/system.slice/docker.service"
        try host.process(900, cgroup: "4:memory:/docker/\(docker)\n0::\(service)\n")
        try host.process(
            910,
            cgroup:
                "4:memory:/machine.slice/libpod-\(podman).scope\n0::/machine.slice/libpod-\(podman).scope\n")
        #expect(try host.finder.find(docker).cgroupPath == nil)
        #expect(try host.finder.find(podman).cgroupPath == "/machine.slice/libpod-\(podman).scope")
    }

    @Test func aCgroupThatHoldsOnlySomeProcessesIsNotTheContainers() throws {
        let id = engineID("d0")
        for (pid, unified) in [(900, "/docker/\(id)"), (901, "/"), (902, "/docker/\(id)")]
            as [(Int32, String)]
        {
            try host.process(pid, cgroup: "4:memory:/docker/\(id)\n0::\(unified)\n")
        }
        #expect(try host.finder.find(id).cgroupPath == nil)
        #expect(try host.finder.find(id).processes == [900, 901, 902])
    }

    @Test func containersInContainersAreApart() throws {
        let (outer, inner) = (engineID("aa"), engineID("bb"))
        try host.docker(outer, name: "kind", pid: 900)
        let path = "/system.slice/docker-\(outer).scope/kubelet.slice/cri-containerd-\(inner).scope"
        try host.process(950, parent: 940, cgroup: "0::\(path)\n")
        #expect(try host.finder.find("kind").processes == [900])
        #expect(try host.finder.find("bb").processes == [950])
        #expect(try host.finder.find("bb").cgroupPath == path)
    }

    @Test func lxcAndNspawn() throws {
        try host.process(800, cgroup: "0::/lxc.payload.web/init.scope\n")
        try host.process(799, cgroup: "0::/lxc.monitor.web\n")
        try host.process(850, cgroup: "0::/machine.slice/machine-my\\x2ddeb.scope/payload/init.scope\n")
        try host.process(849, cgroup: "0::/machine.slice/machine-my\\x2ddeb.scope/supervisor\n")
        let found = host.finder.all()
        #expect(found.map(\.id) == ["my-deb", "web"])
        #expect(found.map(\.names) == [["my-deb"], ["web"]])
        #expect(found.map(\.processes) == [[850], [800]])
        #expect(found[1].cgroupPath == "/lxc.payload.web")
        #expect(throws: ContainerFinder.FindError.self) { try host.finder.find("we") }
    }

    @Test func machinesOfOneNameInDifferentPlacesAreApart() throws {
        try host.process(800, cgroup: "0::/lxc.payload.a/lxc.payload.db\n")
        try host.process(801, cgroup: "0::/lxc.payload.b/lxc.payload.db\n")
        #expect(host.finder.all().map(\.processes).sorted { $0[0] < $1[0] } == [[800], [801]])
        #expect(throws: ContainerFinder.FindError.ambiguous("db", candidates: ["db", "db"])) {
            try host.finder.find("db")
        }
    }

    @Test func theFirstProcessIsTheOneTheContainerBeganWith() throws {
        let id = engineID("4f")
        let cgroup = "0::/docker/\(id)\n"
        // IDs wrapped: a command run later, and a child, have lower IDs than the first process.
        try host.process(300, parent: 3100, cgroup: cgroup, namespaceIDs: [300, 1], mountNamespace: 3)
        try host.process(400, parent: 50, cgroup: cgroup, namespaceIDs: [400, 20], mountNamespace: 4)
        try host.process(3100, parent: 50, cgroup: cgroup, namespaceIDs: [3100, 1], mountNamespace: 31)
        #expect(try host.finder.find(id).mountNamespace == 31)
    }

    @Test func withoutAPIDNamespaceTheFirstIsTheOneFromOutside() throws {
        let id = engineID("4f")
        try host.process(300, parent: 3100, cgroup: "0::/docker/\(id)\n", mountNamespace: 3)
        try host.process(3100, parent: 1, cgroup: "0::/docker/\(id)\n", mountNamespace: 31)
        #expect(try host.finder.find(id).mountNamespace == 31)
    }

    @Test func aContainerWithUnreadableProcessesIsStillFound() throws {
        let id = engineID("4f")
        try host.write("proc/300/cgroup", "0::/docker/\(id)")
        #expect(
            host.finder.all() == [
                Container(
                    id: id, names: [], cgroupPath: "/docker/\(id)", processes: [300], mountNamespace: nil)
            ])
        #expect(host.finder.all()[0].displayName == "4f0000000000")
    }

    @Test func hostilePathsGiveNoNames() throws {
        try host.process(300, cgroup: "0::/lxc.payload.../x\n1:name=systemd:/lxc.payload.a/../b\n")
        try host.process(301, cgroup: "0::/lxc.payload.\u{1B}]0;x\u{7}\n")
        try host.link("proc/302/cgroup", to: "cgroup")
        try host.process(303, cgroup: String(repeating: "0::/docker/", count: 1 << 17))
        #expect(host.finder.all().map(\.id) == [".."])
    }
}

@Suite struct FindTests {
    private let host: FixtureHost

    init() throws {
        host = try FixtureHost()
        try host.docker(engineID("ab12"), name: "web", pid: 900)
        try host.docker(engineID("ab34"), name: "db", pid: 910)
        try host.docker(engineID("db56"), name: nil, pid: 920)
    }

    @Test(
        arguments: [
            ("web", 900), ("ab12", 900), ("ab1", 900), ("ab3", 910), ("d", 920), ("db5", 920),
            // A name counts before the start of an ID.
            ("db", 910),
        ] as [(String, Int32)])
    func byNameOrStartOfID(query: String, pid: Int32) throws {
        #expect(try host.finder.find(query).processes == [pid])
        #expect(try host.finder.find(engineID("db56")).processes == [920])
    }

    @Test(arguments: [
        "", "we", "webs", "WEB", "/web", "ab12 ", "c", "AB12", "ab\0", engineID("ab12") + "0", "ab99",
    ])
    func anythingElseIsNone(query: String) {
        #expect(throws: ContainerFinder.FindError.none(query, running: ["db", "db5600000000", "web"])) {
            try host.finder.find(query)
        }
    }

    @Test func severalAreAmbiguous() {
        #expect(
            throws: ContainerFinder.FindError.ambiguous(
                "ab", candidates: ["db (ab3400000000)", "web (ab1200000000)"])
        ) {
            try host.finder.find("ab")
        }
    }

    @Test func oneNameOfTwoContainersIsAmbiguous() throws {
        // Podman's users each have their own names.
        let cgroup = { (id: String) in "0::/user.slice/libpod-\(id).scope\n" }
        for (index, start) in ["c1", "c2"].enumerated() {
            let pid = Int32(2000 + index)
            try host.process(pid, cgroup: cgroup(engineID(start)))
            try host.process(
                pid + 100, comm: "conmon", cmdline: ["conmon", "-c", engineID(start), "-n", "mine"])
        }
        #expect(
            throws: ContainerFinder.FindError.ambiguous(
                "mine", candidates: ["mine (c10000000000)", "mine (c20000000000)"])
        ) {
            try host.finder.find("mine")
        }
        #expect(try host.finder.find("c2").processes == [2001])
    }

    @Test func aHostNameIsFoundButCannotPassForAName() throws {
        try host.docker(engineID("ee"), name: "tools", pid: 930, environ: ["HOSTNAME=web"])
        try host.docker(engineID("ef"), name: nil, pid: 940, environ: ["PATH=/bin", "HOSTNAME=shop"])
        try host.docker(engineID("f0"), name: nil, pid: 950, environ: ["HOSTNAME=d"])
        #expect(try host.finder.find("shop").processes == [940])
        #expect(try host.finder.find("web").processes == [900])
        // Nor take the place of an ID.
        #expect(
            throws: ContainerFinder.FindError.ambiguous(
                "d", candidates: ["d (f00000000000)", "db5600000000"])
        ) {
            try host.finder.find("d")
        }
    }

    @Test func messagesSayWhatToDoInOneSentence() throws {
        typealias FindError = ContainerFinder.FindError
        #expect(
            "\(FindError.none("x", running: []))"
                == "No container \"x\" was found: this user can see none running, so start it or use root.")
        #expect(
            "\(FindError.none("x", running: ["a", "b"]))"
                == "No running container has the name or ID \"x\": name one of a, b.")
        #expect(
            "\(FindError.none("x", running: ["a", "b", "c", "d", "e", "f", "g"]))"
                == "No running container has the name or ID \"x\": name one of a, b, c, d, e and 2 more.")
        #expect(
            "\(FindError.ambiguous("a", candidates: ["web (a1)", "db (a2)"]))"
                == "\"a\" could be any of web (a1), db (a2): give a whole name or more of the ID.")
    }
}
