// SPDX-License-Identifier: Apache-2.0

/// What is remembered of a program that a process runs: which code is where.
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

    /// When the process began it, in nanoseconds of the monotonic clock; 0 if that was before we looked.
    let since: UInt64
    /// The process's, as `ProcessStatus` has it; nil until it was asked for.
    private(set) var startTime: UInt64?
    /// Its own, or that of the process that it was forked from.
    private(set) var perfMap: PerfMap?
    private var ownPerfMap: PerfMap?
    /// Whether another program has taken its place, or the process has ended.
    var isOver = false
    /// Whether it is to be kept when it is over.
    var isWanted = false
    /// Ascending, not overlapping.
    private var regions: [Region] = []
    private var starts: [UInt64] = []
    private var current: [Mapping] = []
    /// Frames that were found, by address and whether it is a return address, in one number.
    var cache: [UInt64: [Frame]] = [:]
    /// When the mappings were last read, in nanoseconds of the monotonic clock.
    var observedAt: UInt64 = 0

    init(since: UInt64) { self.since = since }

    /// Takes over what /proc says of the process.
    func adopt(_ status: ProcessStatus) {
        startTime = status.startTime
        let user = status.user
        let made = PerfMap(path: "/tmp/perf-\(status.innerID).map") { owner in owner == 0 || owner == user }
        ownPerfMap = made
        perfMap = perfMap ?? made
    }

    /// Opens the process's perf map, which then counts instead of that of the process it was forked from.
    /// - Parameter root: The process's, open.
    /// - Returns: Whether a file was opened.
    func openPerfMap(root: Int32) -> Bool {
        guard let own = ownPerfMap, own.open(root: root) > 0 else { return false }
        perfMap = own
        return true
    }

    /// An estimate, in bytes; what is another's counts there.
    var bytesHeld: Int { ownPerfMap?.bytesHeld ?? 0 }

    /// Starts with what another has mapped.
    func inherit(from parent: ProcessImage) {
        regions = parent.regions
        starts = parent.starts
        current = parent.current
        perfMap = parent.perfMap
    }

    /// Whether some code may be in the perf map.
    var hasOther: Bool {
        regions.contains { if case .other = $0.content { true } else { false } }
    }

    func region(at address: UInt64) -> Region? {
        let next = firstStart(above: address)
        guard next > 0, case let found = regions[next - 1], address < found.mapping.end else { return nil }
        return found
    }

    /// How many regions start at an address or below.
    private func firstStart(above address: UInt64) -> Int {
        var low = 0
        var high = starts.count
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] <= address { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Whether there is just this mapping, of a file that is as it was.
    func has(_ mapping: Mapping) -> Bool {
        guard let known = region(at: mapping.start) else { return false }
        return known.mapping == mapping && known.isUnchanged
    }

    /// Adds a mapping that was just made: it takes the place of what was there, of others as far as it covers them.
    func add(_ region: Region) {
        // A process that maps code all the time must not make us remember all of it.
        if regions.count >= Self.mostRegions {
            regions = []
            starts = []
        }
        let new = region.mapping
        var first = firstStart(above: new.start)
        if first > 0, regions[first - 1].mapping.end > new.start { first -= 1 }
        let last = firstStart(above: new.end - 1)
        var pieces = [region]
        if first < last {
            let (left, right) = (regions[first], regions[last - 1])
            if let rest = left.mapping.part(from: left.mapping.start, to: new.start) {
                pieces.insert(Region(mapping: rest, content: left.content, name: left.name), at: 0)
            }
            if let rest = right.mapping.part(from: new.end, to: right.mapping.end) {
                pieces.append(Region(mapping: rest, content: right.content, name: right.name))
            }
        }
        regions.replaceSubrange(first..<max(first, last), with: pieces)
        starts.replaceSubrange(first..<max(first, last), with: pieces.map(\.mapping.start))
    }

    private static let mostRegions = 1 << 14

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
        starts = regions.map(\.mapping.start)
    }

    /// What is mapped, and what was once and is remembered, in ascending order.
    var allRegions: [Region] { regions }

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
