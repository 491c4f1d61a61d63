// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Symbolization
internal import Tracing

/// Tells programs that follow frame pointers what the addresses of processes mean.
final class MeaningTable {
    private let processes: HashMap<UInt32, unwind_process>
    private var known: [Int32: UInt32] = [:]

    init(_ object: LoadedObject) { processes = object.map("unwind_processes") }

    func update(_ process: Int32, _ meaning: UInt32) {
        guard known[process, default: 0] != meaning else { return }
        var place = unwind_process()
        place.meaning = meaning
        // Without room for it stacks are told apart by their addresses alone.
        guard (try? processes.set(UInt32(process), to: place)) != nil else { return }
        known[process] = meaning
    }

    func remove(_ process: Int32) {
        guard known.removeValue(forKey: process) != nil else { return }
        processes.remove(UInt32(process))
    }
}

/// Brings what a symbolizer learns of processes to unwinders, many changes at once: a process that starts maps one
/// file after the other.
final class UnwinderFeed {
    private(set) var unwinders: [StackUnwinder] = []
    private var meanings: [MeaningTable] = []
    private let symbolizer: Symbolizer
    /// Processes that have changed, and up to when everything was as programs have been told.
    private var changed: [Int32: UInt64] = [:]
    /// Processes that have mapped so much that to tell of it takes long, and until when what they map has to wait.
    private var busyUntil: [Int32: UInt64] = [:]

    /// Remembers from now on what changes.
    ///
    /// - Parameter only: the processes that matter; nil for all.
    init(_ symbolizer: Symbolizer, only: WatchedProcesses?) {
        self.symbolizer = symbolizer
        symbolizer.codeChanged = { [unowned self] process, time in
            guard only?.contains(process) ?? true else { return }
            let before = time.map { $0 - min($0, Self.lateness) } ?? known
            changed[process] = min(changed[process] ?? before, before)
        }
    }

    /// How much later than code is mapped its event may be, in nanoseconds: tasks can be preempted in between.
    private static let lateness: UInt64 = 1_000_000

    /// Tells these of what is known, and from now on of what changes.
    func serve(_ unwinders: [StackUnwinder], _ meanings: [MeaningTable]) {
        self.unwinders = unwinders
        self.meanings = meanings
        flush()
    }

    /// Files of code that nobody has been told of.
    var newModules: [Module] { changed.keys.flatMap { symbolizer.code(of: $0) ?? [] }.compactMap(\.module) }

    /// Code in whose place there was other code, and when programs may have used the rules of that, in nanoseconds of
    /// the monotonic clock.
    struct Change {
        let code: Range<UInt64>
        let time: ClosedRange<UInt64>
    }

    private(set) var changes: [Int32: [Change]] = [:]
    /// When everything was as programs have been told.
    private var known: UInt64 = 0
    private static let mostChanges = 4096

    /// - Parameter time: all has been told to the symbolizer that happened before; nil if that is as before.
    func flush(upTo time: UInt64? = nil) {
        defer { known = time ?? known }
        guard !changed.isEmpty else { return }
        let began = monotonicNanoseconds()
        let waiting = changed.filter { hasToWait($0.key, at: began) }
        let all = changed.filter { waiting[$0.key] == nil }
            .map { (process: $0.key, before: $0.value, code: symbolizer.code(of: $0.key)) }
        StackUnwinder.addTables(of: all.flatMap { $0.code ?? [] }.compactMap(\.module), to: unwinders)
        for (process, before, code) in all { tell(process, code, knownUpTo: before) }
        changed = waiting
    }

    /// Whether a process has mapped so much that it is too early to tell of more. Walks that come to what is new are
    /// ended by us meanwhile.
    private func hasToWait(_ process: Int32, at time: UInt64) -> Bool {
        guard let until = busyUntil[process] else { return false }
        guard time < until, symbolizer.isLiving(process) else {
            busyUntil[process] = nil
            return false
        }
        return true
    }

    /// - Parameter code: nil if the process has ended.
    private func tell(_ process: Int32, _ code: [CodeRegion]?, knownUpTo before: UInt64) {
        guard let code else {
            for unwinder in unwinders { unwinder.remove(process) }
            for table in meanings { table.remove(process) }
            return
        }
        let began = monotonicNanoseconds()
        let meaning = symbolizer.meaning(of: process)
        for table in meanings { table.update(process, meaning) }
        for (index, unwinder) in unwinders.enumerated() {
            let replaced = unwinder.update(process, code, meaning: meaning)
            // Each has been told the same.
            if index == 0, !replaced.isEmpty { note(replaced, of: process, since: before) }
        }
        guard !unwinders.isEmpty, code.count > Self.many else { return }
        let now = monotonicNanoseconds()
        busyUntil[process] =
            now + max(Self.perMapping * UInt64(code.count), Self.shareOfTelling * (now - began))
    }

    private static let many = 2048
    /// Nanoseconds from one list to the next for each mapping in it: of the longest list there is room for a few.
    private static let perMapping: UInt64 = 10_000
    /// The shortest time from one list to the next, as a multiple of what one takes.
    private static let shareOfTelling: UInt64 = 20

    /// Forgets the changes of processes that have ended.
    func forgetEnded() { changes = changes.filter { symbolizer.isLiving($0.key) } }

    private func note(_ replaced: [Range<UInt64>], of process: Int32, since before: UInt64) {
        let time = before...max(before, monotonicNanoseconds())
        var all = changes[process] ?? []
        all += replaced.map { Change(code: $0, time: time) }
        changes[process] = all.suffix(Self.mostChanges)
    }
}
