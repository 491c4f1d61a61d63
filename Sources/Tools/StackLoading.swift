// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Processes
internal import Tracing

extension Session {
    /// Loads an object whose programs take stacks, in the way that the options ask for and the kernel allows.
    ///
    /// - Parameter configure: sets the object's own constants and sizes; called again for a second try.
    /// - Returns: the object, and what serves its unwinder; nil where user stacks follow frame pointers, or are not
    ///   wanted.
    func loadStacks(
        _ image: String, _ options: StackOptions, configure: (borrowing OpenObject) throws -> Void
    ) throws -> (object: LoadedObject, unwinder: StackUnwinder?) {
        if options.unwind != .fp, options.sides & STACK_USER.rawValue != 0 {
            do {
                let loaded = try loadStacks(image, options, byTables: true, configure)
                return (loaded, try StackUnwinder(loaded))
            } catch let error as BPFError where options.unwind == .auto {
                say(
                    "user stacks follow frame pointers, which most code lacks: this kernel refuses the unwinder "
                        + "(\(error))")
            }
        }
        return (try loadStacks(image, options, byTables: false, configure), nil)
    }

    private func loadStacks(
        _ image: String, _ options: StackOptions, byTables: Bool,
        _ configure: (borrowing OpenObject) throws -> Void
    ) throws -> LoadedObject {
        let object = try open(image)
        object.chooseUnwinder(byTables: byTables)
        object.setConstant("unwind_config", to: unwind_config(frames: options.maxFrames, reserved: 0))
        if !byTables {
            for map in ["unwind_rows", "unwind_pages", "unwind_rules", "unwind_mappings", "unwind_processes"]
            {
                try object.resize(map, to: 1)
            }
        }
        let frames = max(options.maxFrames, UInt32(STACK_FRAMES))
        if frames > UInt32(STACK_FRAMES), object.hasMap("stacks") {
            let more = (frames - UInt32(STACK_FRAMES)) * UInt32(MemoryLayout<UInt64>.size)
            try object.resizeValues(of: "stacks", to: UInt32(MemoryLayout<stack_trace>.size) + more)
        }
        try configure(object)
        return try load(object, waitsForFirstInstruction: byTables)
    }

    /// The processes that can be traced; nil if there may be others than are known now.
    var onlyProcesses: Set<Int32>? {
        guard let chosen = chosenTasks, !filter.follow else { return nil }
        let owners = filter.threads.compactMap { filter.processOfThread[$0] ?? $0 }
        let processes = Set(chosen.processes).union(owners)
        return processes.isEmpty ? nil : processes
    }

    /// The processes that may be traced and live already: those that were chosen, or all.
    var livingProcesses: [Int32] {
        guard let chosen = chosenTasks else { return ProcFS().processIDs() }
        let owners = filter.threads.compactMap { filter.processOfThread[$0] ?? $0 }
        let processes = Set(chosen.processes).union(owners).subtracting([launchedProcess].compactMap { $0 })
        if processes.isEmpty && launchedProcess == nil { return ProcFS().processIDs() }
        return processes.sorted()
    }
}
