// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser
internal import Glibc
internal import Probing
internal import Processes
internal import Reporting
internal import Symbolization
internal import Tracing

/// The places that a pattern stands for, each with a number.
struct ProbeTargets {
    /// A function, a tracepoint or a USDT probe; several places of a file if that has it several times.
    struct Target {
        let kind: ProbeKind
        /// The category or the file.
        let scope: String?
        let name: String
        fileprivate let place: Place

        /// Whether this kernel needs a link for this target alone.
        fileprivate var takesALink: Bool {
            switch place {
            case .tracepoint: true
            case .kernelFunction: !Feature.kprobesInOne.isThere
            case .userCode: !Feature.userProbesInOne.isThere
            }
        }
    }

    /// As in BCC: the kernel takes tens of milliseconds to let go of each.
    private static let mostLinks = 1000

    fileprivate enum Place {
        /// By the name that raw programs know, if they do, and tracefs's number, if it has one.
        case tracepoint(raw: String?, id: UInt64?)
        case kernelFunction
        case userCode([UserProbePoint])
    }

    private(set) var targets: [Target] = []
    /// The file of user code.
    private let file: CodeFile?
    private let process: Int32?

    /// Finds what matches.
    ///
    /// - Parameters:
    ///   - process: the only one that is traced, as far as is known now.
    ///   - kinds: those that the caller can trace.
    /// - Throws: `CommandFailure` if that is nothing, or cannot be traced here.
    init(_ pattern: ProbePattern, process: Int32?, kinds: Set<ProbeKind>, _ session: Session) throws {
        self.process = process
        let wanted = pattern.kinds.intersection(kinds)
        let tracefs = Tracefs()
        if wanted.contains(.tracepoint), pattern.scope != nil || wanted == [.tracepoint] {
            targets = try Self.tracepoints(pattern, tracefs, only: wanted == [.tracepoint])
        }
        if wanted == [.rawtracepoint] { targets = try Self.rawTracepoints(pattern, session) }
        var file: CodeFile?
        if targets.isEmpty, !wanted.isDisjoint(with: [.uprobe, .usdt]), wanted != [.tracepoint] {
            if let scope = pattern.scope {
                file = CodeFiles.find(scope, process: process)
                guard file != nil else { throw Self.noFile(scope, isOnlyUser: !wanted.contains(.tracepoint)) }
            } else if !wanted.contains(.kprobe) {
                throw CommandFailure(
                    "'\(escaped(pattern.text))' names no file: write u:FILE:NAME, such as u:c:malloc")
            }
        }
        self.file = file
        if let file { targets = try Self.userCode(pattern, file, wanted, session) }
        if targets.isEmpty, wanted.contains(.kprobe), pattern.scope == nil {
            targets = try Self.kernelFunctions(pattern)
        }
        guard !targets.isEmpty else {
            throw CommandFailure(
                "nothing here matches '\(escaped(pattern.text))': apus probes lists what can be traced")
        }
        guard targets.count(where: \.takesALink) <= Self.mostLinks else {
            throw CommandFailure(
                "'\(escaped(pattern.text))' matches \(summary), of which at most \(Self.mostLinks) can be traced at "
                    + "once: narrow it down")
        }
    }

    private static func noFile(_ scope: String, isOnlyUser: Bool) -> CommandFailure {
        CommandFailure(
            "there is no " + (isOnlyUser ? "" : "tracepoint category and no ")
                + "file '\(escaped(scope))' with 64-bit code: give the path of a program or library, or the name of "
                + "one, such as bash or c for libc")
    }

    private static func tracepoints(_ pattern: ProbePattern, _ tracefs: Tracefs?, only: Bool) throws
        -> [Target]
    {
        guard let tracefs else {
            guard only else { return [] }
            // Raw programs need only the name.
            if let name = pattern.plainName, let scope = pattern.scope, scope != "syscalls" {
                return [
                    Target(
                        kind: .tracepoint, scope: scope, name: name, place: .tracepoint(raw: name, id: nil))
                ]
            }
            throw CommandFailure(
                "tracepoints are listed in tracefs, which is not mounted: \(Feature.tracefs.requirement)")
        }
        return tracefs.tracepoints().filter { tracepoint in
            pattern.category?.matches(tracepoint.category) ?? true && pattern.matches(tracepoint.name)
        }.sorted { ($0.category, $0.name) < ($1.category, $1.name) }.map { tracepoint in
            // Those of system calls are made out of two others.
            let raw = tracepoint.category == "syscalls" ? nil : tracepoint.name
            return Target(
                kind: .tracepoint, scope: tracepoint.category, name: tracepoint.name,
                place: .tracepoint(
                    raw: raw, id: tracefs.id(category: tracepoint.category, name: tracepoint.name)))
        }
    }

    private static func rawTracepoints(_ pattern: ProbePattern, _ session: Session) throws -> [Target] {
        let names = try session.kernelTypes().rawTracepoints().map(\.name).filter { pattern.matches($0) }
        return names.sorted().map {
            Target(kind: .rawtracepoint, scope: nil, name: $0, place: .tracepoint(raw: $0, id: nil))
        }
    }

    private static func kernelFunctions(_ pattern: ProbePattern) throws -> [Target] {
        let names = KernelFunctionNames.matching { pattern.matches($0) }
        guard names.isEmpty || Feature.kprobesInOne.isThere || Feature.kprobes.isThere else {
            throw CommandFailure(
                "this kernel cannot trace its functions: that needs \(Feature.kprobes.requirement); tracepoints "
                    + "(t:CATEGORY:NAME) and user functions (FILE:NAME) can be traced")
        }
        return names.map { Target(kind: .kprobe, scope: nil, name: $0, place: .kernelFunction) }
    }

    private static func userCode(
        _ pattern: ProbePattern, _ file: CodeFile, _ wanted: Set<ProbeKind>, _ session: Session
    ) throws -> [Target] {
        guard Feature.uprobes.isThere else {
            throw CommandFailure(
                "this kernel cannot trace user functions: that needs \(Feature.uprobes.requirement)")
        }
        // u:FILE:NAME means a USDT probe first, FILE:NAME a function.
        let asksForProbes = wanted.contains(.usdt) && !wanted.contains(.tracepoint)
        if asksForProbes {
            let found = staticProbes(pattern, file)
            if !found.isEmpty || !wanted.contains(.uprobe) { return found }
        }
        let functions = functions(pattern, file, session)
        return functions.isEmpty && wanted.contains(.usdt) ? staticProbes(pattern, file) : functions
    }

    private static func functions(
        _ pattern: ProbePattern, _ file: CodeFile, _ session: Session
    ) -> [Target] {
        UserFunction.find(in: file.elf, places: true) { pattern.matches($0) }.map { function in
            session.explain(
                "\(escaped(file.path)): \(escaped(function.name)) at 0x\(String(function.offset, radix: 16))"
                    + (function.distance > 0 ? ", \(function.distance) bytes behind its entry" : "")
                    + (function.aliases.isEmpty
                        ? ""
                        : ", also known as \(function.aliases.map { escaped($0) }.joined(separator: ", "))"))
            return Target(
                kind: .uprobe, scope: file.path, name: function.name,
                place: .userCode([UserProbePoint(offset: function.offset + UInt64(function.distance))]))
        }
    }

    private static func staticProbes(_ pattern: ProbePattern, _ file: CodeFile) -> [Target] {
        var places: [String: [UserProbePoint]] = [:]
        for probe in StaticProbe.find(in: file.elf) {
            let name = "\(probe.provider):\(probe.name)"
            guard pattern.matches(probe.name) || pattern.matches(name) else { continue }
            let point = UserProbePoint(offset: probe.offset, semaphore: probe.semaphore)
            if places[name]?.contains(where: { $0.offset == point.offset }) != true {
                places[name, default: []].append(point)
            }
        }
        return places.sorted { $0.key < $1.key }.map {
            Target(kind: .usdt, scope: file.path, name: $0.key, place: .userCode($0.value))
        }
    }

    /// What is found, for a message: "12 tracepoints".
    var summary: String {
        let titles: [ProbeKind: (one: String, many: String)] = [
            .tracepoint: ("tracepoint", "tracepoints"), .rawtracepoint: ("tracepoint", "tracepoints"),
            .kprobe: ("kernel function", "kernel functions"), .uprobe: ("user function", "user functions"),
            .usdt: ("USDT probe", "USDT probes"),
        ]
        guard let first = targets.first, let title = titles[first.kind] else { return "" }
        return "\(targets.count) \(targets.count == 1 ? title.one : title.many)"
    }
}

/// The programs of an object that run at entries, by how they are attached.
struct ProbePrograms {
    /// Whether programs have to know where they run: then those that are attached to one place are copies.
    var areNumbered = true
    let rawTracepoint: String
    let tracepoint: String
    /// Copied for each function, of the kernel or of a file.
    let function: String
    /// Attached to many by one link.
    let userFunctions: String
    let kernelFunctions: String

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
        if !uses([.tracepoint, .rawtracepoint]) {
            object.disable(programs.rawTracepoint)
            object.disable(programs.tracepoint)
        }
        let copiesUser = uses([.uprobe, .usdt]) && !manyUsers
        // Without kprobes there is nothing of the kernel's to attach it to.
        let copiesKernel = uses([.kprobe]) && Feature.kprobes.isThere && (targets != nil || !manyKernel)
        if !copiesUser && !copiesKernel { object.disable(programs.function) }
        if manyUsers && uses([.uprobe, .usdt]) {
            object.setUserProbeKind(.many, of: programs.userFunctions)
        } else {
            object.disable(programs.userFunctions)
        }
        if manyKernel && uses([.kprobe]) {
            object.setManyKernelFunctions(programs.kernelFunctions)
        } else {
            object.disable(programs.kernelFunctions)
        }
    }

    /// Attaches programs to all targets.
    ///
    /// - Returns: how many the kernel does not let be traced.
    func attach(_ programs: ProbePrograms, of object: LoadedObject, _ links: inout Links) throws -> Int {
        var refused = 0
        var kernelFunctions: [(name: String, cookie: UInt64)] = []
        var points: [UserProbePoint] = []
        for (number, target) in targets.enumerated() {
            switch target.place {
            case .tracepoint(let raw, let id):
                if try !attach(programs, object, UInt64(number), raw, id, &links) { refused += 1 }
            case .kernelFunction: kernelFunctions.append((target.name, UInt64(number)))
            case .userCode(let places):
                points += places.map {
                    UserProbePoint(offset: $0.offset, cookie: UInt64(number), semaphore: $0.semaphore)
                }
            }
        }
        if let file { try attach(programs, object, points, file, &links) }
        refused += try attach(programs, object, kernelFunctions, &links)
        guard refused < targets.count else {
            throw CommandFailure("the kernel lets none of the \(summary) be traced")
        }
        return refused
    }

    /// By one link, or, where the kernel takes none of them that way, one by one.
    ///
    /// - Returns: how many it does not let be traced.
    private func attach(
        _ programs: ProbePrograms, _ object: LoadedObject, _ functions: [(name: String, cookie: UInt64)],
        _ links: inout Links
    ) throws -> Int {
        if Feature.kprobesInOne.isThere {
            let refused = try object.attachMany(programs.kernelFunctions, to: functions[...], &links)
            guard refused == functions.count else { return refused }
        }
        var refused = 0
        for function in functions.prefix(Self.mostLinks) {
            do {
                try object.attachCopy(
                    of: programs.function, number: programs.number(function.cookie),
                    to: .kernelFunction(function.name, .entry), &links)
            } catch { refused += 1 }
        }
        return refused + max(0, functions.count - Self.mostLinks)
    }

    private func attach(
        _ programs: ProbePrograms, _ object: LoadedObject, _ number: UInt64, _ raw: String?, _ id: UInt64?,
        _ links: inout Links
    ) throws -> Bool {
        if let raw,
            (try? object.attachCopy(
                of: programs.rawTracepoint, number: programs.number(number), to: .rawTracepoint(raw), &links))
                != nil
        {
            return true
        }
        guard let id else { return false }
        do {
            try object.attachCopy(
                of: programs.tracepoint, number: programs.number(number), to: .tracepoint(id), &links)
            return true
        } catch  where error.code == EPERM || error.code == ENOMEM || error.code == EMFILE {
            throw error
        } catch {
            return false
        }
    }

    private func attach(
        _ programs: ProbePrograms, _ object: LoadedObject, _ points: [UserProbePoint], _ file: CodeFile,
        _ links: inout Links
    ) throws {
        guard Feature.userProbesInOne.isThere else {
            for point in points {
                try object.attachCopy(
                    of: programs.function, number: programs.number(point.cookie),
                    to: .userCode(file: file.file.descriptor, point, .entry, process: process), &links)
            }
            return
        }
        try object.attach(
            programs.userFunctions, .many, toFile: file.file.descriptor, points, process: process,
            adding: &links)
    }
}
