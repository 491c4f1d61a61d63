// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Processes

private let id = "4f5c2e1d0b9a8f7e6d5c4b3a29180706f5e4d3c2b1a09f8e7d6c5b4a39281706"
private let other = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
private let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice"

@Suite struct ContainerIDTests {
    @Test(arguments: [
        "/system.slice/docker-\(id).scope",
        "/docker/\(id)",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-\(id).scope",
        "/machine.slice/libpod-\(id).scope",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-\(id).scope",
        "/libpod_parent/libpod-\(id)",
        "/machine.slice/machine-libpod_pod_\(other).slice/libpod-\(id).scope",
        "/system.slice/web.service/libpod-payload-\(id)",
        "\(pod)/cri-containerd-\(id).scope",
        "\(pod)/crio-\(id).scope",
        "\(pod)/docker-\(id).scope",
        "/kubepods/besteffort/pod8a7b/\(id)",
        "/kubepods/besteffort/pod8a7b/crio-\(id)",
        "/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:\(id)",
        "/system.slice/nerdctl-\(id).scope",
        "/default/\(id)",
        "/ecs/task-1/\(id)",
        "/../docker-\(id).scope",
    ])
    func enginesContainer(cgroup: String) throws {
        for inner in ["", "/container", "/init.scope", "/system.slice/a.service", "/"] {
            let found = try #require(containerID(inCgroupPath: cgroup + inner))
            #expect(found.id == id)
            #expect(found.cgroup == cgroup)
        }
    }

    @Test(arguments: [
        ("/lxc.payload.web", "web", "/lxc.payload.web"),
        ("/lxc.payload.web/system.slice/cron.service", "web", "/lxc.payload.web"),
        (
            "/user.slice/user-1000.slice/lxc.payload.web/init.scope", "web",
            "/user.slice/user-1000.slice/lxc.payload.web"
        ),
        ("/lxc.payload/web", "web", "/lxc.payload/web"),
        ("/lxc/101/ns/init.scope", "101", "/lxc/101"),
        ("/machine.slice/machine-deb.scope", "deb", "/machine.slice/machine-deb.scope"),
        (
            "/machine.slice/machine-my\\x2ddeb\\x2d2.scope", "my-deb-2",
            "/machine.slice/machine-my\\x2ddeb\\x2d2.scope"
        ),
        (
            "/machine.slice/machine-deb.scope/payload/init.scope", "deb",
            "/machine.slice/machine-deb.scope/payload"
        ),
        (
            "/machine.slice/systemd-nspawn@deb.service/payload", "deb",
            "/machine.slice/systemd-nspawn@deb.service/payload"
        ),
    ])
    func machine(path: String, name: String, cgroup: String) throws {
        let found = try #require(containerID(inCgroupPath: path))
        #expect(found.id == name)
        #expect(found.cgroup == cgroup)
    }

    @Test func ofContainersInContainersTheInnermostCounts() throws {
        let outer = "/docker/\(other)"
        #expect(containerID(inCgroupPath: "\(outer)/docker/\(id)")?.id == id)
        #expect(containerID(inCgroupPath: "\(outer)\(pod)/cri-containerd-\(id).scope")?.id == id)
        #expect(containerID(inCgroupPath: "/lxc/101/docker/\(id)/x")?.id == id)
        // What runs a container runs in the one around it.
        let found = try #require(
            containerID(inCgroupPath: "\(outer)/machine.slice/libpod-conmon-\(id).scope"))
        #expect(found.id == other)
        #expect(found.cgroup == outer)
        #expect(
            containerID(inCgroupPath: "/lxc.payload.a/machine.slice/machine-b.scope/supervisor")?.id == "a")
    }

    @Test(arguments: [
        "/", "", "//", "/init.scope", "/user.slice/user-1000.slice/session-1.scope",
        "/system.slice/containerd.service", "/system.slice/docker.service", "/system.slice/lxc.service",
        "\(pod)/crio-conmon-\(id).scope", "/machine.slice/libpod-conmon-\(id).scope", "/libpod_parent/conmon",
        "machine.slice:libpod-conmon:\(id)", "/machine.slice:libpod-conmon:\(id)",
        "/machine.slice/machine-libpod_pod_\(id).slice", pod, "/lxc.monitor.web", "/lxc.monitor/web",
        "/lxc.pivot",
        "/lxc", "/lxc/", "/lxc.payload.", "/lxc.payload", "/machine.slice/machine-.scope",
        "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", "/machine.slice/machine-deb.scope/supervisor",
        "/machine.slice/machine-a\\x2.scope", "/machine.slice/machine-a\\x.scope",
        "/machine.slice/machine-\\x00.scope",
        "/machine.slice/machine-a\\x2fb.scope", "/machine.slice/machine-a\\x1bb.scope",
        "/machine.slice/machine-a\\y.scope",
        "/system.slice/docker-\(id.dropLast()).scope", "/system.slice/docker-\(id)0.scope",
        "/system.slice/docker-\(id.uppercased()).scope", "/system.slice/docker-\(id).slice",
        "/docker/\(id).scope",
        "/docker/\(id) (deleted)", "/docker/g\(id.dropFirst())", "/-\(id)", "/:\(id)", "/x\(id)",
        "docker/\(id)",
        "/system.slice/\(id).service", "/lxc.payload.a\u{1B}[2J", "/lxc/é", "/lxc.payload.a b", "\0",
        "/\0/\0",
        "/process_api/e5d07e13865ea64d199242549b654380",
    ])
    func noContainer(path: String) {
        #expect(containerID(inCgroupPath: path) == nil)
    }

    @Test func pathsOfAnyLengthEnd() {
        #expect(
            containerID(inCgroupPath: "/" + String(repeating: "machine-\\x2d", count: 20_000) + ".scope")
                == nil)
        #expect(containerID(inCgroupPath: String(repeating: "/lxc", count: 20_000))?.id == "lxc")
        #expect(containerID(inCgroupPath: "/lxc.payload." + String(repeating: "a", count: 256)) == nil)
        #expect(containerID(inCgroupPath: "/lxc.payload." + String(repeating: "a", count: 255)) != nil)
        let deep = "/docker/\(id)" + String(repeating: "/a", count: 50_000)
        #expect(containerID(inCgroupPath: deep)?.id == id)
    }
}
