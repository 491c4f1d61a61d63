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
        /// Since when it is known, in nanoseconds of the monotonic clock.
        fileprivate(set) var since: UInt64 = 0

        init(mapping: Mapping, content: Content, name: String) {
            self.mapping = mapping
            self.content = content
            self.name = name
        }

        /// Whether an address in both stands for the same.
        func hasSameCode(as other: Region) -> Bool {
            switch (content, other.content) {
            case (.module(let one), .module(let another)):
                one === another && mapping.bias == other.mapping.bias
            case (.other, .other):
                // Code made at run time is named by what its maker says of it.
                mapping.inode == 0 && other.mapping.inode == 0
                    || (mapping.isOfSameFile(as: other.mapping) && mapping.bias == other.mapping.bias)
            case (.vsyscall, .vsyscall): true
            default: false
            }
        }

        fileprivate func piece(_ part: Mapping) -> Region {
            let piece = Region(mapping: part, content: content, name: name)
            piece.since = since
            return piece
        }

        /// Whether its file is as it was.
        fileprivate var isUnchanged: Bool { module?.isUnchanged ?? true }

        fileprivate var module: Module? { if case .module(let module) = content { module } else { nil } }
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
    /// What other code has taken the place of.
    private var former = FormerCode()
    /// Tells what addresses stand for from what they stood for before other code took its place: 0 until there is
    /// need to.
    var meaning: UInt32 = 0
    /// Frames that were found, by address and whether it is a return address, in one number.
    private var cache: [UInt64: [Frame]] = [:]
    /// The same of former times, by the moment.
    private var formerCache: [UInt64: [UInt64: [Frame]]] = [:]
    private(set) var cachedFrames = 0
    /// When the mappings were last read, in nanoseconds of the monotonic clock.
    var observedAt: UInt64 = 0
    /// How long that took, in nanoseconds.
    var observationTook: UInt64 = 0

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
        meaning = parent.meaning
    }

    /// Whether some code may be in the perf map.
    var hasOther: Bool {
        regions.contains { if case .other = $0.content { true } else { false } }
    }

    /// When code last took the place of other code, up to a time: what addresses stand for has not changed from then
    /// to that time. When the program began if that was never.
    func moment(at time: UInt64) -> UInt64 { max(since, former.lastChange(upTo: time)) }

    /// The moment of a time, if other code has taken the place of some since; nil if all is as it was.
    func formerMoment(at time: UInt64) -> UInt64? {
        former.lastChange(upTo: .max) > time ? moment(at: time) : nil
    }

    /// - Parameter time: in nanoseconds of the monotonic clock; nil for now.
    func region(at address: UInt64, time: UInt64?) -> Region? {
        time.flatMap { former.region(at: address, time: $0) } ?? region(at: address)
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

    /// Where the program has copied a file's code onto memory of its own, as of the last look.
    var copies: Set<UInt64> = []
    /// How often the process was looked at to see whether it had copied code.
    var copyLooks = 0
    static let mostCopyLooks = 16

    /// Whether a mapping of the program's own memory is known to hold a copy of a file's code.
    func isCopy(_ mapping: Mapping) -> Bool {
        guard copies.contains(mapping.start), let known = region(at: mapping.start),
            case .module = known.content
        else { return false }
        return known.mapping.start == mapping.start && known.mapping.end == mapping.end
    }

    /// Whether a file's code is at an address, or was.
    func hadModule(at address: UInt64) -> Bool {
        [region(at: address), former.lastRegion(at: address)].contains { $0?.module != nil }
    }

    /// Whether there is just this mapping, of a file that is as it was.
    func has(_ mapping: Mapping) -> Bool {
        guard let known = region(at: mapping.start) else { return false }
        return known.mapping == mapping && known.isUnchanged
    }

    /// Notes that a mapping which was found by a look at the process was made at a time, earlier than that.
    ///
    /// - Parameter mapping: which there is.
    func date(_ mapping: Mapping, at time: UInt64) {
        guard let known = region(at: mapping.start), known.since > time else { return }
        former.date(changes: known.since, in: mapping, at: time)
        known.since = time
    }

    /// Adds a mapping that was just made: it takes the place of what was there, of others as far as it covers them.
    ///
    /// - Returns: whether an address may stand for something else than before.
    func add(_ region: Region, at time: UInt64) -> Bool {
        region.since = time
        // What a look has shown is no longer all that is known.
        current = []
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
        var hasChanged = false
        for old in regions[first..<max(first, last)] where !old.hasSameCode(as: region) {
            guard
                let part = old.mapping.part(
                    from: max(old.mapping.start, new.start), to: min(old.mapping.end, new.end))
            else { continue }
            former.add(Region(mapping: part, content: old.content, name: old.name), until: time)
            hasChanged = true
        }
        if first < last {
            let (left, right) = (regions[first], regions[last - 1])
            if let rest = left.mapping.part(from: left.mapping.start, to: new.start) {
                pieces.insert(left.piece(rest), at: 0)
            }
            if let rest = right.mapping.part(from: new.end, to: right.mapping.end) {
                pieces.append(right.piece(rest))
            }
        }
        regions.replaceSubrange(first..<max(first, last), with: pieces)
        starts.replaceSubrange(first..<max(first, last), with: pieces.map(\.mapping.start))
        return hasChanged
    }

    private static let mostRegions = 1 << 17

    /// Takes over new mappings. Old ones that they leave room for stay, for addresses that were recorded before.
    ///
    /// - Parameters:
    ///   - time: of the look, in nanoseconds of the monotonic clock.
    ///   - make: makes the region of a mapping that is not known.
    /// - Returns: whether an address may stand for something else than before.
    func update(_ mappings: [Mapping], at time: UInt64, make: (Mapping) -> Region) -> Bool {
        let changed = changedFiles
        guard mappings != current || !changed.isEmpty else { return false }
        let new = mappings.filter { mapping in
            guard let known = region(at: mapping.start), known.mapping == mapping else { return true }
            return known.module.map { changed.contains(ObjectIdentifier($0)) } ?? false
        }.map(make)
        forgetFrames()
        // A process that maps and unmaps code all the time must not make us remember all of it.
        if regions.count + new.count >= 2 * mappings.count + 1024 {
            let mapped = Set(mappings)
            regions.removeAll { !mapped.contains($0.mapping) }
            starts = regions.map(\.mapping.start)
        }
        var hasChanged = false
        for region in new where add(region, at: time) { hasChanged = true }
        current = mappings
        return hasChanged
    }

    /// What is mapped, and what was once and is remembered, in ascending order.
    var allRegions: [Region] { regions }

    /// Modules whose files are not as they were; each is asked for once, however often it is mapped.
    private var changedFiles: Set<ObjectIdentifier> {
        var modules: [ObjectIdentifier: Module] = [:]
        for module in regions.lazy.compactMap(\.module) { modules[ObjectIdentifier(module)] = module }
        return Set(modules.lazy.filter { !$0.value.isUnchanged }.map(\.key))
    }
}

/// Frames that were found.
extension ProcessImage {
    /// - Parameters:
    ///   - key: an address, and whether it is a return address.
    ///   - moment: nil for now.
    func cached(_ key: UInt64, at moment: UInt64?) -> [Frame]? {
        guard let moment else { return cache[key] }
        return formerCache[moment]?[key]
    }

    func cache(_ frames: [Frame], _ key: UInt64, at moment: UInt64?) {
        let known: [Frame]?
        if let moment {
            known = formerCache[moment, default: [:]].updateValue(frames, forKey: key)
        } else {
            known = cache.updateValue(frames, forKey: key)
        }
        if known == nil { cachedFrames += 1 }
    }

    /// Forgets those of now, because what is mapped changes.
    func forgetFrames() {
        cachedFrames -= cache.count
        cache = [:]
    }

    func dropCaches() {
        cache = [:]
        formerCache = [:]
        cachedFrames = 0
    }
}
