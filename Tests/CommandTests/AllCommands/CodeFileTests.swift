// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// Which file a path stands for where a process is chosen, of files that it has not mapped.
    @Suite struct CodeFileTests {
        /// A library that is here, whatever the distribution.
        private func library() throws -> String {
            let maps = try String(contentsOfFile: "/proc/self/maps", encoding: .utf8)
            let line = try #require(maps.split(separator: "\n").first { $0.hasSuffix("/libc.so.6") })
            return String(line[try #require(line.firstIndex(of: "/"))...])
        }

        @Test func aRelativePathBeginsWhereWeAre() throws {
            let folder = try TemporaryFolder()
            try FileManager.default.copyItem(atPath: library(), toPath: folder.path("copy.so"))
            let target = try Child(["sleep", "60"])
            let (path, name) = (folder.path, (folder.path as NSString).lastPathComponent)
            for relative in ["./copy.so", "../\(name)/copy.so"] {
                let result = try Finished([
                    "sh", "-c", "cd \"$0\" && exec \"$@\"", path, Harness.apus, "probes", "-p",
                    "\(target.pid)", "u:\(relative):malloc",
                ])
                #expect(result.end == .exited(0) && result.errors.isEmpty)
                #expect(result.text == "uprobe:\(relative):malloc\n")
            }
        }

        /// A link to /real/copy.so, in a root of which the process sees nothing above.
        @Test(.require(.root))
        func absoluteLinksBeginAtTheProcessesRoot() throws {
            let folder = try TemporaryFolder()
            let real = try folder.folder("real")
            try FileManager.default.copyItem(atPath: library(), toPath: real + "/copy.so")
            try #require(symlink("/real/copy.so", folder.path("link.so")) == 0)
            let pipe = try Pipe()
            let script = """
                import os, sys, time
                os.chroot(sys.argv[1])
                print("ready", flush=True)
                time.sleep(60)
                """
            let target = try Child(
                ["python3", "-c", script, folder.path], Child.Streams(output: pipe.writer, errors: 2))
            pipe.closeWriter()
            #expect(try pipe.line() == "ready")
            for path in ["/link.so", "/real/copy.so", "/real/../../link.so"] {
                let result = try Finished([
                    Harness.apus, "probes", "-p", "\(target.pid)", "u:\(path):malloc",
                ])
                #expect(result.end == .exited(0) && result.errors.isEmpty)
                #expect(result.text == "uprobe:\(path):malloc\n")
            }
        }
    }
}
