// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// With a `debuginfod-find` of our own in PATH.
    @Suite struct DebuginfodTests {
        private let folder: TemporaryFolder

        init() throws { folder = try TemporaryFolder() }

        /// A program without symbols; its debug file is served by the tool that this makes.
        private func stripped(_ name: String) throws -> String {
            let program = folder.path(name)
            let whole = try Harness.program(
                name, options: ["-g", "-O1", "-fno-omit-frame-pointer", "-Wl,--build-id"])
            for words in [
                ["objcopy", "--only-keep-debug", whole, folder.path("debug")],
                ["strip", "-o", program, whole],
            ] {
                let result = try Finished(words)
                try #require(result.end == .exited(0), "\(result.errors)")
            }
            let notes = try Finished(["readelf", "-n", program]).text
            let buildID = try #require(
                notes.components(separatedBy: "Build ID: ").last?.split(separator: "\n").first)
            try makeTool("[ \"$1 $2\" = 'debuginfo \(buildID)' ] && echo \(folder.path("debug"))")
            return program
        }

        private func makeTool(_ script: String) throws {
            // By another process: what is open for writing here may be so in a child of another test, and then
            // cannot be executed.
            let result = try Finished([
                "sh", "-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh",
                "#!/bin/sh\n\(script)\n", folder.path("debuginfod-find"),
            ])
            try #require(result.end == .exited(0), "\(result.errors)")
        }

        private func run(_ words: [String]) throws -> Finished {
            let path = "PATH=\(folder.path):/usr/local/bin:/usr/bin:/bin"
            return try Finished(
                ["env", path, "DEBUGINFOD_URLS=http://localhost:1", Harness.apus] + words, patience: 60)
        }

        @Test func profileNamesWhatOnlyTheServerKnows() throws {
            let program = try stripped("burn")
            let words = ["profile", "-F", "499", "--json", "-U"]
            let without = try run(words + ["--", program, "1"])
            #expect(without.end == .exited(0) && !without.text.contains("burn_here"))
            let with = try run(words + ["--debuginfod", "--", program, "1"])
            try #require(with.end == .exited(0), "\(with.errors)")
            let stacks = try Stack.all(with.text).filter { $0.comm == "burn" }
            let samples = stacks.reduce(0) { $0 + ($1.samples ?? 0) }
            let named = stacks.filter { $0.has("burn_here") }.reduce(0) { $0 + ($1.samples ?? 0) }
            // Before main, it is loaded; how long that takes depends on what else runs.
            #expect(samples > 20 && Double(named) > 0.5 * Double(samples), "\(named) of \(samples)")
            #expect(with.text.contains("burn.c"))
        }

        @Test func memleakNamesItsLastReport() throws {
            let program = try stripped("leak")
            let words = ["memleak", "--debuginfod", "--", program, "1", "5", "keep"]
            let result = try run(words)
            try #require(result.end == .exited(0), "\(result.errors)")
            #expect(result.text.contains("leak.c:"), "\(result.text.suffix(2000))\(result.errors)")
        }

        @Test func aToolThatFailsLeavesTheReportAsItIs() throws {
            let program = try stripped("burn")
            try makeTool("echo 'Server query failed: Connection refused' >&2; exit 1")
            let result = try run(["profile", "-F", "99", "--json", "-U", "--debuginfod", "--", program, "1"])
            #expect(result.end == .exited(0))
            #expect(try !Stack.all(result.text).isEmpty)
            #expect(result.errors.contains("debuginfod-find says 'Server query failed: Connection refused'"))
        }

        @Test func aMissingToolIsSaidAtOnce() throws {
            let result = try Finished(
                ["env", "PATH=\(folder.path)", Harness.apus, "profile", "--debuginfod", "10"])
            #expect(result.end == .exited(1))
            #expect(result.errors.contains("--debuginfod needs debuginfod-find, which is not in PATH"))
        }
    }
}
