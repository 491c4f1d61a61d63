// SPDX-License-Identifier: Apache-2.0

/// What is remembered of a process: which code is where.
final class ProcessImage {
    /// What is mapped somewhere.
    enum Content {
        case module(Module)
        /// A file that could not be opened or is no ELF file, or memory without a file: code from a perf map, if
        /// any.
        case other
        /// The page of system calls of old (arch/x86/entry/vsyscall), which cannot be read.
        case vsyscall
    }

    /// A mapping, and what is known of it. A class, so that to find one copies nothing.
    final class Region {
        let mapping: Mapping
        let content: Content
        /// To show.
        let name: String

        init(mapping: Mapping, content: Content, name: String) {
            self.mapping = mapping
            self.content = content
            self.name = name
        }

        /// Whether its file is as it was.
        fileprivate var isUnchanged: Bool {
            if case .module(let module) = content { module.isUnchanged } else { true }
        }
    }

    let startTime: UInt64?
    let perfMap: PerfMap
    /// Ascending, not overlapping.
    private var regions: [Region] = [] {
        didSet { starts = regions.map(\.mapping.start) }
    }
    private var starts: [UInt64] = []
    private var current: [Mapping] = []
    /// Frames that were found, by address and whether it is a return address, in one number.
    var cache: [UInt64: [Frame]] = [:]
    /// When the mappings were last read, in nanoseconds of the monotonic clock.
    var observedAt: UInt64 = 0

    init(process: Int32, status: ProcessStatus) {
        startTime = status.startTime
        let user = status.user
        perfMap = PerfMap(path: "/tmp/perf-\(status.innerID).map") { owner in owner == 0 || owner == user }
    }

    /// Whether some code may be in the perf map.
    var hasOther: Bool {
        regions.contains { if case .other = $0.content { true } else { false } }
    }

    func region(at address: UInt64) -> Region? {
        var low = 0
        var high = starts.count
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0, case let found = regions[low - 1], address < found.mapping.end else { return nil }
        return found
    }

    /// Takes over new mappings. Old ones that they leave room for stay, for addresses that were recorded before.
    ///
    /// - Parameter make: Makes the region of a mapping that is not known.
    func update(_ mappings: [Mapping], make: (Mapping) -> Region) {
        guard mappings != current || hasChangedFiles else { return }
        let known = Dictionary(regions.map { ($0.mapping, $0) }, uniquingKeysWith: { first, _ in first })
        let new = mappings.map { mapping in
            if let region = known[mapping], region.isUnchanged { region } else { make(mapping) }
        }
        current = mappings
        cache = [:]
        regions = merged(new)
    }

    /// What is mapped now, without what is only remembered.
    var currentRegions: [Region] {
        let now = Set(current)
        return regions.filter { now.contains($0.mapping) }
    }

    private var hasChangedFiles: Bool { regions.contains { !$0.isUnchanged } }

    private func merged(_ new: [Region]) -> [Region] {
        // A process that maps and unmaps code all the time must not make us remember all of it.
        guard regions.count < 2 * new.count + 1024 else { return new }
        var result: [Region] = []
        var next = 0
        for old in regions {
            while next < new.count, new[next].mapping.end <= old.mapping.start {
                result.append(new[next])
                next += 1
            }
            if next < new.count, new[next].mapping.start < old.mapping.end { continue }
            result.append(old)
        }
        return result + new[next...]
    }
}
