// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Processes
internal import Tracing

extension Session {
    /// Loads an object whose programs take stacks, in the way that the options ask for and the kernel allows.
    ///
    /// - Parameters:
    ///   - user: whether user stacks are wanted.
    ///   - names: what will name the user stacks; it looks at processes while the programs are loaded.
    ///   - tracesLaunched: whether the launched command is to be traced once `beforeFirstInstruction` was called; else
    ///     it is from the beginning.
    ///   - work: done while the programs are loaded; it must not use them, nor libbpf.
    ///   - configure: sets the object's own constants and sizes, knowing whether stacks are walked by tables; called
    ///     again for a second try.
    /// - Returns: the object, and what serves its unwinder; nil where user stacks follow frame pointers, or are not
    ///   wanted.
    func loadStacks(
        _ image: String, _ options: UnwindOptions, user: Bool, names: StackNames, tracesLaunched: Bool = true,
        meanwhile work: @escaping () -> Void = {},
        configure: (borrowing OpenObject, _ byTables: Bool) throws -> Void
    ) throws -> (object: LoadedObject, unwinder: StackUnwinder?) {
        func loaded(byTables: Bool) throws -> LoadedObject {
            let object = try open(image)
            try prepareStacks(object, options, byTables: byTables)
            try configure(object, byTables)
            return try load(
                object, waitsForFirstInstruction: byTables && tracesLaunched,
                meanwhile: {
                    if byTables { names.lookAround(self) }
                    work()
                })
        }
        if options.unwind != .fp, user {
            do {
                let object = try loaded(byTables: true)
                return (object, try StackUnwinder(object))
            } catch let error as BPFError where options.unwind == .auto {
                say(
                    "user stacks follow frame pointers, which most code lacks: this kernel refuses the unwinder "
                        + "(\(error))")
            }
        }
        let object = try loaded(byTables: false)
        // Where stacks are stored in the kernel they are told apart by what their addresses mean.
        if user, object.hasMap("stacks") { meanings.append(MeaningTable(object)) }
        return (object, nil)
    }

    /// Room for walks that came to unknown code, 8 to 128 KB each, for the moment that it takes us to look.
    private static let deferredBytes: UInt32 = 4 << 20

    private func prepareStacks(
        _ object: borrowing OpenObject, _ options: UnwindOptions, byTables: Bool
    ) throws {
        object.chooseUnwinder(byTables: byTables)
        object.setConstant(
            "unwind_config", to: unwind_config(frames: options.maxFrames, defers: byTables ? 1 : 0))
        if byTables {
            try object.resize("deferred_stacks", to: Self.deferredBytes)
        } else {
            for map in ["unwind_rows", "unwind_pages", "unwind_rules", "unwind_mappings"] {
                try object.resize(map, to: 1)
            }
            if !object.hasMap("stacks") { try object.resize("unwind_processes", to: 1) }
        }
        if options.maxFrames > UInt32(STACK_FRAMES), object.hasMap("stacks") {
            let more = (options.maxFrames - UInt32(STACK_FRAMES)) * UInt32(MemoryLayout<UInt64>.size)
            try object.resizeValues(of: "stacks", to: UInt32(MemoryLayout<stack_trace>.size) + more)
        }
    }

    /// The processes that can be traced; nil if there may be others than are known now.
    var onlyProcesses: Set<Int32>? { filter.follow ? nil : chosenProcesses }

    /// The processes whose stacks can be taken, with their children where these are followed; nil for all.
    var watchedProcesses: WatchedProcesses? {
        chosenProcesses.map { WatchedProcesses($0, follows: filter.follow) }
    }

    /// Those that were chosen by their numbers; nil if none were.
    private var chosenProcesses: Set<Int32>? {
        guard let chosen = chosenTasks else { return nil }
        let owners = filter.threads.compactMap { filter.processOfThread[$0] ?? $0 }
        let processes = Set(chosen.processes).union(owners)
        return processes.isEmpty ? nil : processes
    }

    /// The processes that may be traced and live already: those that were chosen, or all.
    var livingProcesses: [Int32] {
        guard let chosen = chosenProcesses else { return ProcFS().processIDs() }
        return chosen.filter { $0 != launchedProcess }.sorted()
    }
}
