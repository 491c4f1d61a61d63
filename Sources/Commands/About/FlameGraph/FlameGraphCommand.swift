// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import Reporting

/// A picture of folded stacks from anywhere.
package struct FlameGraphCommand: ListedCommand {
    package static let configuration = CommandConfiguration(
        commandName: "flamegraph",
        abstract: "Draw a flame graph from stacks recorded by apus or another tool.",
        discussion: """
            Reads lines of the form "frame;frame;frame count", or what profile, offcputime and memleak print with \
            --json, and writes one file that any browser opens, without the network: zoom with a click, search with / or \
            Ctrl-F. Of a recording with several reports of memleak it shows the last one.

            EXAMPLES: From a recording:

                profile -f -F 99 10 > cpu.folded
                apus flamegraph cpu.folded -o cpu.svg

            What has changed between two recordings (red has grown, blue has shrunk):

                apus flamegraph --diff before.folded after.folded -o diff.html

            The same of recordings with all that is known of frames:

                profile --json -F 99 10 > before.json
                apus flamegraph --diff before.json after.json -o diff.html
            """)

    enum Colours: String, ExpressibleByArgument, CaseIterable {
        case cpu, offcpu, memory
    }

    @Argument(
        help: ArgumentHelp(
            "A file with folded stacks or of --json; - or none: standard input. With --diff two: before, after.",
            valueName: "files"))
    package var files: [String] = []

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("The picture to write: .svg or .html by its ending.", valueName: "file"),
        transform: parsePicture)
    package var output: String

    @Flag(name: .customLong("diff"), help: "Compare two recordings; boxes are as wide as in the second.")
    package var diff = false

    @Flag(
        name: .customLong("normalize"),
        help: "With --diff: scale the first recording to the total of the second.")
    package var normalize = false

    @Option(name: .customLong("title"), help: "What stands above the picture.")
    package var title = "Flame graph"

    @Option(
        name: .customLong("colors"),
        help:
            "Palette and unit of folded counts: cpu counts samples (the default), offcpu microseconds, memory bytes."
    )
    var colours: Colours?

    @Flag(name: .customLong("icicle"), help: "Draw the root at the top.")
    package var icicle = false

    @Flag(name: .customLong("by-value"), help: "Order frames by value, not by name.")
    package var byValue = false

    package init() {}

    package mutating func validate() throws {
        guard files.count == 2 || !diff else { throw ValidationError("--diff takes two recordings.") }
        guard files.count < 2 || diff else { throw ValidationError("give one recording, or --diff for two.") }
    }

    private func options(_ type: Profile.ValueType) -> FlameGraph.Options {
        var options = FlameGraph.Options()
        options.title = title
        options.icicle = icicle
        options.order = byValue ? .value : .name
        let usual: Colours =
            type.name == "off_cpu" ? .offcpu : type.name == "inuse_space" ? .memory : .cpu
        switch colours ?? usual {
        case .cpu: options.palette = .cpu
        case .offcpu: options.palette = .offCPU
        case .memory: options.palette = .memory
        }
        return options
    }

    package func run() throws {
        let graph: FlameGraph
        if diff {
            var comparison = FlameGraph.Comparison()
            comparison.normalize = normalize
            comparison.beforeName = files[0]
            comparison.afterName = files[1]
            let (before, after) = (try read(files[0]), try read(files[1]))
            try RecordingReader.requireComparable(before, after)
            graph = FlameGraph(
                before: before, after: after, comparison, options(after.valueTypes[0]))
        } else {
            let profile = try read(files.first ?? "-")
            graph = FlameGraph(profile, options(profile.valueTypes[0]))
        }
        try writeFile(output) { output.hasSuffix(".svg") ? graph.writeSVG(to: $0) : graph.writeHTML(to: $0) }
    }

    /// Folded off-CPU time is in microseconds, as BCC's is.
    private var valueType: Profile.ValueType {
        switch colours {
        case .offcpu: Profile.ValueType(name: "off_cpu", unit: "microseconds")
        case .memory: Profile.ValueType(name: "inuse_space", unit: "bytes")
        case .cpu, nil: .samples
        }
    }

    private func read(_ path: String) throws -> Profile {
        var reader = RecordingReader(FoldedReader(valueType: valueType))
        return try reader.read(path: path, for: "flamegraph")
    }
}
