// SPDX-License-Identifier: Apache-2.0
internal import Symbolization
internal import Tracing

/// Processes that matter, and nobody else.
final class WatchedProcesses {
    private var members: Set<Int32>
    private let follows: Bool

    /// - Parameter follows: whether their children matter as well.
    init(_ members: Set<Int32>, follows: Bool = false) {
        self.members = members
        self.follows = follows
    }

    /// One that is traced, whoever its parent was: of many forks at once, some may not be told of.
    func add(_ process: Int32) {
        if follows { members.insert(process) }
    }

    func contains(_ process: Int32) -> Bool { members.contains(process) }

    func fork(parent: Int32, child: Int32) {
        if follows, members.contains(parent) { members.insert(child) }
    }
}

/// Tells a symbolizer what processes map, and when they begin, execute and end, as long as the session's loop runs.
final class TaskWatch {
    private let events: TaskEvents
    private let symbolizer: Symbolizer
    private let say: (String) -> Void
    private let only: WatchedProcesses?
    private var lostBefore: UInt64 = 0
    /// Of what was lost, what does not matter: it was before anything was traced.
    private var lostAtFirst: UInt64 = 0
    private var nextRepair: UInt64 = 0
    /// All is known that happened before this, in nanoseconds of the monotonic clock.
    var upTo: UInt64 { events.upTo }
    /// Called when the symbolizer has been told of what happened.
    var afterReading: () -> Void = {}

    /// nil if the kernel does not let us, which `-v` explains.
    ///
    /// - Parameter only: the processes that matter; nil for all.
    init?(_ session: Session, feeding symbolizer: Symbolizer, only: WatchedProcesses? = nil) throws {
        do throws(BPFError) {
            events = try TaskEvents()
        } catch {
            session.explain("processes are looked at when they are first seen: \(error)")
            return nil
        }
        self.symbolizer = symbolizer
        self.only = only
        say = session.say
        try session.loop.watch(events.descriptor) { [unowned self] in read() }
        try session.loop.schedule(seconds: 1, repeating: true) { [unowned self] in events.followCPUs() }
    }

    /// Makes sure that all is known that happened before a time, that of a sample; nil for now.
    func catchUp(with time: UInt64? = nil) {
        if let time, time < events.upTo { return }
        read()
    }

    /// Takes in what has happened, before anything is traced.
    ///
    /// - Returns: whether some of it was lost: processes have to be looked at once more, and then nothing is missing.
    func begin() -> Bool {
        read()
        (lostBefore, lostAtFirst) = (events.lost, events.lost)
        return events.lost > 0
    }

    private func read() {
        // Of all that end together, the last tells whether the process has ended.
        var withFewerThreads: Set<Int32> = []
        events.drain { event, time in
            if case .forked(let parent, let child) = event { only?.fork(parent: parent, child: child) }
            func matters(_ process: Int32) -> Bool { only?.contains(process) ?? true }
            switch event {
            case .mapped(let code) where matters(code.process):
                symbolizer.map(process: code.process, CodeMapping(code), at: time)
            case .forked(let parent, let child) where matters(child):
                symbolizer.fork(parent: parent, child: child, at: time)
            case .executed(let process) where matters(process): symbolizer.execute(process: process, at: time)
            case .exited(let process) where matters(process): symbolizer.exit(process: process)
            case .threadExited(let process) where matters(process): withFewerThreads.insert(process)
            default: break
            }
        }
        for process in withFewerThreads { symbolizer.exitThread(of: process) }
        afterReading()
        guard events.lost > lostBefore, events.upTo >= nextRepair else { return }
        lostBefore = events.lost
        // It takes a while, in which more may be lost.
        nextRepair = events.upTo + 1_000_000_000
        symbolizer.repair()
    }

    /// Reads what is left, and says what was lost.
    func finish() {
        read()
        let lost = events.lost - lostAtFirst
        guard lost > 0 else { return }
        say(
            "\(lost) reports of new processes and mappings lost because they came too fast: "
                + "frames of processes that have ended may have no names")
    }
}

extension CodeMapping {
    fileprivate init(_ code: MappedCode) {
        self.init(
            start: code.start, length: code.length, offset: code.offset, major: code.major, minor: code.minor,
            inode: code.inode, generation: code.generation, path: code.path)
    }
}
