// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Processes

/// Text of /proc and of container runtimes in which every field may be anything.
///
/// Short; APUS_FUZZ_SECONDS=20 goes on for that long for each, APUS_FUZZ_SEED=1 and so on elsewhere.
@Suite(.serialized) struct HostileTextTests {
    private static let environment = ProcessInfo.processInfo.environment
    private let seconds = Double(environment["APUS_FUZZ_SECONDS"] ?? "") ?? 0
    private let seed = UInt64(environment["APUS_FUZZ_SEED"] ?? "") ?? 42

    /// Fields put in the place of those of a line, one after the other, and damaged bytes.
    private func fuzz(_ lines: [String], separators: String, _ body: ([UInt8]) throws -> Void) rethrows {
        var random = SeededGenerator(seed: seed)
        let end = ProcessInfo.processInfo.systemUptime + seconds / 3
        let parts = [
            "", "-", "/", "\\", "\\040", "\\777", "\\0", "+1", "-1", "4294967296", "18446744073709551616",
            "\0",
            "\u{fffd}", "é", "99999999999999999999999999", "..", "\"", "\\u", "\\ud800\\udc0", "{", "[", "}",
            String(repeating: "a", count: 64), "docker-" + String(repeating: "0", count: 64) + ".scope",
            "machine-\\x2d\\x.scope", "k8s_a_b_c_d_e", String(repeating: "/", count: 300),
        ]
        var round = 0
        while round < 2000 || ProcessInfo.processInfo.systemUptime < end {
            var line = lines[random.below(lines.count)]
            for _ in 0..<random.below(4) {
                var fields = line.split(omittingEmptySubsequences: false) { separators.contains($0) }
                    .map(String.init)
                fields[random.below(fields.count)] = parts[random.below(parts.count)]
                line = fields.joined(separator: String(separators.first ?? " "))
            }
            var bytes = Array(line.utf8)
            if random.below(3) == 0, !bytes.isEmpty { random.damage(&bytes) }
            try body(bytes)
            round += 1
        }
    }

    @Test func mounts() {
        fuzz(
            ["36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"],
            separators: " ,"
        ) { bytes in
            if let mount = Mount(line: bytes[...]) { #expect(!mount.mountPoint.isEmpty) }
        }
    }

    @Test func cgroups() {
        let id = String(repeating: "0123456789abcdef", count: 4)
        fuzz(
            [
                "0::/system.slice/docker-\(id).scope", "1:name=systemd:/lxc/one/payload",
                "4:cpu,cpuacct:/kubepods.slice/cri-containerd:\(id)",
                "0::/machine.slice/machine-a\\x2db.scope",
            ], separators: "/:,-"
        ) { bytes in
            guard let membership = CgroupMembership(line: bytes[...]),
                let found = containerID(inCgroupPath: membership.path)
            else { return }
            #expect(isPlainName(found.id) && membership.path.utf8.starts(with: found.cgroup.utf8))
        }
    }

    @Test func names() {
        fuzz(
            ["{\"a\": {\"Name\": \"no\"}, \"b\": [\"\\u00e9\", 1], \"Name\" : \"/yes\", \"c\": null}"],
            separators: " ,:\""
        ) { bytes in _ = topLevelName(inJSON: bytes) }
        // As deep as a file is long.
        for part in ["{", "[", "{\"", "\\", "\"\\u", "{\"Name\":"] {
            let text = "{" + String(repeating: part, count: 200_000)
            _ = topLevelName(inJSON: Array(text.utf8))
        }
    }

    /// Files of processes, in a directory as /proc is.
    @Test func processes() throws {
        let host = try FixtureHost()
        let proc = ProcFS(root: host.path)
        try fuzz(
            ["Name:\tx\nTgid:\t7\nPPid:\t1\nNSpid:\t7\t1\nCapEff:\t000001ffffffffff\nUid:\t0\t0\t0\t0\n"],
            separators: "\t\n:"
        ) { bytes in
            try host.write("7/status", bytes)
            _ = (proc.identity(of: 7), proc.parent(of: 7), proc.effectiveCapabilities(of: 7))
            #expect(proc.namespaceIDs(of: 7).count <= 33)
        }
    }
}
