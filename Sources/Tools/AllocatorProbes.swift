// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Glibc
internal import Probing
internal import Reporting
internal import Symbolization
internal import Tracing

/// The probes on the functions of a process's allocators.
final class AllocatorProbes {
    private let object: LoadedObject
    private let process: Int32
    private let finder: AllocatorFinder
    private let way: Way
    /// Says with `-v` what was found.
    private let explain: (String) -> Void
    private var attached: [AttachedFile] = []
    private(set) var functions = 0

    /// How programs are attached, by what the kernel has.
    enum Way {
        /// One program for entries and returns.
        case session
        /// One for each, told apart by cookies.
        case cookies
        /// An entry program for each kind of function.
        case plain

        static var best: Way {
            if Feature.userProbeSessions.isThere { return .session }
            return Feature.userProbeCookies.isThere ? .cookies : .plain
        }
    }

    /// Noncopyable links cannot be in an array.
    private final class AttachedFile {
        var links: [Box] = []
    }

    private final class Box {
        var links: Links
        init(_ links: consuming Links) { self.links = links }
    }

    init(
        _ object: LoadedObject, process: Int32, finder: AllocatorFinder, way: Way,
        explain: @escaping (String) -> Void
    ) {
        self.object = object
        self.process = process
        self.finder = finder
        self.way = way
        self.explain = explain
    }

    static let entryPrograms = [
        "entry_0", "entry_1", "entry_2", "entry_3", "entry_4", "entry_5", "entry_6",
    ]

    /// Leaves out what a way has no use for.
    static func configure(_ object: borrowing OpenObject, _ way: Way) {
        if way == .session {
            object.setUserProbeKind(.session, of: "user_session")
            for program in ["user_entry", "user_return"] { object.disable(program) }
        } else {
            object.disable("user_session")
        }
        if way != .cookies { object.disable("user_entry") }
        if way != .plain { for program in entryPrograms { object.disable(program) } }
    }

    /// Probes allocators in files that were mapped since the last look.
    ///
    /// - Returns: whether there were any.
    func look() throws(BPFError) -> Bool {
        let found = finder.look()
        for found in found {
            // One that calls another: whatever it does may be nested.
            try attach(found, mayCallAnother: !attached.isEmpty)
        }
        return !found.isEmpty
    }

    /// Whether no file at all could be looked into, or only those of 32-bit code.
    var sawFiles: Bool { finder.filesSeen > 0 }
    var sawForeignFiles: Bool { finder.hasForeignFiles }

    func detach() {
        for file in attached { for box in file.links { box.links.detach() } }
        attached = []
    }

    private func attach(_ found: FoundAllocator, mayCallAnother: Bool) throws(BPFError) {
        let file = AttachedFile()
        let functions = found.allocator.functions
        switch way {
        case .session:
            let points = functions.map { function in
                UserProbePoint(offset: function.offset, cookie: cookie(function, nests: mayCallAnother))
            }
            file.links.append(
                Box(
                    try object.attach(
                        "user_session", .session, toFile: found.file.descriptor, points, process: process)))
        case .cookies, .plain:
            // Returns first: an entry without its return would be taken for a call that lasts.
            let returning = functions.filter { $0.call != .free }
            file.links.append(
                Box(
                    try object.attach(
                        "user_return", at: .return, toFile: found.file.descriptor,
                        returning.map { UserProbePoint(offset: $0.offset) }, process: process)))
            for function in functions {
                let program =
                    way == .cookies ? "user_entry" : Self.entryPrograms[Int(function.call.rawValue)]
                let point = UserProbePoint(
                    offset: function.offset, cookie: cookie(function, nests: mayCallAnother))
                file.links.append(
                    Box(
                        try object.attach(
                            program, toFile: found.file.descriptor, [point], process: process)))
            }
        }
        for function in functions {
            explain(
                "\(escaped(found.path)): \(escaped(function.name)) at 0x\(String(function.offset, radix: 16))"
                    + (function.distance > 0 ? ", \(function.distance) bytes behind its entry" : "")
                    + (function.isEmulated ? "" : ", which the kernel has to single-step"))
        }
        attached.append(file)
        self.functions += functions.count
    }

    private func cookie(_ function: AllocatorFunction, nests: Bool) -> UInt64 {
        UInt64(function.call.rawValue)
            | (function.nests || nests ? UInt64(CALL_NESTS.rawValue) : 0)
    }
}
