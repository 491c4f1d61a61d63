// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Testing

@testable import Commands

/// The text that says what to trace.
@Suite struct ProbePatternTests {
    @Test(
        arguments: [
            ("t:sched:sched_*", "tracepoint", "sched", nil),
            ("tracepoint:syscalls:sys_enter_write", "tracepoint", "syscalls", "sys_enter_write"),
            ("rt:sched_switch", "rawtracepoint", nil, "sched_switch"),
            ("kprobe:vfs_read", "kprobe", nil, "vfs_read"),
            ("p::vfs_read", "kprobe", nil, "vfs_read"),
            ("p:c:malloc", "uprobe", "c", "malloc"),
            ("u:/bin/bash:readline", "uprobe usdt", "/bin/bash", "readline"),
            ("u:/opt/a:b/app:main", "uprobe usdt", "/opt/a:b/app", "main"),
            ("uprobe:/bin/app:std::sort", "uprobe", "/bin/app", "std::sort"),
            ("usdt:libc:setjmp", "usdt", "libc", "setjmp"),
            ("c:malloc", "tracepoint uprobe usdt", "c", "malloc"),
        ] as [(String, String, String?, String?)])
    func kindScopeAndName(text: String, kinds: String, scope: String?, name: String?) throws {
        let pattern = try ProbePattern(text)
        #expect(pattern.kinds.map(\.rawValue).sorted().joined(separator: " ") == kinds)
        #expect(pattern.scope == scope)
        #expect(pattern.plainName == name)
    }

    @Test func namesMatchAsPatternsOrExpressions() throws {
        let pattern = try ProbePattern("vfs_*")
        #expect(pattern.matches("vfs_read") && !pattern.matches("xvfs_read"))
        let expression = try ProbePattern("^vfs_(read|write)$", regular: true)
        #expect(expression.matches("vfs_read") && !expression.matches("vfs_readlink"))
        #expect(expression.plainName == nil)
    }

    @Test(arguments: ["t:sched:", "c:", "", "t:sched:[a", "k:a\\"])
    func whatCannotBeReadIsRefused(text: String) {
        #expect(throws: ValidationError.self) { try ProbePattern(text) }
    }
}
