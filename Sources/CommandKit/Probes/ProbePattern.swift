// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser
internal import Reporting
internal import Tracing

/// Kinds of places that programs can be attached to, in the order in which they are listed: what is quickly found
/// comes first.
enum ProbeKind: String, CaseIterable {
    case hardware, software, tracepoint, rawtracepoint, kprobe, uprobe, usdt

    /// What a person calls them.
    var title: String {
        switch self {
        case .hardware: "hardware events"
        case .kprobe: "kernel functions through kprobes"
        case .rawtracepoint: "raw tracepoints"
        case .software: "software events"
        case .tracepoint: "tracepoints"
        case .uprobe: "user functions"
        case .usdt: "USDT probes"
        }
    }

    /// What the kernel has to have for it. (Raw tracepoints are found out with privileges only.)
    var feature: Feature? {
        switch self {
        case .hardware: .hardwareCycles
        case .kprobe: .kprobes
        case .rawtracepoint: .rawTracepoints
        case .software: .softwareClock
        case .tracepoint: nil
        case .uprobe, .usdt: .uprobes
        }
    }
}

/// What a command is to look at, as text such as "t:sched:*", "vfs_*", "c:malloc" or "u:/bin/bash:readline".
package struct ProbePattern: Equatable, Sendable {
    /// The kinds that the text allows.
    let kinds: Set<ProbeKind>
    /// A tracepoint's category or the file of user code; nil if the text has none.
    let scope: String?
    let name: Glob
    /// The scope of a tracepoint, as a pattern.
    let category: Glob?
    /// In place of `name`.
    private let expression: RegularExpression?
    /// The name if it is no pattern.
    let plainName: String?
    let text: String

    private static let kindNames: [String: Set<ProbeKind>] = [
        "t": [.tracepoint], "tracepoint": [.tracepoint],
        "rt": [.rawtracepoint], "rawtracepoint": [.rawtracepoint], "raw_tp": [.rawtracepoint],
        "k": [.kprobe], "kprobe": [.kprobe], "f": [.kprobe], "fentry": [.kprobe],
        "u": [.uprobe, .usdt], "uprobe": [.uprobe], "U": [.usdt], "usdt": [.usdt],
        "s": [.software], "software": [.software], "h": [.hardware], "hardware": [.hardware],
        "p": [.kprobe, .uprobe],
    ]

    package static func == (first: Self, second: Self) -> Bool {
        first.text == second.text && (first.expression == nil) == (second.expression == nil)
    }

    /// - Parameter regular: the name is a regular expression, which is searched for, as BCC does with `-r`.
    /// - Throws: `ValidationError` for what cannot be read.
    package init(_ text: String, regular: Bool = false) throws {
        self.text = text
        var kinds = Set(ProbeKind.allCases)
        var rest = text[...]
        var namesKind = false
        if let colon = text.firstIndex(of: ":"), let named = Self.kindNames[String(text[..<colon])] {
            kinds = named
            rest = text[text.index(after: colon)...]
            namesKind = true
        }
        var scope: String?
        // A path may have colons, a name has none, but for those of C++.
        if let colon = Self.separator(rest) {
            scope = String(rest[..<colon])
            rest = rest[rest.index(after: colon)...]
        }
        // BCC: p::function is the kernel's, p:file:function is not.
        if let found = scope, namesKind, kinds == [.kprobe, .uprobe] {
            kinds = found.isEmpty ? [.kprobe] : [.uprobe]
        }
        if scope?.isEmpty == true { scope = nil }
        if scope != nil, !namesKind { kinds = [.tracepoint, .uprobe, .usdt] }
        guard !rest.isEmpty else {
            throw ValidationError("'\(escaped(text))' has no name at its end: write * for all names.")
        }
        self.kinds = kinds
        self.scope = scope
        expression = regular ? try RegularExpression(String(rest)) : nil
        name = try Glob(regular ? "*" : String(rest))
        category = try scope.map { try Glob($0) }
        plainName = regular || rest.contains { "*?[\\".contains($0) } ? nil : String(rest)
    }

    func matches(_ name: UnsafeRawBufferPointer) -> Bool {
        guard let expression else { return self.name.matches(name) }
        return expression.isFound(in: Array(name))
    }

    func matches(_ name: String) -> Bool {
        var name = name
        return name.withUTF8 { matches(UnsafeRawBufferPointer($0)) }
    }

    /// The last colon that is not part of "::".
    private static func separator(_ text: Substring) -> Substring.Index? {
        var place = text.endIndex
        while place > text.startIndex {
            place = text.index(before: place)
            guard text[place] == ":" else { continue }
            let before = place > text.startIndex ? text.index(before: place) : place
            guard before < place, text[before] == ":", before > text.startIndex else { return place }
            place = before
        }
        return nil
    }

    func allows(_ kind: ProbeKind) -> Bool { kinds.contains(kind) }
}

func parseProbePattern(_ text: String) throws -> ProbePattern { try ProbePattern(text) }
