// SPDX-License-Identifier: Apache-2.0
internal import CSupport
internal import Glibc
internal import Probing
internal import Processes
internal import Reporting
internal import Tracing

/// One place that can be traced.
struct ListedProbe {
    /// An argument, a field, or a fact about the place.
    struct Detail {
        var name = ""
        var type = ""
        var offset: Int?
        var size: Int?
        var isSigned = false
        var areFlags = false
        var meanings: [(value: String, name: String)] = []
        /// A register or an address, as the assembler writes it.
        var operand: String?
    }

    let kind: ProbeKind
    /// The category or the file; nil if there is none.
    var scope: String?
    let name: String
    var details: [Detail] = []
    /// What a function returns.
    var result: String?
    /// In the file, of user code.
    var offset: UInt64?

    var title: String { kind.rawValue + ":" + (scope.map { $0 + ":" } ?? "") + name }
}

/// Finds what matches, and prints it.
final class ProbeListing {
    private let command: ProbesCommand
    private let pattern: ProbePattern?
    private let output = Output()
    private let writer: ProbeListWriter
    private var types: KernelTypesBox?
    private(set) var printed = 0

    /// Noncopyable types cannot be optional properties that are set later.
    private final class KernelTypesBox {
        let types: KernelTypes
        init(path: String?) throws(BPFError) { types = try KernelTypes(path: path) }
    }

    init(_ command: ProbesCommand) {
        self.command = command
        pattern = command.pattern
        writer = ProbeListWriter(json: command.json, verbose: command.verbose)
    }

    func print() throws {
        for kind in ProbeKind.allCases where isWanted(kind) {
            let count = kind == .kprobe && !command.verbose ? try writeKernelFunctions() : try write(kind)
            if count > 0 || pattern?.kinds == [kind] { explain(kind) }
            printed += count
            // Whoever waits for the first ones need not wait for all.
            try output.flush()
        }
    }

    private func write(_ kind: ProbeKind) throws -> Int {
        let found = try probes(kind)
        for probe in found { try output.write { writer.write(probe, to: $0) } }
        return found.count
    }

    /// Those of the kernel, which are many, by their names alone.
    private func writeKernelFunctions() throws -> Int {
        guard pattern?.scope == nil else { return 0 }
        let names = kernelFunctionNames()
        try names.forEach { name in
            try output.write { [writer] in
                if writer.json {
                    let name = String(decoding: name, as: UTF8.self)
                    return writer.write(ListedProbe(kind: .kprobe, name: name), to: $0)
                }
                $0.append("kprobe:")
                _ = $0.appendEscaped(name)
                $0.append("\n")
            }
        }
        return names.count
    }

    private func kernelFunctionNames() -> SortedNames {
        KernelFunctionNames.matching { [pattern] name in pattern.map { $0.matches(name) } ?? true }
    }

    private func isWanted(_ kind: ProbeKind) -> Bool {
        let isUser = kind == .uprobe || kind == .usdt
        guard pattern?.allows(kind) ?? true else { return false }
        // Of user code there is too much for anybody who has not named a file or a process.
        if isUser { return command.process != nil || pattern?.scope != nil }
        return command.process == nil
    }

    private func say(_ message: String) { writeError("probes: \(message)") }

    private func explain(_ kind: ProbeKind) {
        guard let feature = kind.feature, !feature.isThere else { return }
        let missing = Privileges.missing(ProcFS().effectiveCapabilities(of: getpid()) ?? 0)
        guard !feature.needsPrivilege || missing.isEmpty else { return }
        say("this kernel cannot trace \(kind.title): that needs \(feature.requirement)")
    }

    private func matches(_ name: String, in kind: ProbeKind) -> Bool {
        pattern.map { $0.matches(name) } ?? true
    }

    private func probes(_ kind: ProbeKind) throws -> [ListedProbe] {
        switch kind {
        case .tracepoint: try tracepoints()
        case .rawtracepoint: try rawTracepoints(for: .rawtracepoint)
        case .kprobe: try kernelFunctions()
        case .software: events(PerfEventName.software, .software)
        case .hardware: events(PerfEventName.hardware, .hardware)
        case .uprobe: try userFunctions()
        case .usdt: try staticProbes()
        }
    }

    private func events(_ all: [PerfEventName], _ kind: ProbeKind) -> [ListedProbe] {
        guard pattern?.scope == nil else { return [] }
        return all.filter { matches($0.name, in: kind) && $0.isThere }
            .map { ListedProbe(kind: kind, name: $0.name) }
            .sorted { $0.name < $1.name }
    }

    // MARK: The kernel's

    private func kernelTypes() throws -> KernelTypesBox {
        if let types { return types }
        let made = try KernelTypesBox(path: command.btf)
        types = made
        return made
    }

    private func tracepoints() throws -> [ListedProbe] {
        guard let tracefs = Tracefs.system else {
            // They have no categories: all of one cannot be told.
            let canTell = pattern.map { !$0.allows(.rawtracepoint) && !$0.text.hasSuffix(":*") } ?? false
            let found = canTell ? try rawTracepoints(for: .tracepoint) : []
            say(
                "tracepoints are listed in tracefs: \(Tracefs.remedy)"
                    + (found.isEmpty ? "" : "; until then, raw tracepoints from the kernel's types"))
            return found
        }
        let found = tracefs.tracepoints().filter { tracepoint in
            guard let pattern else { return true }
            let scopeMatches = pattern.category?.matches(tracepoint.category) ?? true
            // "t:sched*" without a second colon is about the category too.
            return scopeMatches
                && (pattern.matches(tracepoint.name)
                    || pattern.scope == nil && pattern.matches(tracepoint.category + ":" + tracepoint.name))
        }
        return found.map { tracepoint in
            var probe = ListedProbe(kind: .tracepoint, scope: tracepoint.category, name: tracepoint.name)
            guard command.verbose else { return probe }
            probe.details = tracefs.fields(category: tracepoint.category, name: tracepoint.name).map {
                ListedProbe.Detail(
                    name: $0.name, type: $0.type, offset: $0.offset, size: $0.size, isSigned: $0.isSigned,
                    areFlags: $0.areFlags, meanings: $0.meanings)
            }
            return probe
        }.sorted { ($0.scope ?? "", $0.name) < ($1.scope ?? "", $1.name) }
    }

    private func rawTracepoints(for wanted: ProbeKind) throws -> [ListedProbe] {
        guard wanted == .tracepoint || pattern?.scope == nil else { return [] }
        // Whoever lists everything learns about the rest even without types.
        guard command.btf != nil || KernelTypes.areNative else {
            if pattern?.kinds.count == 1 { try KernelTypes.require(path: nil) }
            return []
        }
        return try kernelTypes().types.rawTracepoints().filter { matches($0.name, in: .rawtracepoint) }
            .map { tracepoint in
                ListedProbe(
                    kind: .rawtracepoint, name: tracepoint.name, details: Self.details(tracepoint.arguments))
            }.sorted { $0.name < $1.name }
    }

    private static func details(_ arguments: [KernelArgument]) -> [ListedProbe.Detail] {
        arguments.map { ListedProbe.Detail(name: $0.name, type: $0.type) }
    }

    private func kernelFunctions() throws -> [ListedProbe] {
        guard pattern?.scope == nil else { return [] }
        let names = kernelFunctionNames().strings
        guard command.btf != nil || KernelTypes.areNative else {
            return names.map { ListedProbe(kind: .kprobe, name: $0) }
        }
        let signatures = try kernelTypes().types.signatures(of: Set(names))
        return names.map { name in
            let signature = signatures[name]
            return ListedProbe(
                kind: .kprobe, name: name, details: Self.details(signature?.arguments ?? []),
                result: signature?.result)
        }
    }

    // MARK: User code

    private lazy var files: [CodeFile] = {
        if let scope = pattern?.scope {
            return CodeFiles.find(scope, process: command.process).map { [$0] } ?? []
        }
        return command.process.map { CodeFiles.of(process: $0) } ?? []
    }()

    private func codeFiles() throws -> [CodeFile] {
        if let process = command.process, ProcFS().identity(of: process) == nil {
            throw CommandFailure("there is no process \(process)")
        }
        if files.isEmpty, let pattern, pattern.kinds.isSubset(of: [.uprobe, .usdt]), let scope = pattern.scope
        {
            throw CommandFailure(
                "there is no file '\(escaped(scope))' with 64-bit code: give the path of a program or library, or "
                    + "the name of one, such as bash or c for libc")
        }
        return files
    }

    private func userFunctions() throws -> [ListedProbe] {
        try codeFiles().flatMap { file in
            UserFunction.find(in: file.elf, places: command.verbose) { [pattern] name in
                pattern.map { $0.matches(name) } ?? true
            }.flatMap { function in
                // Each name can be asked for.
                ([function.name] + function.aliases).map { name in
                    ListedProbe(kind: .uprobe, scope: file.path, name: name, offset: function.offset)
                }
            }
        }.sorted { ($0.scope ?? "", $0.name) < ($1.scope ?? "", $1.name) }
    }

    private func staticProbes() throws -> [ListedProbe] {
        try codeFiles().flatMap { file in
            StaticProbe.find(in: file.elf).filter { probe in
                matches(probe.name, in: .usdt) || matches(probe.provider + ":" + probe.name, in: .usdt)
            }.map { probe in
                let operands = probe.arguments.split(separator: " ").map(String.init)
                return ListedProbe(
                    kind: .usdt, scope: file.path, name: probe.provider + ":" + probe.name,
                    details: operands.enumerated().map { Self.detail($1, number: $0 + 1) },
                    offset: probe.offset)
            }
        }.sorted { ($0.scope ?? "", $0.name, $0.offset ?? 0) < ($1.scope ?? "", $1.name, $1.offset ?? 0) }
    }

    /// "-4@%edi": a signed argument of four bytes in edi. Other sizes than these are none.
    static func detail(_ operand: String, number: Int) -> ListedProbe.Detail {
        let parts = operand.split(separator: "@", maxSplits: 1)
        guard parts.count == 2, let size = Int(parts[0]), [1, 2, 4, 8].contains(size.magnitude) else {
            return ListedProbe.Detail(name: "arg\(number)", operand: operand)
        }
        return ListedProbe.Detail(
            name: "arg\(number)", type: "\(size < 0 ? "" : "u")int\(8 * abs(size))",
            size: abs(size), isSigned: size < 0, operand: String(parts[1]))
    }
}

/// A perf event that the kernel counts by a number (linux/perf_event.h).
struct PerfEventName {
    let name: String
    let type: UInt32
    let config: UInt64

    var isThere: Bool {
        let descriptor = apus_perf_event_open(type, config)
        guard descriptor >= 0 else {
            // Not for us, but there.
            return errno == EACCES || errno == EPERM
        }
        close(descriptor)
        return true
    }

    static let software: [PerfEventName] = [
        "cpu-clock", "task-clock", "page-faults", "context-switches", "cpu-migrations", "minor-faults",
        "major-faults", "alignment-faults", "emulation-faults", "dummy", "bpf-output", "cgroup-switches",
    ].enumerated().map { PerfEventName(name: $1, type: 1, config: UInt64($0)) }

    static let hardware: [PerfEventName] = [
        "cpu-cycles", "instructions", "cache-references", "cache-misses", "branch-instructions",
        "branch-misses", "bus-cycles", "stalled-cycles-frontend", "stalled-cycles-backend", "ref-cycles",
    ].enumerated().map { PerfEventName(name: $1, type: 0, config: UInt64($0)) }
}
