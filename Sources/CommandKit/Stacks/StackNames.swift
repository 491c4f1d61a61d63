// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Reading
internal import Reporting
internal import Symbolization
internal import Tracing

/// Names frames, and keeps what that needs up to date while processes map files, execute programs and end: the
/// symbolizer's picture of them, and the unwinders' tables.
final class StackNames {
    let options: PictureOptions
    let symbolizer: Symbolizer
    let reader: ReaderProcess
    /// When processes were last looked at, and how long that took, in nanoseconds.
    private var lastLook: [Int32: (time: UInt64, took: UInt64)] = [:]
    private var feed: UnwinderFeed?
    private let early: EarlyTables
    /// The processes that matter; nil for all.
    private var watched: WatchedProcesses?
    /// Tells the symbolizer of processes; without it they are looked at when they are first seen.
    private var watch: TaskWatch?
    private var debugFiles: DebugFileServer?
    private var say: ((String) -> Void)?
    private var deferred: [DeferredStacks] = []

    init(_ options: PictureOptions) {
        self.options = options
        let settings = SymbolizerOptions(demangle: options.demangle)
        reader = ReaderProcess(
            executable: Reader.executable, options: settings, lines: options.lines || options.inlines)
        symbolizer = Symbolizer(options: settings, reader: reader)
        early = EarlyTables(reader)
    }

    /// Follows what processes map from now on, where the kernel lets us.
    ///
    /// - Parameter processes: those that matter; nil for all.
    func watch(_ processes: WatchedProcesses?, _ session: Session) throws {
        say = session.say
        debugFiles = try options.debugFiles.server(session)
        watched = processes
        watch = try TaskWatch(session, feeding: symbolizer, only: processes)
    }

    /// Looks at the processes that may be traced, and makes the tables of their code, for programs that are not there
    /// yet.
    func lookAround(_ session: Session) {
        guard feed == nil else { return }
        early.make(observeLiving(session).newModules) { !session.loop.endIsPending }
        watch?.catchUp()
    }

    private func observeLiving(_ session: Session) -> UnwinderFeed {
        if let feed { return feed }
        let feed = UnwinderFeed(symbolizer, only: watched)
        self.feed = feed
        for process in session.livingProcesses { symbolizer.observe(process: process) }
        return feed
    }

    /// Tells unwinders of what processes map.
    ///
    /// To be called before programs are attached: stacks are right from the first one on.
    func serve(_ unwinders: [StackUnwinder?], _ session: Session) throws {
        let served = unwinders.compactMap { $0 }
        guard !served.isEmpty || !session.meanings.isEmpty else {
            feed = nil
            symbolizer.codeChanged = nil
            return
        }
        // Those of a whole machine take a while: who ends us meanwhile does not wait for the rest.
        let others = StackUnwinder.inPortions(
            reader.unwindTables, while: { [loop = session.loop] in !loop.endIsPending })
        for unwinder in served {
            unwinder.makeTables = { [early] modules, use in others(early.take(modules, use), use) }
        }
        let feed = observeLiving(session)
        // Loading the programs takes a while, in which more may happen than there is room for.
        if watch?.begin() ?? false {
            for process in session.livingProcesses { symbolizer.observe(process: process) }
        }
        watch?.afterReading = { [unowned self] in feed.flush(upTo: watch?.upTo ?? 0) }
        feed.serve(served, session.meanings)
        early.forget()
        for unwinder in served { unwinder.makeTables = reader.unwindTables }
        session.beforeFirstInstruction = { [self] in observeAnew($0) }
        deferred = try served.map { unwinder in
            try DeferredStacks(
                unwinder, symbolizer, session,
                catchUp: { [unowned self] process, address, time in
                    watched?.add(process)
                    if watched?.contains(process) ?? true { look(process, at: address, time) }
                },
                isDoubtful: { process, time in
                    feed.changes[process]?.contains { $0.time.contains(time) } ?? false
                })
        }
    }

    /// Makes sure that it is known what a process had at an address when its stack was taken.
    private func look(_ process: Int32, at address: UInt64, _ time: UInt64) {
        watch?.catchUp(with: time)
        if symbolizer.code(of: process, holding: address, at: time) == nil {
            // What an address leads to that is nonsense need not be looked at each time.
            if watch == nil || mayLook(process, at: time, after: Self.lookAtNew) {
                observe(process, at: time)
            }
        }
        feed?.flush()
    }

    /// A stack as far as it was surely walked by the rules of the code that was there at the time.
    ///
    /// - Parameter isShared: whether other events, at other times, may have the same stack. Then even the first address
    ///   in code that was replaced may stand for either.
    func trusted(
        _ addresses: [UInt64], _ end: StackEnd, of process: Int32, at time: UInt64, isShared: Bool = false
    ) -> (addresses: [UInt64], end: StackEnd) {
        guard let changes = feed?.changes[process] else { return (addresses, end) }
        let doubtful = changes.filter { $0.time.contains(time) }
        guard !doubtful.isEmpty,
            let first = addresses.firstIndex(where: { address in
                doubtful.contains { $0.code.contains(address) }
            })
        else { return (addresses, end) }
        return (
            Array(addresses.prefix(isShared ? first : first + 1)),
            StackEnd(UInt8(STACK_END_REMAPPED.rawValue))
        )
    }

    /// Ends the walks that programs have left to us so far.
    func settle() { for stacks in deferred { stacks.settle() } }

    /// The stack that a stored stack is the same as.
    func canonical(_ stack: UInt64) -> UInt64 {
        deferred.reduce(stack) { $1.canonical($0) }
    }

    /// What follows the frames of an event.
    func takeRest(_ number: UInt64) -> DeferredStacks.Rest? {
        for stacks in deferred { if let rest = stacks.takeRest(number) { return rest } }
        return nil
    }

    /// Call while a process lives, so that its frames can be named when it is gone.
    func observe(_ process: Int32) {
        defer { feed?.flush() }
        watched?.add(process)
        watch?.catchUp()
        if symbolizer.keep(process: process), watch != nil { return }
        symbolizer.observe(process: process)
    }

    /// The same for a process that has just been seen to run at an address: looks at it if it is new, if the
    /// address is (it may have executed another program, or loaded a library), or if its stack was cut for want of
    /// that, and once a second.
    /// - Returns: For `Key.moment`.
    func observe(
        _ process: Int32, at nanoseconds: UInt64, running address: UInt64?, isCut: Bool = false
    ) -> UInt64? {
        defer { feed?.flush() }
        watched?.add(process)
        guard let watch else {
            look(process, at: nanoseconds, running: address, isCut: isCut)
            return nil
        }
        watch.catchUp(with: nanoseconds)
        let moment = symbolizer.moment(of: process, at: nanoseconds)
        if lastLook[process] == nil, !isCut, moment != 0, let address,
            symbolizer.knows(address, in: process, at: nanoseconds)
        {
            // All that a look would show is known: the next one is for code that it makes at run time.
            lastLook[process] = (nanoseconds, 0)
            return moment
        }
        look(process, at: nanoseconds, running: address, isCut: isCut)
        return symbolizer.moment(of: process, at: nanoseconds)
    }

    /// For `Key.moment`, of what happened at a time, in nanoseconds of the monotonic clock.
    func moment(of process: Int32, at nanoseconds: UInt64) -> UInt64? {
        watch == nil ? nil : symbolizer.moment(of: process, at: nanoseconds)
    }

    private func look(_ process: Int32, at nanoseconds: UInt64, running address: UInt64?, isCut: Bool) {
        if lastLook[process] != nil {
            let isKnown =
                !isCut && (address.map { symbolizer.knows($0, in: process, at: nanoseconds) } ?? true)
            guard mayLook(process, at: nanoseconds, after: isKnown ? Self.lookAgain : Self.lookAtNew) else {
                return
            }
        }
        observe(process, at: nanoseconds)
    }

    /// Whether it is time to look at a process again: one that has mapped much takes long, and may itself have to wait
    /// to map more meanwhile.
    private func mayLook(_ process: Int32, at time: UInt64, after interval: UInt64) -> Bool {
        guard let last = lastLook[process] else { return true }
        return time - min(time, last.time) > max(interval, last.took * Self.shareOfLooks)
    }

    private func observe(_ process: Int32, at time: UInt64) {
        let began = monotonicNanoseconds()
        symbolizer.observe(process: process)
        lastLook[process] = (time, monotonicNanoseconds() - began)
    }

    /// Whether a stack may have better names later: a process tells of the code that it makes when it gets to it.
    func mayBecomeKnown(_ key: StackReport.Key) -> Bool {
        guard !key.user.isEmpty, !symbolizer.isOver(key.process, at: key.moment) else { return false }
        return key.user.enumerated().contains { index, address in
            let wanted = UserAddress(
                address, process: key.process, isReturnAddress: index > 0, at: key.moment)
            return symbolizer.place(of: wanted) == nil
        }
    }

    /// Whether files may be read from elsewhere, once tracing is over, for better names.
    var namesLate: Bool { debugFiles != nil }

    /// Forgets processes that have ended, once all of their stacks have names.
    func releaseEnded() {
        symbolizer.releaseEnded()
        lastLook = lastLook.filter { symbolizer.isLiving($0.key) }
        feed?.forgetEnded()
    }

    /// Looks at a process, whatever is known of it.
    func observeAnew(_ process: Int32) {
        watch?.catchUp()
        symbolizer.observe(process: process)
        feed?.flush()
    }

    /// Nanoseconds between two looks at a process, and at one that runs where nothing was before.
    private static let lookAgain: UInt64 = 1_000_000_000
    private static let lookAtNew: UInt64 = 2_000_000
    /// The shortest time from one look to the next, as a multiple of what one takes.
    private static let shareOfLooks: UInt64 = 50

    /// Takes in what has happened until now.
    func catchUp() { watch?.catchUp() }

    /// The same for the last time: once nothing is traced any more.
    func finish() { watch?.finish() }

    /// Uses debug files from elsewhere from now on, if they are wanted.
    ///
    /// - Returns: whether names may differ from those before.
    func askForDebugFiles() -> Bool {
        guard let debugFiles else { return false }
        symbolizer.ask(debugFiles)
        return true
    }

    /// Says what could not be had.
    func conclude() {
        debugFiles?.conclude()
        let losses = reader.losses
        guard losses.ends > 0 else { return }
        let effect =
            losses.names + losses.files == 0
            ? "nothing is missing"
            : "\(losses.names) addresses have no name, and \(losses.files) files were not read"
        say?("the process that reads symbols ended \(losses.ends) times and was started again: \(effect)")
    }

    /// What naming the frames took, in one line.
    var effort: String {
        let counts = symbolizer.statistics
        return "\(counts.lookups) addresses looked up, \(counts.misses) without a name; "
            + "\(counts.filesOpened) files opened, \(counts.symbolsIndexed) symbols indexed, "
            + "\(counts.bytesHeld) bytes held, \(counts.evictions) indexes given up"
    }

    /// What the unwinder holds.
    func explainUnwinding(to session: Session) {
        guard let unwinder = feed?.unwinders.first else { return }
        let counts = unwinder.counts
        session.explain(
            "unwinding: \(counts.rows) rows of \(counts.files) files in \(unwinder.bytesHeld / 1024) KB, made in "
                + "\((counts.nanoseconds + early.nanoseconds) / 1_000_000) ms")
        if counts.filesLeftOut + counts.processesLeftOut > 0 {
            session.say(
                "\(counts.filesLeftOut) files and \(counts.processesLeftOut) processes did not fit into the "
                    + "unwind tables: their stacks follow frame pointers; trace fewer processes")
        }
    }
}
