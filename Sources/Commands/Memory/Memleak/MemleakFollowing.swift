// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import CSupport
internal import Glibc
internal import Processes
internal import Reporting
internal import Tracing

/// Children: those that share the process's memory, and with --follow all others.
extension MemleakRun {
    /// Seconds between looks for what has ended, and at what was executed a moment ago.
    private static let tick = 0.025
    /// Ticks between reports of what has ended: each reads all blocks.
    private static let reportTicks = 4
    /// How often a new program is looked at before it is one of many. Its libraries come one after the other.
    private static let youngLooks = 10
    /// How many programs are looked at each second for allocators that they have loaded since.
    private static let looksPerSecond = 64
    /// Seconds after which a child that its parent waits for will not just execute a program.
    private static let patience = 0.02

    /// Before anything is attached.
    func beginProcesses(_ loaded: LoadedObject, _ process: Int32) throws {
        let spaces: HashMap<UInt32, UInt32> = loaded.map("spaces")
        if options.follow {
            try spaces.set(UInt32(process), to: 0)
            for number in 1...UInt32(SPACES) { try loaded.push(number, to: "space_numbers") }
            try session.loop.schedule(seconds: Self.tick, repeating: true) { [self] in try tick(loaded) }
        }
        guard session.launchedProcess == nil else { return }
        for other in ProcFS().processIDs() where other != process && apus_share_memory(process, other) == 1 {
            try spaces.set(UInt32(other), to: 0)
            processes.join(0, other)
            try probes?.share(with: other)
        }
    }

    /// What becomes of a process.
    ///
    /// - Returns: whether the event says so.
    func note(_ event: memleak_event) throws -> Bool {
        let process = Int32(bitPattern: event.process)
        let comm = withUnsafeBytes(of: event.comm, taskName)
        switch memleak_event_kind(event.kind) {
        case MEMLEAK_FORKED:
            processes.begin(event.space, process, comm: comm, at: event.time_ns)
            names.observe(process)
        case MEMLEAK_SHARES:
            processes.join(event.space, process)
            // Most children of parents that wait do nothing but execute a program.
            guard event.address != 0 else {
                try share(process)
                break
            }
            try session.loop.schedule(seconds: Self.patience, repeating: false) { [self] in
                if processes.has(event.space, process) { try share(process) }
            }
        case MEMLEAK_LEFT:
            probes?.leave(process)
            processes.leave(event.space, process, .exit)
        case MEMLEAK_MOVED:
            try move(process, event, comm)
        default: return false
        }
        return true
    }

    private func share(_ process: Int32) throws {
        do {
            try probes?.share(with: process)
        } catch {
            // It may have ended.
            session.explain("process \(process), which shares the memory, is not traced: \(error)")
        }
    }

    private func move(_ process: Int32, _ event: memleak_event, _ comm: String) throws {
        // What a command was before it began is nothing to report.
        let isBeginning = process == session.launchedProcess && executions == 0
        processes.leave(
            UInt32(truncatingIfNeeded: event.address), process, isBeginning ? nil : .exec)
        let space = processes.begin(event.space, process, comm: comm, at: event.time_ns)
        names.observe(process)
        if process == self.process { try hasExecuted() }
        guard let space else { return }
        look(at: space)
        young.append((space, 0))
    }

    private func look(at space: MemleakProcesses.Space) {
        guard let probes, let finder = space.finder else { return }
        do {
            _ = try probes.look(with: finder)
        } catch {
            session.explain("the allocators of \(space.report.process ?? 0) are not traced: \(error)")
        }
    }

    private func tick(_ loaded: LoadedObject) throws {
        ticks += 1
        for index in young.indices {
            young[index].looks += 1
            look(at: young[index].space)
        }
        young.removeAll { $0.looks >= Self.youngLooks }
        if ticks % Self.reportTicks == 0 { try reportOver(loaded) }
        guard ticks % Int(1 / Self.tick) == 0 else { return }
        try compare(loaded)
        let living = processes.living
        let first = ticks / Int(1 / Self.tick) * Self.looksPerSecond
        for index in 0..<min(Self.looksPerSecond, living.count) {
            look(at: living[(first + index) % living.count])
        }
    }

    /// Makes up for records that were lost.
    private func compare(_ loaded: LoadedObject) throws {
        let spaces: HashMap<UInt32, UInt32> = loaded.map("spaces")
        var current: [Int32: UInt32] = [:]
        try spaces.forEachInBatches { current[Int32(bitPattern: $0.pointee)] = $1.pointee }
        for space in processes.living {
            for process in space.users where current[process] != space.report.space {
                processes.leave(space.report.space, process, .exit)
            }
        }
        for (process, number) in current where !processes.has(number, process) {
            let comm = ProcFS().comm(of: process) ?? ""
            if processes.begin(number, process, comm: comm, at: monotonicTime()) == nil {
                processes.join(number, process)
            }
        }
    }
}
