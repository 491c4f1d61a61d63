// SPDX-License-Identifier: Apache-2.0
internal import Arithmetic
internal import CSymbolization
internal import Glibc
package import Processes

/// Names addresses of processes and of the kernel.
///
/// Files are opened when a process is observed, and read when an address in them is first asked for, so that a
/// process can have ended by then. Not for use by several threads.
package final class Symbolizer {
    let options: SymbolizerOptions
    let root: String
    private let reader: any CodeReader
    /// For the kernel's names.
    private let demangler: Demangler?
    let registry: ModuleRegistry
    private let kernel: KernelSymbols
    var table = ProcessTable()
    var counts = SymbolizerStatistics()
    /// Of the table, when files were last closed.
    var droppedBefore = 0
    /// Our own, for processes of our kind.
    lazy var ownVDSO: (module: Module, length: UInt64)? = {
        let bytes = readFile(root + "/self/maps", limit: 1 << 26) ?? []
        guard let own = Mapping.executable(in: bytes).first(where: { $0.cleanPath == "[vdso]" }),
            let module = vdso(own, root + "/self")
        else { return nil }
        return (module, own.end - own.start)
    }()
    /// Processes whose first thread has ended while others lived on.
    var withoutFirstThread: Set<Int32> = []
    /// Counts lookups, to tell what was not used for longest.
    private var clock: UInt64 = 0
    private var cachedFrames = 0
    /// Of all images.
    var lastMeaning: UInt32 = 0
    private var debugFileServer: DebugFileServer?
    /// Called when the code of a process may have changed, with the time of that; nil if that is not known, as when it
    /// was seen by looking.
    package var codeChanged: ((_ process: Int32, _ time: UInt64?) -> Void)?
    /// Whether something was read since the limit was last looked at.
    private var hasGrown = false

    /// Reads files in this process.
    /// - Parameter lines: What knows source lines; without it frames have none, and inlined functions are missing.
    package convenience init(
        options: SymbolizerOptions, proc: ProcFS = ProcFS(), lines: (any LineProvider)? = nil
    ) {
        self.init(options: options, proc: proc, reader: LocalReader(options, lines: lines))
    }

    /// - Parameter reader: What looks into files.
    package init(options: SymbolizerOptions, proc: ProcFS = ProcFS(), reader: any CodeReader) {
        self.options = options
        root = proc.root
        self.reader = reader
        demangler = options.demangle ? Demangler() : nil
        registry = ModuleRegistry(debugRoot: options.debugRoot, reader: reader)
        kernel = KernelSymbols(root: proc.root)
    }

    /// Remembers what is needed to name a process's frames: where its code is mapped, and its files, open.
    ///
    /// Cheap when called again: only new mappings cost. To be called for each new process, and when it may have
    /// mapped more. A process that has ended or may not be looked at stays as it is known.
    package func observe(process: Int32) {
        var directory = "\(root)/\(process)"
        var maps = readFile(directory + "/maps", limit: 1 << 26)
        if maps?.isEmpty == true {
            directory = self.directory(of: process)
            maps = readFile(directory + "/maps", limit: 1 << 26)
        }
        guard let bytes = maps, !bytes.isEmpty else { return }
        let image = image(of: process)
        image.observedAt = monotonicNanoseconds()
        let handle = apus_open_root(directory + "/root")
        defer { if handle >= 0 { close(handle) } }
        let place = ModuleRegistry.Place(directory: directory, root: handle >= 0 ? handle : nil)
        cachedFrames -= image.cachedFrames
        let (mappings, copies) = codeMappings(bytes, at: place)
        image.copies = Set(copies.keys.map(\.start))
        let hasChanged = image.update(mappings, at: image.observedAt) { mapping in
            guard let module = copies[mapping] else { return region(of: mapping, at: place) }
            return ProcessImage.Region(mapping: mapping, content: .module(module), name: mapping.cleanPath)
        }
        if hasChanged { renewMeaning(of: image) }
        cachedFrames += image.cachedFrames
        if handle >= 0, image.hasOther, image.openPerfMap(root: handle) { counts.filesOpened += 1 }
        image.observationTook = monotonicNanoseconds() - image.observedAt
        codeChanged?(process, nil)
    }

    /// Where /proc has a process's mappings and files.
    func directory(of process: Int32) -> String {
        "\(root)/\(ProcFS(root: root).livingThread(of: process))"
    }

    /// Whether an address lies in a mapping of a process that is known.
    /// - Parameter time: When it was, in nanoseconds of the monotonic clock; nil for now.
    package func knows(_ address: UInt64, in process: Int32, at time: UInt64? = nil) -> Bool {
        table.image(of: process, at: time, with: address)?.region(at: address, time: time) != nil
    }

    /// Forgets a process, once its frames have been reported.
    package func forget(process: Int32) {
        for image in table.remove(process) { cachedFrames -= image.cachedFrames }
        registry.removeUnused()
    }

    /// The frames of an address of a process, those of inlined functions first; never none.
    ///
    /// - Parameter isReturnAddress: It was found on a stack, and the call is before it: that is looked up, and
    ///   `moduleOffset` is its. `functionOffset` and `address` are those of the return address itself.
    /// - Parameter time: When the process ran there, in nanoseconds of the monotonic clock, or what `moment` says of
    ///   that; nil if it is not known: then the last of its programs counts that had code there.
    package func frames(
        user address: UInt64, process: Int32, isReturnAddress: Bool, at time: UInt64? = nil
    ) -> [Frame] {
        counts.lookups += 1
        clock += 1
        if table.current(process) == nil { observe(process: process) }
        let query = Query(address: address, lookup: isReturnAddress ? address &- 1 : address)
        guard let image = table.image(of: process, at: time, with: query.lookup) else {
            counts.misses += 1
            return [Frame(kind: .user, moduleOffset: address, address: address)]
        }
        let key = Self.key(address, isReturnAddress)
        let former = time.flatMap { image.formerMoment(at: $0) }
        if let known = image.cached(key, at: former) {
            if known[0].function == nil { counts.misses += 1 }
            return known
        }
        let (found, owner, isLasting) = find(query, in: image, at: former, process: process)
        if found[0].function == nil { counts.misses += 1 }
        if isLasting { remember(found, key, at: former, in: owner) }
        enforceLimit()
        return found
    }

    /// Of a frame in an image's cache. User addresses have no use for the highest bit, but for vsyscall, of which no
    /// call is made.
    private static func key(_ address: UInt64, _ isReturnAddress: Bool) -> UInt64 {
        address << 1 | (isReturnAddress ? 1 : 0)
    }

    /// - Parameter former: a moment that is over in the process; nil for now.
    func remember(_ frames: [Frame], _ key: UInt64, at former: UInt64?, in image: ProcessImage) {
        if cachedFrames >= 1 << 18 { dropCaches() }
        cachedFrames -= image.cachedFrames
        image.cache(frames, key, at: former)
        cachedFrames += image.cachedFrames
    }

    /// The frame of an address of the kernel.
    ///
    /// - Parameter isReturnAddress: As for a process's.
    package func frames(kernel address: UInt64, isReturnAddress: Bool) -> [Frame] {
        counts.lookups += 1
        clock += 1
        kernel.lastUse = clock
        let lookup = isReturnAddress ? address &- 1 : address
        let found = kernel.function(at: lookup, reading)
        enforceLimit()
        guard let found else {
            counts.misses += 1
            return [Frame(kind: .kernel, module: "[kernel]", moduleOffset: lookup, address: address)]
        }
        return [
            Frame(
                kind: .kernel, function: found.name, functionOffset: found.offset &+ (address &- lookup),
                module: found.module, moduleOffset: lookup, address: address)
        ]
    }

    /// Why kernel functions cannot be named, in one sentence for the user; nil if they can.
    package var kernelNamesHidden: String? { kernel.hiddenReason() }

    /// What was done so far, and is held now.
    package var statistics: SymbolizerStatistics {
        var result = counts
        result.filesOpened += registry.filesOpened
        // What a reader says that a file may have taken over.
        let effort = reader.effort
        result.symbolsIndexed = result.symbolsIndexed.addingClamped(effort.symbolsIndexed)
        result.evictions = result.evictions.addingClamped(effort.evictions)
        result.bytesHeld = bytesHeld.addingClamped(effort.bytesHeld)
        return result
    }

    private func image(of process: Int32) -> ProcessImage {
        let known = table.current(process)
        if let known, known.startTime != nil || !known.isOver {
            // It may end meanwhile: then it is still the one that is known.
            let now = ProcessStatus.startTime(of: process, root: root)
            if known.startTime == nil, now != nil { known.adopt(ProcessStatus(process: process, root: root)) }
            if now == nil || now == known.startTime { return known }
        }
        // A new one, or another that was given the ID of one that ended.
        let status = ProcessStatus(process: process, root: root)
        let made = ProcessImage(since: known.map { max($0.since + 1, status.began ?? 0) } ?? 0)
        made.adopt(status)
        if known != nil { renewMeaning(of: made) }
        table.begin(made, for: process)
        return made
    }

    /// Forgets frames that were found, because what is mapped changes.
    func forgetFrames(of image: ProcessImage) {
        cachedFrames -= image.cachedFrames
        image.forgetFrames()
        cachedFrames += image.cachedFrames
    }

    private func region(of mapping: Mapping, at place: ModuleRegistry.Place) -> ProcessImage.Region {
        let name = mapping.cleanPath
        var content = ProcessImage.Content.other
        if mapping.inode != 0, let module = registry.module(of: mapping, at: place) {
            content = .module(module)
        } else if name == "[vsyscall]" {
            content = .vsyscall
        } else if name == "[vdso]", let module = vdso(mapping, place.directory) {
            content = .module(module)
        }
        return ProcessImage.Region(mapping: mapping, content: content, name: name.isEmpty ? "[anon]" : name)
    }

    func vdso(_ mapping: Mapping, _ directory: String) -> Module? {
        guard mapping.end - mapping.start <= 1 << 20, let memory = OpenFile(path: directory + "/mem")
        else {
            return nil
        }
        let bytes = ByteSource.file(memory).bytes(at: mapping.start, upTo: Int(mapping.end - mapping.start))
        return registry.module(image: bytes, name: "[vdso]")
    }
}

/// An address that only the reader of a file can name.
struct ModuleQuery {
    let wanted: UserAddress
    let image: ProcessImage
    /// Of its frames in the image's cache, and the moment, if that is over.
    let key: UInt64
    let former: UInt64?
    fileprivate let query: Query
    fileprivate let module: Module
    /// As the file counts.
    fileprivate let place: UInt64
    fileprivate let name: String
}

/// An address, and the one to look up for it.
private struct Query {
    let address: UInt64
    let lookup: UInt64
}

extension Symbolizer {
    /// The frames, the image that they are in, and whether they are the same the next time.
    ///
    /// - Parameter former: a moment that is over in the process; nil for now.
    private func find(_ query: Query, in known: ProcessImage, at former: UInt64?, process: Int32) -> (
        frames: [Frame], image: ProcessImage, isLasting: Bool
    ) {
        var image = known
        var region = image.region(at: query.lookup, time: former)
        // The caller need not know every library that is loaded; but an address may also be nonsense each time.
        if region == nil, former == nil, !image.isOver,
            monotonicNanoseconds() - image.observedAt > max(100_000_000, 50 &* image.observationTook)
        {
            observe(process: process)
            image = table.current(process) ?? image
            region = image.region(at: query.lookup)
        }
        guard let region else {
            return ([Frame(kind: .user, moduleOffset: query.lookup, address: query.address)], image, false)
        }
        switch region.content {
        case .module(let module): return (frames(query, in: module, region), image, true)
        case .vsyscall: return ([vsyscallFrame(query, region)], image, true)
        case .other: return ([otherFrame(query, in: image, region)], image, false)
        }
    }

    private func frames(_ query: Query, in module: Module, _ region: ProcessImage.Region) -> [Frame] {
        module.lastUse = clock
        let place = Self.place(of: query, in: module, region)
        if let debugFileServer { module.fetchDebugFile(from: debugFileServer) }
        let found = reader.names(at: [CodePlace(module: module, address: place)])
        return Self.frames(
            query, found.first ?? NamedPlace(), module: module, place: place, name: region.name)
    }

    /// Where an address of the process is, as the file counts.
    private static func place(of query: Query, in module: Module, _ region: ProcessImage.Region) -> UInt64 {
        place(of: query.lookup, in: module, region)
    }

    static func place(of lookup: UInt64, in module: Module, _ region: ProcessImage.Region) -> UInt64 {
        let offset = lookup - region.mapping.start &+ region.mapping.offset
        return module.segments.address(ofOffset: offset) ?? offset
    }

    /// The question that an address of a process is to the reader; nil if it is known, or none.
    func question(_ wanted: UserAddress) -> ModuleQuery? {
        let address = wanted.address
        let query = Query(address: address, lookup: wanted.isReturnAddress ? address &- 1 : address)
        let key = Self.key(address, wanted.isReturnAddress)
        guard let image = table.image(of: wanted.process, at: wanted.time, with: query.lookup) else {
            return nil
        }
        let former = wanted.time.flatMap { image.formerMoment(at: $0) }
        guard image.cached(key, at: former) == nil,
            let region = image.region(at: query.lookup, time: former),
            case .module(let module) = region.content
        else { return nil }
        return ModuleQuery(
            wanted: wanted, image: image, key: key, former: former, query: query, module: module,
            place: Self.place(of: query, in: module, region), name: region.name)
    }

    /// The frames of many addresses, each as `frames` has them.
    func names(of questions: [ModuleQuery]) -> [[Frame]] {
        for question in questions {
            question.module.lastUse = clock
            if let debugFileServer { question.module.fetchDebugFile(from: debugFileServer) }
        }
        let found = reader.names(at: questions.map { CodePlace(module: $0.module, address: $0.place) })
        return zip(questions, found).map { question, found in
            Self.frames(
                question.query, found, module: question.module, place: question.place, name: question.name)
        }
    }

    /// The frames of places in files, each as `frames` has them; their addresses are without the places' biases.
    package func frames(at places: [ModulePlace]) -> [[Frame]] {
        counts.lookups += places.count
        clock += UInt64(places.count)
        for place in places {
            place.module.lastUse = clock
            if let debugFileServer { place.module.fetchDebugFile(from: debugFileServer) }
        }
        let found = reader.names(at: places.map { CodePlace(module: $0.module, address: $0.address) })
        return zip(places, found).map { place, found in
            let query = Query(
                address: place.address &+ (place.isReturnAddress ? 1 : 0), lookup: place.address)
            let frames = Self.frames(
                query, found, module: place.module, place: place.address, name: place.name)
            if frames[0].function == nil { counts.misses += 1 }
            return frames
        }
    }

    private static func frames(
        _ query: Query, _ found: NamedPlace, module: Module, place: UInt64, name: String
    ) -> [Frame] {
        let offset = found.offset.map { $0 &+ (query.address &- query.lookup) } ?? 0
        return found.names.map { known in
            Frame(
                kind: .user, function: known.function, functionOffset: offset, module: name,
                moduleOffset: place, buildID: module.buildID, file: known.file, line: known.line,
                isInlined: known.isInlined, address: query.address)
        }
    }

    private func otherFrame(_ query: Query, in image: ProcessImage, _ region: ProcessImage.Region) -> Frame {
        if let perfMap = image.perfMap, let found = perfMap.function(at: query.lookup) {
            return Frame(
                kind: .jit, function: found.name,
                functionOffset: found.offset &+ (query.address &- query.lookup),
                module: perfMap.path, moduleOffset: query.lookup, address: query.address)
        }
        let isFile = region.mapping.inode != 0
        let offset = query.lookup - region.mapping.start &+ region.mapping.offset
        return Frame(
            kind: .user, module: region.name, moduleOffset: isFile ? offset : query.lookup,
            address: query.address)
    }

    private func vsyscallFrame(_ query: Query, _ region: ProcessImage.Region) -> Frame {
        // arch/x86/entry/vsyscall/vsyscall_emu_64.S: three functions, 1 KiB apart.
        let offset = query.lookup - region.mapping.start
        let names = ["gettimeofday", "time", "getcpu"]
        var frame = Frame(
            kind: .user, module: region.name, moduleOffset: query.lookup, address: query.address)
        if case let number = Int(clamping: offset >> 10), number < names.count {
            frame.function = names[number]
            frame.functionOffset = offset & 0x3ff &+ (query.address &- query.lookup)
        }
        return frame
    }

    private var reading: SymbolReading {
        SymbolReading(demangler: demangler, symbolLimit: LocalReader.symbolLimit(options.memoryLimit)) {
            [self] count in
            counts.symbolsIndexed += count
            hasGrown = true
        }
    }

    /// An estimate, in bytes, without what the reader holds.
    private var bytesHeld: Int {
        table.all.reduce(0) { $0 + $1.bytesHeld } + kernel.bytesHeld
            + cachedFrames * (MemoryLayout<Frame>.stride + 96)
    }

    /// From now on asks for debug files that are not here, when a name is needed from one: that takes time, in which
    /// nothing else is done.
    package func ask(_ server: DebugFileServer) {
        debugFileServer = server
        registry.beginAgain()
        dropCaches()
    }

    private func dropCaches() {
        for image in table.all { image.dropCaches() }
        cachedFrames = 0
    }

    /// Gives up indexes, the least recently used first, until what is left is below the limit.
    private func enforceLimit() {
        // Names and frames come one by one: it is enough to count them sometimes.
        guard hasGrown || clock & 0xfff == 0 else { return }
        hasGrown = false
        var held = bytesHeld
        guard held > options.memoryLimit else { return }
        held -= cachedFrames * (MemoryLayout<Frame>.stride + 96)
        dropCaches()
        var candidates = [(lastUse: kernel.lastUse, bytes: kernel.bytesHeld, drop: kernel.drop)]
        candidates += table.all.compactMap { image in
            image.perfMap.map { (lastUse: 0, bytes: image.bytesHeld, drop: $0.drop) }
        }
        candidates.sort { $0.lastUse < $1.lastUse }
        for candidate in candidates where candidate.bytes > 0 && held > options.memoryLimit * 3 / 4 {
            candidate.drop()
            held -= candidate.bytes
            counts.evictions += 1
        }
    }
}
