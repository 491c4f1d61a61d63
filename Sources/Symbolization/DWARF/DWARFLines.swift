// SPDX-License-Identifier: Apache-2.0

/// What the reader of DWARF did and holds.
package struct DWARFStatistics: Equatable, Sendable {
    /// Calls of `lines`.
    package var lookups = 0
    /// Those that found nothing.
    package var misses = 0
    /// Modules that have debug information.
    package var modulesOpened = 0
    /// Units whose functions and lines were read; those that were read again count again.
    package var unitsRead = 0
    /// Units that were given up to stay below the limit.
    package var unitsEvicted = 0
    /// Modules that were.
    package var modulesEvicted = 0
    /// An estimate of the memory that is taken now.
    package var bytesHeld = 0
}

/// File, line and inlined functions from DWARF 2 to 5.
///
/// Format: DWARF Debugging Information Format, versions 2 to 5; and GNU's split DWARF, `dwz` and `.zdebug_`
/// sections. All of it is untrusted: what is damaged is not there, and what is too much work is not done. Only
/// for use by one thread at a time.
package final class DWARFLines: LineProvider {
    private enum State {
        case withoutInformation
        case open(DWARFModule)
        /// Given up for now; what it may still cost.
        case evicted(DWARFBudget)
    }

    private let memoryLimit: Int
    private let opener: RelatedFileOpener
    private let budget = DWARFBudget.ofAllModules()
    private var modules: [Int: State] = [:]
    private var bytes: [Int: Int] = [:]
    private var recent: (number: Int, module: DWARFModule)?
    /// Of the last module without DWARF.
    private var goFunctions: (number: Int, table: GoFunctions?)?
    /// What may still be read of such tables: addresses of several programs may come in turn.
    private var goBytesLeft = 1 << 33
    private var time = 0
    package private(set) var statistics = DWARFStatistics()

    private static let maximumModules = 1 << 14

    /// - Parameter memoryLimit: How many bytes may be held. What was used least recently is given up beyond, and
    ///   read again when needed. A section that is compressed is only read if it fits into half of that.
    /// - Parameter opener: Opens what the debug information names besides: .dwo files and the like.
    package init(
        memoryLimit: Int = 512 << 20,
        opener: @escaping RelatedFileOpener = { module, file in file.open(module.owner) }
    ) {
        self.memoryLimit = memoryLimit
        self.opener = opener
    }

    package func lines(
        module identity: ModuleIdentity, address: UInt64
    ) -> [(function: String?, file: String, line: Int, inlined: Bool)] {
        statistics.lookups += 1
        time += 1
        guard let module = module(identity) else {
            if let frame = goLine(identity, address) { return [frame] }
            statistics.misses += 1
            return []
        }
        let unitsRead = module.unitsRead
        let (frames, didRead) = module.frames(of: identity, at: address, time: time)
        if didRead {
            statistics.unitsRead += module.unitsRead - unitsRead
            account(identity.number, module)
        }
        if frames.isEmpty { statistics.misses += 1 }
        return frames
    }

    /// What Go's own table says, of a program that has lost its DWARF.
    private func goLine(
        _ identity: ModuleIdentity, _ address: UInt64
    ) -> (function: String?, file: String, line: Int, inlined: Bool)? {
        if goFunctions?.number != identity.number {
            let file = identity.file < 0 || goBytesLeft < 0 ? nil : OpenFile(duplicating: identity.file)
            let table = file.flatMap { ELFFile(.file($0)) }.flatMap { GoFunctions($0) }
            goBytesLeft -= table?.byteCount ?? 0
            goFunctions = (identity.number, table)
        }
        return goFunctions?.table?.line(at: address).map { found in
            (
                String(decoding: found.function, as: UTF8.self), String(decoding: found.file, as: UTF8.self),
                found.line, false
            )
        }
    }

    private func module(_ identity: ModuleIdentity) -> DWARFModule? {
        if let recent, recent.number == identity.number { return recent.module }
        var budget = DWARFBudget(of: self.budget)
        switch modules[identity.number] {
        case .withoutInformation?: return nil
        case .open(let module)?:
            recent = (identity.number, module)
            return module
        case .evicted(let left)?: budget = left
        case nil: forgetOthers()
        }
        guard
            let module = DWARFModule(
                identity, budget: budget, memoryLimit: memoryLimit / 2, opener: opener)
        else {
            modules[identity.number] = .withoutInformation
            return nil
        }
        statistics.modulesOpened += 1
        modules[identity.number] = .open(module)
        recent = (identity.number, module)
        return module
    }

    /// Forgets which modules have no information, when they have become many.
    private func forgetOthers() {
        guard modules.count > Self.maximumModules else { return }
        modules = modules.filter { if case .open = $0.value { true } else { false } }
    }

    // MARK: Memory

    private func account(_ number: Int, _ module: DWARFModule) {
        let now = module.bytesHeld
        statistics.bytesHeld += now - (bytes[number] ?? 0)
        bytes[number] = now
        guard statistics.bytesHeld > memoryLimit else { return }
        evictUnits()
        if statistics.bytesHeld > memoryLimit { evictModules() }
    }

    /// Gives up units, the least recently used first, until a quarter of the limit is free.
    private func evictUnits() {
        var excess = statistics.bytesHeld - memoryLimit / 4 * 3
        var cut = 0
        for use in modules.values.flatMap(Self.unitUses).sorted(by: { $0.time < $1.time }) where excess > 0 {
            excess -= use.bytes
            cut = use.time + 1
        }
        for (number, state) in modules {
            guard case .open(let module) = state else { continue }
            statistics.unitsEvicted += module.evictUnits(usedBefore: cut)
            let now = module.bytesHeld
            statistics.bytesHeld += now - (bytes[number] ?? 0)
            bytes[number] = now
        }
    }

    private static func unitUses(_ state: State) -> [(time: Int, bytes: Int)] {
        if case .open(let module) = state { module.unitUses } else { [] }
    }

    /// Gives up whole modules, the least recently used first.
    private func evictModules() {
        var open: [(number: Int, module: DWARFModule)] = []
        for case (let number, .open(let module)) in modules { open.append((number, module)) }
        open.sort { $0.module.lastUse < $1.module.lastUse }
        for (number, module) in open where statistics.bytesHeld > memoryLimit / 4 * 3 {
            statistics.bytesHeld -= bytes.removeValue(forKey: number) ?? 0
            statistics.modulesEvicted += 1
            modules[number] = .evicted(module.budget)
            if recent?.number == number { recent = nil }
        }
    }
}
