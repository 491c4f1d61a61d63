// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Glibc
internal import Probing
internal import Processes
internal import Reporting
internal import Symbolization
internal import Tracing

/// The programs of an object that run at probes, by how they are attached.
struct ProbePrograms {
    /// Those for tracepoints, where a command looks at them.
    struct ForTracepoints {
        let raw: String
        /// Attached to what all system calls pass, for the tracepoints of single ones.
        let systemCalls: String
        let perfEvent: String
    }

    /// Whether programs have to know where they run: then those that are attached to one place are copies.
    var areNumbered = true
    var moment = UserProbes.Moment.entry
    var tracepoints: ForTracepoints?
    /// Copied for each function, of the kernel or of a file.
    let function: String
    /// Attached to many by one link.
    let userFunctions: String
    /// Of those at return instructions there is none.
    var kernelFunctions: String?
    var places = Places.all

    /// Where programs are attached to user code.
    enum Places {
        case all
        /// Where functions are timed by return probes.
        case returnProbes
        /// At the return instructions of all others. These programs need not know of which function one is.
        case returnInstructions
    }

    fileprivate func number(_ number: UInt64) -> UInt32? { areNumbered ? UInt32(number) : nil }
}

extension ProbeTargets {
    private var kinds: Set<ProbeKind> { Set(targets.map(\.kind)) }

    /// Leaves out the programs that these targets, on this kernel, have no use for.
    ///
    /// - Parameter targets: nil for all kinds that the kernel has.
    static func configure(
        _ object: borrowing OpenObject, _ programs: ProbePrograms, _ targets: ProbeTargets?
    ) {
        func uses(_ kinds: Set<ProbeKind>) -> Bool {
            targets.map { !$0.kinds.isDisjoint(with: kinds) } ?? true
        }
        let manyUsers = Feature.userProbesInOne.isThere
        let manyKernel = Feature.kprobesInOne.isThere
        if let tracepoints = programs.tracepoints {
            if !uses([.tracepoint, .rawtracepoint]) {
                object.disable(tracepoints.raw)
                object.disable(tracepoints.perfEvent)
            }
            if targets.map({ $0.systemCalls.isEmpty }) ?? false { object.disable(tracepoints.systemCalls) }
        }
        let copiesUser = uses([.uprobe, .usdt]) && !manyUsers
        // Without kprobes there is nothing of the kernel's to attach it to.
        let copiesKernel = uses([.kprobe]) && Feature.kprobes.isThere && (targets != nil || !manyKernel)
        let copiesAny = copiesUser || (copiesKernel && programs.kernelFunctions != nil)
        if !copiesAny { object.disable(programs.function) }
        if manyUsers && uses([.uprobe, .usdt]) {
            object.setUserProbeKind(.many, of: programs.userFunctions)
        } else {
            object.disable(programs.userFunctions)
        }
        guard let kernelFunctions = programs.kernelFunctions else { return }
        if manyKernel && uses([.kprobe]) {
            object.setManyKernelFunctions(kernelFunctions)
        } else {
            object.disable(kernelFunctions)
        }
    }

    /// The numbers of the targets that are tracepoints of system calls, by the call's number and whether it ends.
    private var systemCalls: [(number: UInt32, target: Int, isExit: Bool)] {
        targets.enumerated().compactMap { index, target in
            guard case .systemCall(let number, let isExit) = target.place else { return nil }
            return (number, index, isExit)
        }
    }

    /// Attaches programs to all targets.
    ///
    /// - Returns: how many the kernel does not let be traced.
    func attach(_ programs: ProbePrograms, of object: LoadedObject, _ links: inout Links) throws -> Int {
        var refused = 0
        var kernelFunctions: [(name: String, cookie: UInt64)] = []
        for (number, target) in targets.enumerated() {
            switch target.place {
            case .tracepoint(let raw, let category):
                let names = (raw, category.map { ($0, target.name) })
                if try !attach(programs, object, UInt64(number), names, &links) { refused += 1 }
            case .systemCall, .userCode: break
            case .kernelFunction: kernelFunctions.append((target.name, UInt64(number)))
            }
        }
        try attachToSystemCalls(programs, object, &links)
        if let file {
            refused += try attach(programs, object, points(of: programs)[...], file.file.descriptor, &links)
        }
        refused += try attach(programs, object, kernelFunctions, &links)
        guard refused < targets.count || programs.places == .returnInstructions else {
            throw CommandFailure(
                "the kernel allows tracing none of the \(summary): run with -v for its reasons")
        }
        return refused
    }

    private func points(of programs: ProbePrograms) -> [UserProbePoint] {
        if programs.places == .returnInstructions {
            return returnInstructions.map { UserProbePoint(offset: $0) }
        }
        return targets.enumerated().flatMap { number, target -> [UserProbePoint] in
            guard case .userCode(let places) = target.place,
                programs.places == .all || target.timing == .returnProbe
            else { return [] }
            return places.map {
                UserProbePoint(
                    offset: $0.offset, cookie: UInt64(number) | target.flags, semaphore: $0.semaphore)
            }
        }
    }

    private func attachToSystemCalls(
        _ programs: ProbePrograms, _ object: LoadedObject, _ links: inout Links
    ) throws {
        let calls = systemCalls
        guard let program = programs.tracepoints?.systemCalls, !calls.isEmpty else { return }
        let map: HashMap<UInt32, UInt32> = object.map("system_calls")
        for call in calls {
            try map.set(call.number + (call.isExit ? Self.mostSystemCalls : 0), to: UInt32(call.target) + 1)
        }
        for (name, isExit) in [("sys_enter", false), ("sys_exit", true)]
        where calls.contains(where: { $0.isExit == isExit }) {
            try object.attachCopy(of: program, number: nil, to: .rawTracepoint(name), &links)
        }
    }

    /// By one link, or, where the kernel takes none of them that way, one by one.
    ///
    /// - Returns: how many it does not let be traced.
    private func attach(
        _ programs: ProbePrograms, _ object: LoadedObject, _ functions: [(name: String, cookie: UInt64)],
        _ links: inout Links
    ) throws -> Int {
        guard let many = programs.kernelFunctions else { return 0 }
        if Feature.kprobesInOne.isThere {
            let refused = try object.attachMany(
                many, to: functions[...], at: programs.moment, &links)
            guard refused == functions.count else { return refused }
        }
        var refused = 0
        for function in functions.prefix(Self.mostLinks) {
            do {
                try object.attachCopy(
                    of: programs.function, number: programs.number(function.cookie),
                    to: .kernelFunction(function.name, programs.moment), &links)
            } catch { refused += 1 }
        }
        return refused + max(0, functions.count - Self.mostLinks)
    }

    /// As a raw tracepoint, or else as a perf event.
    private func attach(
        _ programs: ProbePrograms, _ object: LoadedObject, _ number: UInt64,
        _ names: (raw: String?, inTracefs: (category: String, name: String)?), _ links: inout Links
    ) throws -> Bool {
        guard let tracepoints = programs.tracepoints else { return false }
        let number = programs.number(number)
        if let raw = names.raw,
            (try? object.attachCopy(of: tracepoints.raw, number: number, to: .rawTracepoint(raw), &links))
                != nil
        {
            return true
        }
        guard let name = names.inTracefs,
            let id = Tracefs.system?.id(category: name.category, name: name.name)
        else { return false }
        do {
            try object.attachCopy(of: tracepoints.perfEvent, number: number, to: .tracepoint(id), &links)
            return true
        } catch  where error.code == EPERM || error.code == ENOMEM || error.code == EMFILE {
            throw error
        } catch {
            return false
        }
    }

    /// The same for places of a file. (The kernel refuses instructions that it cannot step through, such as those
    /// with a lock prefix.)
    private func attach(
        _ programs: ProbePrograms, _ object: LoadedObject, _ points: ArraySlice<UserProbePoint>,
        _ file: Int32, _ links: inout Links
    ) throws -> Int {
        guard !points.isEmpty else { return 0 }
        // The kernel finds a process by its first thread. When that has ended, the programs choose.
        let process = process.flatMap { ProcFS().livingThread(of: $0) == $0 ? $0 : nil }
        do {
            if Feature.userProbesInOne.isThere {
                try object.attach(
                    programs.userFunctions, .many, at: programs.moment, toFile: file, Array(points),
                    process: process, adding: &links)
            } else if let point = points.first, points.count == 1 {
                try object.attachCopy(
                    of: programs.function, number: programs.number(point.cookie),
                    to: .userCode(file: file, point, programs.moment, process: process), &links)
            } else {
                return try attachHalves(programs, object, points, file, &links)
            }
            return 0
        } catch let error as BPFError where ![EPERM, ENOMEM, EMFILE].contains(error.code) {
            guard points.count > 1 else { return 1 }
            return try attachHalves(programs, object, points, file, &links)
        }
    }

    private func attachHalves(
        _ programs: ProbePrograms, _ object: LoadedObject, _ points: ArraySlice<UserProbePoint>,
        _ file: Int32, _ links: inout Links
    ) throws -> Int {
        guard points.count > 1 else { return 0 }
        let middle = points.startIndex + points.count / 2
        let first = try attach(programs, object, points[..<middle], file, &links)
        return first + (try attach(programs, object, points[middle...], file, &links))
    }
}

extension ProbeTargets.Target {
    /// What programs at its entry are told besides its number.
    fileprivate var flags: UInt64 {
        guard case .instructions(let ends) = timing else {
            return timing == .returnProbe ? UInt64(MAY_JUMP) : 0
        }
        return ends.mayJump ? UInt64(MAY_JUMP) : 0
    }
}

/// Probes that are in place. What reaches them counts from `begin` to `end`, for all of them alike.
///
/// They are taken away when this goes away: with many that takes time, for which a report need not wait.
final class AttachedProbes {
    private var links = Links()
    private let counting: SharedVariable<UInt32>

    /// Attaches them and says which could not be.
    init(
        _ targets: ProbeTargets, _ programs: [ProbePrograms], of object: LoadedObject, _ session: Session
    ) throws {
        counting = try object.sharedVariable("counting", as: UInt32.self)
        var refused = 0
        for programs in programs {
            let found = try targets.attach(programs, of: object, &links)
            if programs.places != .returnInstructions {
                refused = max(refused, found)
            } else if found > 0 {
                session.say(
                    "\(found) return instructions are left out, since the kernel does not let them be traced: calls "
                        + "that end there count as those that never returned")
            }
        }
        if refused > 0 {
            session.say(
                "\(refused) of the \(targets.summary) are left out: the kernel does not let them be traced")
        }
    }

    func begin() { counting.value = 1 }

    func end() { counting.value = 0 }
}
