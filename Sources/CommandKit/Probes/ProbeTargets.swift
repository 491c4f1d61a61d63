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
        let place: Place
        /// Whether the kernel steps through the instruction there, which takes another trap.
        var isStepped = false
        /// Of a user function, as the file counts.
        var address: UInt64?
        /// How the ends of a user function's calls are seen; nil if nobody looks at them.
        var timing: Timing?

        /// Whether this kernel needs a perf event for this target alone.
        fileprivate var takesAnEvent: Bool {
            switch place {
            case .tracepoint(let raw, _): raw == nil
            case .systemCall: false
            case .kernelFunction: !Feature.kprobesInOne.isThere
            case .userCode: !Feature.userProbesInOne.isThere
            }
        }
    }

    /// Of perf events. As in BCC: the kernel takes tens of milliseconds to let go of each.
    static let mostLinks = 1000
    /// Half of the size of the map system_calls.
    static let mostSystemCalls: UInt32 = 1024

    enum Timing: Equatable {
        case instructions(FunctionEnds.Ends)
        /// The kernel puts an address of its own in the place of the return address.
        case returnProbe
    }

    enum Place {
        /// By the name that raw programs know, if they do, and the category, if tracefs has it.
        case tracepoint(raw: String?, category: String?)
        /// The entry or exit of a system call.
        case systemCall(UInt32, isExit: Bool)
        case kernelFunction
        case userCode([UserProbePoint])
    }

    private(set) var targets: [Target] = []
    /// The file of user code.
    let file: CodeFile?
    let process: Int32?

    /// Finds what matches.
    ///
    /// - Parameters:
    ///   - process: the only one that is traced, as far as is known now.
    ///   - kinds: those that the caller can trace.
    ///   - returns: how, if the caller looks at returns, too.
    /// - Throws: `CommandFailure` if that is nothing, or cannot be traced here.
    init(
        _ pattern: ProbePattern, process: Int32?, kinds: Set<ProbeKind>, returns: ReturnProbes? = nil,
        _ session: Session
    ) throws {
        self.process = process
        let wanted = pattern.kinds.intersection(kinds)
        if wanted.contains(.tracepoint), pattern.scope != nil || wanted == [.tracepoint] {
            targets = try Self.tracepoints(pattern, only: wanted == [.tracepoint])
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
        if let returns {
            targets = try FunctionTiming(file, returns, isPattern: pattern.plainName == nil, session)
                .timed(targets)
        }
        guard !targets.isEmpty else {
            throw CommandFailure(
                "nothing here matches '\(escaped(pattern.text))': apus probes lists what can be traced")
        }
        let events = targets.filter(\.takesAnEvent).count * (returns == nil ? 1 : 2) + extraEvents
        guard events <= Self.mostLinks else {
            throw CommandFailure(
                "'\(escaped(pattern.text))' matches \(summary), which take \(events) probes, and at most "
                    + "\(Self.mostLinks) can be attached at once: narrow it down")
        }
    }

    /// Return instructions that take a perf event each, but for one of each function.
    private var extraEvents: Int {
        Feature.userProbesInOne.isThere
            ? 0 : max(0, returnInstructions.count - targets.count { $0.timing != .returnProbe })
    }

    /// All return instructions at which calls end, by their offsets in the file; functions share some.
    var returnInstructions: [UInt64] {
        let all = targets.flatMap { target -> [UInt64] in
            guard case .instructions(let ends) = target.timing else { return [] }
            return ends.returns
        }
        return Set(all).sorted()
    }

    private static func noFile(_ scope: String, isOnlyUser: Bool) -> CommandFailure {
        CommandFailure(
            "there is no " + (isOnlyUser ? "" : "tracepoint category and no ")
                + "file '\(escaped(scope))' with 64-bit code: give the path of a program or library, or the name of "
                + "one, such as bash or c for libc")
    }

    private static func tracepoints(_ pattern: ProbePattern, only: Bool) throws -> [Target] {
        guard let tracefs = Tracefs.system else {
            guard only else { return [] }
            // Raw programs need only the name.
            if let name = pattern.plainName, let scope = pattern.scope,
                let place = Self.place(scope, name, isListed: false)
            {
                return [Target(kind: .tracepoint, scope: scope, name: name, place: place)]
            }
            throw CommandFailure("tracepoints are listed in tracefs: \(Tracefs.remedy)")
        }
        return tracefs.tracepoints().filter { tracepoint in
            pattern.category?.matches(tracepoint.category) ?? true && pattern.matches(tracepoint.name)
        }.sorted { ($0.category, $0.name) < ($1.category, $1.name) }.map { category, name in
            Target(
                kind: .tracepoint, scope: category, name: name,
                place: place(category, name, isListed: true) ?? .tracepoint(raw: nil, category: category))
        }
    }

    /// How to reach a tracepoint; nil for those of system calls that are not known here.
    private static func place(_ category: String, _ name: String, isListed: Bool) -> Place? {
        guard category == "syscalls" else {
            return .tracepoint(raw: name, category: isListed ? category : nil)
        }
        // Those are made out of two others.
        for (prefix, isExit) in [("sys_enter_", false), ("sys_exit_", true)] where name.hasPrefix(prefix) {
            guard let call = SystemCall.native(function: String(name.dropFirst(prefix.count))),
                call.number < mostSystemCalls
            else { return nil }
            return .systemCall(call.number, isExit: isExit)
        }
        return nil
    }

    private static func rawTracepoints(_ pattern: ProbePattern, _ session: Session) throws -> [Target] {
        let names = try session.kernelTypes().rawTracepoints().map(\.name).filter { pattern.matches($0) }
        return names.sorted().map {
            Target(kind: .rawtracepoint, scope: nil, name: $0, place: .tracepoint(raw: $0, category: nil))
        }
    }

    private static func kernelFunctions(_ pattern: ProbePattern) throws -> [Target] {
        let names = KernelFunctionNames.matching { pattern.matches($0) }.strings
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
        let functions = try functions(pattern, file, session)
        return functions.isEmpty && wanted.contains(.usdt) ? staticProbes(pattern, file) : functions
    }

    private static func functions(
        _ pattern: ProbePattern, _ file: CodeFile, _ session: Session
    ) throws -> [Target] {
        let found = UserFunction.find(in: file.elf, places: true) { pattern.matches($0) }
        let refused = found.filter(\.isRefused).map { escaped($0.name) }.joined(separator: ", ")
        if !refused.isEmpty {
            let reason =
                "the kernel puts no probe on the instruction that they begin with, or takes it for another: \(refused)"
            guard found.contains(where: { !$0.isRefused }) else { throw CommandFailure(reason) }
            session.say("left out, because " + reason)
        }
        return found.filter { !$0.isRefused }.map { function in
            session.explain(
                "\(escaped(file.path)): \(escaped(function.name)) at 0x\(String(function.offset, radix: 16))"
                    + (function.distance > 0 ? ", \(function.distance) bytes behind its entry" : "")
                    + (function.isEmulated ? "" : ", where the kernel steps through an instruction")
                    + (function.aliases.isEmpty
                        ? ""
                        : ", also known as \(function.aliases.map { escaped($0) }.joined(separator: ", "))"))
            return Target(
                kind: .uprobe, scope: file.path, name: function.name,
                place: .userCode([UserProbePoint(offset: function.offset + UInt64(function.distance))]),
                isStepped: !function.isEmulated, address: function.address)
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
