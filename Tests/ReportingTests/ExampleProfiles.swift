import Glibc
import Reporting
// SPDX-License-Identifier: Apache-2.0
import TestSupport

typealias Frame = Profile.Frame

/// Profiles for the tests, also for those in a browser.
enum ExampleProfiles {
    /// Nothing of this may act as markup, as script, or on the order of what stands around it.
    static let hostileNames = [
        "</script><script>window.hacked = 1</script>",
        "</title><svg onload=window.hacked=2>",
        "\"><img src=x onerror='window.hacked=3'>",
        "<!--<script>", "]]><script xmlns=\"http://www.w3.org/1999/xhtml\">window.hacked = 4</script>",
        "&lt;b&gt; &amp; &#60;", "'`${window.hacked=5}`", "a\u{2028}b\u{2029}c", "\u{202e}gpj.exe\u{202c}",
        "nul\u{0} bell\u{7} esc\u{1b}[31m", "new\nline;semicolon", "\u{fffe}\u{ffff}\u{85}\u{9b}", "日本語の関数名",
        "__proto__", "constructor", "operator()(int) [with T = std::vector<a&&b>]", "\\u003c\\",
        "javascript:window.hacked=6",
        "🦅 eagle", "e\u{301}",
    ]

    /// A server, as a profiler could have seen it: 1000 samples a second and CPU times.
    static func server(seed: UInt64 = 1, scale: UInt64 = 1) -> Profile {
        var profile = Profile(valueTypes: [.samples, .init(name: "cpu", unit: "nanoseconds")])
        profile.period = 1_000_000
        profile.periodType = .init(name: "cpu", unit: "nanoseconds")
        profile.durationNanoseconds = 10_000_000_000
        profile.timeNanoseconds = 1_700_000_000_000_000_000
        profile.comments = ["an example"]
        var random = SeededGenerator(seed: seed)
        for (index, stack) in serverStacks.enumerated() {
            let count = scale * UInt64.random(in: 5...400, using: &random)
            profile.add(
                [start, main] + stack, values: [count, count * 1_000_000],
                labels: [
                    .init("process", "web-server"), .init("thread", "worker \(index % 4)"),
                    .init("pid", 4242), .init("container", "shop/web"), .init("state", "running"),
                ])
        }
        profile.add(
            [Frame(.kernel, "do_idle", module: "[kernel]"), kernel("cpuidle_enter"), kernel("intel_idle")],
            values: [300 * scale, 300_000_000 * scale], labels: [.init("process", "swapper/0")])
        return profile
    }

    private static let start = Frame(
        .user, "_start", module: "/usr/bin/web-server", buildID: "aabbccdd", moduleOffset: 0x1000)
    private static let main = user("main", 0x1100, "Sources/web/main.swift", 12)

    private static func user(_ name: String, _ offset: UInt64, _ file: String, _ line: Int) -> Frame {
        Frame(
            .user, name, module: "/usr/bin/web-server", buildID: "aabbccdd", moduleOffset: offset, file: file,
            line: line)
    }

    private static func libc(_ name: String, _ offset: UInt64) -> Frame {
        Frame(.user, name, module: "/usr/lib/libc.so.6", buildID: "00112233", moduleOffset: offset)
    }

    private static func kernel(_ name: String) -> Frame {
        Frame(.kernel, name, address: 0xffff_ffff_8100_0000 + UInt64(name.utf8.count) * 64)
    }

    private static func inlined(_ name: String, _ file: String, _ line: Int) -> Frame {
        Frame(
            .inlined, name, module: "/usr/bin/web-server", buildID: "aabbccdd", file: file, line: line)
    }

    private static let serverStacks: [[Frame]] = {
        let loop = user("EventLoop.run()", 0x2000, "Sources/web/EventLoop.swift", 88)
        let handle = user(
            "RequestHandler.handle(_: HTTPRequest) async throws -> HTTPResponse", 0x2400,
            "Sources/web/Handler.swift", 140)
        let parse = user(
            "HTTPParser.parse(_: UnsafeRawBufferPointer)", 0x2800, "Sources/web/Parser.swift", 31)
        let json = user("JSONEncoder.encode<A>(_: A) -> [UInt8]", 0x3000, "Sources/json/Encoder.swift", 77)
        let append = inlined("Array.append(_:)", "stdlib/Array.swift", 1180)
        let hash = inlined("Hasher._combine(_: UInt64)", "stdlib/Hasher.swift", 301)
        let script = Frame(.jit, "LazyCompile:~render template.js:12", address: 0x7f00_1234)
        let entry = [kernel("entry_SYSCALL_64_after_hwframe"), kernel("do_syscall_64")]
        let read = [kernel("ksys_read"), kernel("vfs_read"), kernel("sock_read_iter"), kernel("tcp_recvmsg")]
        let send = [
            kernel("__x64_sys_sendto"), kernel("sock_sendmsg"), kernel("tcp_sendmsg"), kernel("tcp_push"),
            kernel("__tcp_transmit_skb"), kernel("ip_queue_xmit"), kernel("dev_queue_xmit"),
        ]
        let unnamed = Frame(.user, "", module: "/opt/lib/libvendor.so", buildID: "ff", moduleOffset: 0x99)
        return [
            [loop, handle, parse], [loop, handle, parse, hash], [loop, handle, parse, libc("memchr", 0x500)],
            [loop, handle, json], [loop, handle, json, append],
            [loop, handle, json, append, inlined("Array._reserve(_:)", "stdlib/Array.swift", 1020)],
            [loop, handle, json, append, libc("malloc", 0x700)],
            [loop, handle, json, append, libc("malloc", 0x700), libc("_int_malloc", 0x780)],
            [loop, handle, script], [loop, handle, script, libc("memcpy", 0x900)],
            [loop, handle, unnamed], [loop, libc("epoll_wait", 0xa00)] + entry + [kernel("ep_poll")],
            [loop, libc("read", 0xb00)] + entry + read,
            [loop, libc("read", 0xb00)] + entry + read + [kernel("copy_to_user")],
            [loop, handle, libc("send", 0xc00)] + entry + send,
            [loop, handle, libc("send", 0xc00)] + entry + send + [kernel("mlx5e_xmit")],
        ]
    }()

    /// Every hostile name at every place that a name can have.
    static func hostile() -> Profile {
        var profile = Profile()
        for (index, name) in hostileNames.enumerated() {
            let frame = Frame(.user, name, module: name, file: name, line: index)
            profile.add(
                [Frame(.user, "main"), frame, Frame(.kernel, name + " leaf")], values: [10],
                labels: [.init("process", name)])
        }
        return profile
    }

    /// About this many frames, in stacks of up to 60.
    static func large(frames wanted: Int) -> Profile {
        var profile = Profile(valueTypes: [.init(name: "off_cpu", unit: "nanoseconds")])
        var random = SeededGenerator(seed: 7)
        let names = (0..<20_000).map { number in
            profile.intern(
                Frame(number % 9 == 0 ? .kernel : .user, "function_number_\(number)(arguments const&)"))
        }
        var path: [Profile.FrameNumber] = []
        var made = 0
        while made < wanted {
            path.removeLast(min(path.count, Int.random(in: 0...max(1, path.count), using: &random)))
            for _ in 0..<Int.random(in: 1...8, using: &random) where path.count < 60 {
                let near = Int.random(in: 0..<names.count, using: &random)
                path.append(names[path.count < 4 ? near % 4 : near])
                made += 1
            }
            profile.add(frames: path, values: [UInt64.random(in: 1000...90_000_000, using: &random)])
        }
        return profile
    }
}

/// Writes what the test in a browser looks at into a folder.
func writeFlameGraphFiles(to folder: String) {
    func write(_ name: String, _ graph: FlameGraph) {
        let (html, svg) = (ByteWriter(), ByteWriter())
        graph.writeHTML(to: html)
        graph.writeSVG(to: svg)
        writeFile("\(folder)/\(name).html", html.bytes)
        writeFile("\(folder)/\(name).svg", svg.bytes)
    }
    var options = FlameGraph.Options()
    options.title = "web-server, 10 s"
    options.subtitle = "on CPU, 99 Hz, all threads of PID 4242"
    write("server", FlameGraph(ExampleProfiles.server(), options))
    options.value = 1
    options.icicle = true
    options.order = .value
    write("icicle", FlameGraph(ExampleProfiles.server(), options))
    options = .init()
    options.title = "Before and after <the> \"change\""
    var comparison = FlameGraph.Comparison()
    comparison.normalize = true
    (comparison.beforeName, comparison.afterName) = ("v1.2", "v1.3")
    write(
        "comparison",
        FlameGraph(
            before: ExampleProfiles.server(seed: 1, scale: 2), after: ExampleProfiles.server(seed: 9),
            comparison,
            options))
    options.title = ExampleProfiles.hostileNames.joined()
    options.subtitle = ExampleProfiles.hostileNames.joined()
    write("hostile", FlameGraph(ExampleProfiles.hostile(), options))
    options = .init()
    options.title = "Off-CPU time"
    options.palette = .offCPU
    write("large", FlameGraph(ExampleProfiles.large(frames: 200_000), options))
    options.palette = .memory
    write("memory", FlameGraph(ExampleProfiles.memory(), options))
    write("empty", FlameGraph(Profile(), options))
    write("deep", FlameGraph(ExampleProfiles.deep(), options))
}

extension ExampleProfiles {
    static func memory() -> Profile {
        var profile = Profile(valueTypes: [.init(name: "inuse_space", unit: "bytes")])
        let server = server()
        for index in 0..<server.count {
            let sample = server[index]
            profile.add(sample.frames, values: [sample.values[0] << 14], labels: sample.labels)
        }
        return profile
    }

    /// One stack of 4096 frames, beside a shallow one.
    static func deep() -> Profile {
        var profile = Profile()
        profile.add((0..<4096).map { Frame(.user, "recurse \($0)") }, values: [70])
        profile.add([Frame(.user, "shallow")], values: [30])
        return profile
    }
}

func writeFile(_ path: String, _ bytes: UnsafeRawBufferPointer) {
    guard let file = fopen(path, "w") else { return }
    fwrite(bytes.baseAddress, 1, bytes.count, file)
    fclose(file)
}
