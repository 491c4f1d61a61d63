// SPDX-License-Identifier: Apache-2.0
internal import Arithmetic
internal import CBPFPrograms
internal import Reporting
internal import Symbolization

/// What is left as a flame graph, and as a profile for pprof.
struct MemleakPictures {
    private let options: Memleak
    private var profile: Profile
    private var isEstimate: Bool { options.sampleBytes != nil }
    /// Totals are of samples: what the rest of them was cannot be told from sums.
    private var hasTotals: Bool { !isEstimate }

    init(_ options: Memleak) {
        self.options = options
        // The value types of Go's heap profiles, which its tools know.
        let types =
            (options.sampleBytes == nil ? [("alloc_objects", "count"), ("alloc_space", "bytes")] : [])
            + [("inuse_objects", "count"), ("inuse_space", "bytes")]
        profile = Profile(valueTypes: types.map { Profile.ValueType(name: $0.0, unit: $0.1) })
        profile.timeNanoseconds = UInt64(max(0, WallClock().nowUnixNanoseconds))
    }

    /// Adds what a report has found last, of a process among others below a frame that stands for it.
    mutating func add(_ report: MemleakReport) {
        let missing = profile.intern(Profile.Frame(.marker, "[stack missing]"))
        var root: Profile.FrameNumber?
        if let title = report.title, let process = report.process {
            root = profile.intern(Profile.Frame(.marker, "\(title.comm)-\(process)"))
        }
        var known: [NamedStacks.Part: [Profile.FrameNumber]] = [:]
        for sum in report.sums {
            var frames: [Profile.FrameNumber] = []
            for part in report.stacks.parts(of: sum.stack) {
                if let numbers = known[part] {
                    frames += numbers
                } else {
                    let numbers = report.stacks[part].map { profile.intern($0.forProfile) }
                    known[part] = numbers
                    frames += numbers
                }
            }
            if frames.isEmpty { frames = [missing] }
            if let root { frames.append(root) }
            let inUse = [UInt64(max(0, report.whole(sum.count))), UInt64(max(0, report.whole(sum.bytes)))]
            let all = [max(sum.total.allocated, inUse[0]), max(sum.total.allocated_bytes, inUse[1])]
            profile.add(frames: frames.reversed(), values: (hasTotals ? all : []) + inUse)
        }
    }

    /// Writes the files that were asked for.
    func write() throws {
        if let path = options.pictures.flameGraph {
            var graph = FlameGraph.Options()
            graph.title = isEstimate ? "Memory in use (estimated)" : "Memory in use"
            graph.value = profile.valueTypes.count - 1
            graph.palette = .memory
            let picture = FlameGraph(profile, graph)
            try writeFile(path) {
                path.hasSuffix(".svg") ? picture.writeSVG(to: $0) : picture.writeHTML(to: $0)
            }
        }
        if let path = options.pictures.pprof {
            try writeFile(path) { try profile.writePprof(to: $0, defaultValue: profile.valueTypes.count - 1) }
        }
    }
}
