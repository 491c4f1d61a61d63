// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// What a program's debug information names lies in the root of its process. Under the same names in our own root
    /// there are decoys, which no checksum or ID tells apart: other names in the same bytes.
    @Suite struct ContainerFileTests {
        private let folder: TemporaryFolder
        /// Where the program was built, as it sees it.
        private var work: String { folder.path("work") }

        init() throws { folder = try TemporaryFolder() }

        enum Kind: String, CaseIterable {
            case dwo, dwp, dwz, debuglink
        }

        enum Root: String, CaseIterable {
            case mountNamespace, chroot
        }

        private func shell(_ script: String) throws {
            let result = try Finished(["sh", "-ec", "cd \(work) && \(script)"], patience: 60)
            guard result.end == .exited(0) else { throw HarnessError("\(script): \(result.errors)") }
        }

        /// Builds the program, and gives the names of the files that its inlined function's name is in.
        private func build(_ kind: Kind) throws -> [String] {
            let source = try Harness.source("keeper.c")
            let cc = "cc -O1 -gdwarf-4 -Wl,--build-id=none"
            switch kind {
            case .dwo, .dwp:
                try shell("\(cc) -gsplit-dwarf -c \(source) -o keeper.o && \(cc) -static keeper.o -o keeper")
                guard kind == .dwp else { return ["keeper.dwo"] }
                try shell("dwp -e keeper -o keeper.dwp && rm keeper.dwo")
                return ["keeper.dwp"]
            case .dwz:
                try shell(
                    "\(cc) -g \(source) -static -o keeper && cp keeper other && dwz -m common -M common keeper other"
                )
                return ["common"]
            case .debuglink:
                try shell(
                    """
                    \(cc) -g \(source) -static -o keeper && objcopy --only-keep-debug keeper keeper.debug \
                    && objcopy --strip-debug --add-gnu-debuglink=keeper.debug keeper
                    """)
                return ["keeper.debug"]
            }
        }

        /// Builds the program, moves all to where only the process sees it under its name, and leaves decoys there.
        ///
        /// - Returns: the command that runs it.
        private func prepare(_ kind: Kind, _ root: Root) throws -> (
            words: [String], real: String, files: [String]
        ) {
            try FileManager.default.createDirectory(atPath: work, withIntermediateDirectories: true)
            let files = try build(kind)
            let inner = root == .chroot ? folder.path("root") + work : folder.path("real")
            try shell("mkdir -p \(inner) && mv * \(inner)/")
            for name in files {
                var bytes = try Data(contentsOf: URL(fileURLWithPath: inner + "/" + name))
                var places = 0
                while let place = bytes.range(of: Data("real_inline".utf8)) {
                    bytes.replaceSubrange(place, with: Data("fake_inline".utf8))
                    places += 1
                }
                try #require(places > 0, "\(name) does not have the name")
                try bytes.write(to: URL(fileURLWithPath: work + "/" + name))
            }
            let words =
                switch root {
                case .chroot: ["chroot", folder.path("root"), work + "/keeper"]
                case .mountNamespace:
                    [
                        "unshare", "--mount", "sh", "-c",
                        "mount --bind \(inner) \(work) && exec \(work)/keeper",
                    ]
                }
            return (words, inner, files)
        }

        /// The frames of the blocks that it keeps.
        private func frames(_ words: [String]) throws -> [LeakRow.Frame] {
            let run = try Attached(words, ["1000", "-o", "0"])
            try run.sendLine()
            try run.waitUntilItPrints("done")
            let stacks = try LeakRow.last(try run.interrupt()).filter { $0.has("keep_block") }
            #expect(stacks.reduce(0) { $0 + ($1.allocations ?? 0) } == 5)
            return stacks.flatMap { $0.frames ?? [] }
        }

        @Test(
            .require(.root), .require(.tool("dwz")), .require(.tool("dwp")), .require(.tool("unshare")),
            arguments: Kind.allCases, Root.allCases)
        func filesOfTheProcessesRoot(kind: Kind, root: Root) throws {
            let (words, _, _) = try prepare(kind, root)
            let functions = try frames(words).compactMap(\.function)
            #expect(functions.contains("real_inline"))
            #expect(!functions.contains("fake_inline"))
        }

        /// Absolute links mean that root as well.
        @Test(.require(.root)) func linksInTheProcessesRoot() throws {
            let (words, real, files) = try prepare(.dwo, .chroot)
            let name = try #require(files.first)
            let away = folder.path("away")
            try shell(
                """
                mkdir -p \(away) \(folder.path("root"))\(away) && mv \(name) \(away) \
                && mv \(real)/\(name) \(folder.path("root"))\(away)/ && ln -s \(away)/\(name) \(real)/\(name)
                """)
            let functions = try frames(words).compactMap(\.function)
            #expect(functions.contains("real_inline") && !functions.contains("fake_inline"))
        }

        /// What is no file is not opened, and nothing else is taken for it.
        @Test(
            .require(.root),
            arguments: [
                "mkfifo NAME", "mknod NAME c 1 5", "mkdir NAME", "ln -s keeper.dwo NAME",
                "ln -s /dev/zero NAME",
                "ln -s ../../../../../../../../etc NAME", "true",
            ])
        func whatIsNoFile(how: String) throws {
            let (words, real, files) = try prepare(.dwo, .chroot)
            let name = real + "/" + (try #require(files.first))
            try shell("rm \(name) && " + how.replacingOccurrences(of: "NAME", with: name))
            let functions = try frames(words).compactMap(\.function)
            #expect(!functions.contains("real_inline") && !functions.contains("fake_inline"))
        }
    }
}
