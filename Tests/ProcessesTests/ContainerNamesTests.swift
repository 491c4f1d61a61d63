// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Processes

@Suite struct ContainerNamesTests {
    private let host: FixtureHost
    private let id = engineID("4f5c2e1d0b9a")

    init() throws { host = try FixtureHost() }

    /// The names of the one container, which has this first process.
    private func names(cgroup: String? = nil, environ: [String] = []) throws -> [String] {
        try host.process(900, cgroup: cgroup ?? "0::/docker/\(id)\n", environ: environ)
        let all = host.finder.all()
        try #require(all.count == 1)
        return all[0].names
    }

    private func writeDockerConfiguration(_ bytes: some Sequence<UInt8>) throws {
        try host.write("var/lib/docker/containers/\(id)/config.v2.json", bytes)
    }

    @Test func dockersOwnName() throws {
        try writeDockerConfiguration(
            #"{"StreamConfig":{},"Config":{"Name":"no","Env":["Name=\"x\""]},"Name":"/blog_db-1","Driver":"overlay2"}"#
                .utf8)
        #expect(try names() == ["blog_db-1"])
    }

    @Test(arguments: [
        "", "{", "garbage", #"{"Name":""}"#, #"{"Name":"/"}"#, #"{"Name":"/a b"}"#,
        #"{"Name":"/a\u001b[2J"}"#,
        #"{"Name":"/../x"}"#, #"{"Name":"/a\u0000"}"#, #"{"Name":"é"}"#, "\0\0\0\0",
    ])
    func aDamagedConfigurationGivesNoName(json: String) throws {
        try writeDockerConfiguration(json.utf8)
        #expect(try names() == [])
    }

    @Test func aHugeConfigurationIsReadToALimit() throws {
        let padding = String(repeating: " ", count: 4 << 20)
        try writeDockerConfiguration(#"{"Name":"/web","#.utf8 + Array(padding.utf8))
        #expect(try names() == ["web"])
        try writeDockerConfiguration("{\(padding)\"Name\":\"/web\"}".utf8)
        #expect(try names() == [])
    }

    @Test func aLinkThatLoopsGivesNoName() throws {
        try host.link("var/lib/docker/containers/\(id)", to: id)
        #expect(try names() == [])
    }

    @Test(arguments: [
        [
            "/usr/bin/conmon", "--api-version", "1", "-c", "ID", "-u", "ID", "-r", "/usr/bin/crun", "-n",
            "web", "-s",
        ],
        ["conmon", "--name", "web", "--cid", "ID"],
    ])
    func podmansName(arguments: [String]) throws {
        try host.process(
            880, cgroup: "0::/machine.slice/libpod-conmon-\(id).scope\n", comm: "conmon",
            cmdline: arguments.map { $0 == "ID" ? id : $0 })
        #expect(try names(cgroup: "0::/machine.slice/libpod-\(id).scope/container\n") == ["web"])
    }

    @Test(arguments: [
        [], ["conmon"], ["conmon", "-c"], ["conmon", "-c", "ID"], ["conmon", "-c", "ID", "-n"],
        ["conmon", "-n", "web"], ["conmon", "-c", "4f5c", "-n", "web"], ["conmon", "-c", "ID", "-n", ""],
        ["conmon", "-c", "ID", "-n", "a\u{1B}b"], ["conmon", "-c", "ID", "-n", "a/b"],
    ])
    func otherCommandLinesOfConmonGiveNoName(arguments: [String]) throws {
        try host.process(880, comm: "conmon", cmdline: arguments.map { $0 == "ID" ? id : $0 })
        #expect(try names() == [])
    }

    @Test func aConmonInsideAContainerOrOfAnotherNameIsNotBelieved() throws {
        let line = ["conmon", "-c", id, "-n", "forged"]
        try host.process(880, cgroup: "0::/docker/\(id)\n", comm: "conmon", cmdline: line)
        try host.process(881, comm: "conmon2", cmdline: line)
        #expect(try names() == [])
    }

    @Test func kubernetesNamesFromTheLinksToLogs() throws {
        let folder = "var/log/containers"
        try host.link("\(folder)/shop-7d9_prod_app-\(id).log", to: "/var/log/pods/gone")
        for entry in [
            "shop-7d9_prod_forged-\(id).txt", "two_parts-\(id).log", "a_b_c_d-\(id).log", "-\(id).log",
            "\(id).log",
            "a_b_c-\(engineID("99")).log", "a_b_c.log", "a__c-\(id).log",
        ] {
            try host.write("\(folder)/\(entry)", "")
        }
        let cgroup = "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-\(id).scope\n"
        // The malformed entries name the same container, so whichever comes last must not undo the good one.
        #expect(
            try names(cgroup: cgroup, environ: ["HOSTNAME=shop-7d9"]) == [
                "shop-7d9/app", "prod/shop-7d9/app", "shop-7d9",
            ])
        #expect(try host.finder.find("shop-7d9/app").displayName == "shop-7d9/app")
    }

    @Test func aPodsNameIsItsContainersNotThatOfItsPauseContainer() throws {
        try host.link("var/log/containers/shop_prod_app-\(id).log", to: "x")
        _ = try names(cgroup: "0::/kubepods/pod1/\(id)\n", environ: ["HOSTNAME=shop"])
        try host.process(890, cgroup: "0::/kubepods/pod1/\(engineID("01"))\n", environ: ["HOSTNAME=shop"])
        #expect(host.finder.all().count == 2)
        #expect(try host.finder.find("shop").id == id)
    }

    @Test func kubernetesNamesFromTheNameCRIOGives() throws {
        let name = "k8s_app_shop-7d9_prod_3f1c-aa_0"
        try host.process(880, comm: "conmon", cmdline: ["conmon", "-c", id, "-n", name])
        #expect(
            try names(cgroup: "0::/kubepods.slice/crio-\(id).scope\n") == [
                "shop-7d9/app", "prod/shop-7d9/app", "shop-7d9", name,
            ])
        #expect(ContainerNames.kubernetes(inEngineName: "k8s_POD_shop_prod_3f1c_0") == [])
        #expect(ContainerNames.kubernetes(inEngineName: "blog_db_1") == [])
        #expect(ContainerNames.kubernetes(inEngineName: "k8s_a_b_c_d_e_f") == [])
        #expect(ContainerNames.kubernetes(inEngineName: "k8s_____") == [])
    }

    @Test func theHostNameOfTheFirstProcess() throws {
        #expect(
            try names(environ: ["PATH=/bin", "XHOSTNAME=no", "HOSTNAME=shop", "HOSTNAME=later"]) == ["shop"])
    }

    @Test(arguments: [
        "", "4f5c2e1d0b9a", "a b", "a/b", "a\u{1B}[2J", "thishost", String(repeating: "a", count: 256),
    ])
    func aHostNameThatSaysNothingIsNoName(hostName: String) throws {
        try host.write("proc/sys/kernel/hostname", "thishost\n")
        #expect(try names(environ: ["HOSTNAME=\(hostName)"]) == [])
    }

    @Test func aCutEnvironmentGivesNoCutName() throws {
        let padding = String(repeating: "x", count: (1 << 18) - "HOSTNAME=sh".utf8.count - 1)
        #expect(try names(environ: [padding, "HOSTNAME=shop"]) == [])
        #expect(try names(environ: ["HOSTNAME=shop", padding]) == ["shop"])
        #expect(try names(environ: [String(repeating: "x", count: 1 << 19)]) == [])
    }

    @Test func oneNameFromSeveralPlacesIsGivenOnce() throws {
        try writeDockerConfiguration(#"{"Name":"/web"}"#.utf8)
        #expect(try names(environ: ["HOSTNAME=web"]) == ["web"])
    }
}
