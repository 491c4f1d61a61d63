// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Glibc
internal import Probing
internal import Processes
internal import Reporting
internal import Symbolization
internal import Tracing

/// The probes on the functions of a process's allocators.
final class AllocatorProbes {
    private let object: LoadedObject
    /// nil: all that map the files, and the programs tell them apart.
    private let process: Int32?
    private let finder: AllocatorFinder
    private let way: Way
    private let say: (String) -> Void
    /// Says with `-v` what was found.
    private let explain: (String) -> Void
    private var attached: [AttachedFile] = []
    /// Links for other processes that share the process's memory.
    private var sharers: [Int32: AttachedFile] = [:]
    /// What a link for one more process has to have.
    private var points: [(file: OpenFile, points: [UserProbePoint])] = []
    private var allocators = 0
    private(set) var functions = 0
    /// Files that begin exceptions: of no interest as long as nothing that is probed throws.
    private var unwinders: [FoundAllocator] = []
    private var mayThrow = false

    /// How programs are attached, by what the kernel has.
    enum Way {
        /// One program for entries and returns.
        case session
        /// One for each, told apart by cookies.
        case cookies
        /// An entry program for each kind of function.
        case plain

        static func best(for process: Int32?) -> Way {
            // The kernel finds a process's memory by its first thread, which has none when it has ended
            // (kernel/trace/bpf_trace.c, uprobe_multi_link_filter); other kinds of links are content with any thread.
            let isWhole = process.map { ProcFS().livingThread(of: $0) == $0 } ?? true
            if isWhole, Feature.userProbeSessions.isThere { return .session }
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

    /// The thread by which the kernel finds the process's memory.
    private var thread: Int32? { process.map { ProcFS().livingThread(of: $0) } }

    init(
        _ object: LoadedObject, process: Int32?, finder: AllocatorFinder, way: Way, session: Session
    ) {
        self.object = object
        self.process = process
        self.finder = finder
        self.way = way
        say = session.say
        explain = session.explain
    }

    static let entryPrograms = [
        "entry_0", "entry_1", "entry_2", "entry_3", "entry_4", "entry_5", "entry_6", "entry_7",
        "entry_8", "entry_9",
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

    /// Probes allocators in files that were mapped since the last look. One that the kernel refuses is said and left
    /// out, as long as there is another: a process can map files with functions where no instruction is.
    ///
    /// - Returns: whether there were any.
    ///
    /// - Parameter other: finds them in another process than the first.
    func look(with other: AllocatorFinder? = nil) throws(BPFError) -> Bool {
        let found = (other ?? finder).look()
        var refused: [(path: String, error: BPFError)] = []
        unwinders += found.filter { !$0.allocator.unwinders.isEmpty }
        mayThrow = mayThrow || found.contains { $0.allocator.functions.contains { $0.call == .new } }
        if mayThrow {
            for file in unwinders {
                do throws(BPFError) {
                    try attach(file.allocator.unwinders, of: file, mayCallAnother: false)
                } catch { refused.append((file.path, error)) }
            }
            unwinders = []
        }
        var isNew = false
        for found in found where !found.allocator.functions.isEmpty {
            if !found.allocator.leftOut.isEmpty {
                say(
                    "\(escaped(found.path)): \(escaped(found.allocator.leftOut.joined(separator: ", "))) cannot be "
                        + "traced: it may throw, and where it returns could not be found out")
            }
            // One that calls another: whatever it does may be nested.
            do throws(BPFError) {
                try attach(found.allocator.functions, of: found, mayCallAnother: allocators > 0)
            } catch {
                refused.append((found.path, error))
                continue
            }
            allocators += 1
            functions += found.allocator.functions.count
            isNew = true
        }
        if allocators == 0, let (_, error) = refused.first { throw error }
        for (path, error) in refused { say("\(escaped(path)) is left out: \(error)") }
        return isNew
    }

    /// Whether no file at all could be looked into, or only those of 32-bit code.
    var sawFiles: Bool { finder.filesSeen > 0 }
    var sawForeignFiles: Bool { finder.hasForeignFiles }

    func detach() {
        for file in attached { for box in file.links { box.links.detach() } }
        for (_, file) in sharers { for box in file.links { box.links.detach() } }
        attached = []
        sharers = [:]
    }

    /// Probes for another process with the same memory, of which the kernel tells apart whose call it is; other kinds of
    /// links look at the memory alone.
    func share(with other: Int32) throws(BPFError) {
        guard way == .session, process != nil, sharers[other] == nil else { return }
        let file = AttachedFile()
        for (code, points) in points {
            file.links.append(
                Box(
                    try object.attach(
                        "user_session", .session, toFile: code.descriptor, points, process: other)))
        }
        sharers[other] = file
    }

    /// Takes them off again.
    func leave(_ other: Int32) {
        for box in sharers.removeValue(forKey: other)?.links ?? [] { box.links.detach() }
    }

    private func attach(
        _ functions: [AllocatorFunction], of found: FoundAllocator, mayCallAnother: Bool
    ) throws(BPFError) {
        let file = AttachedFile()
        // Returns first: an entry without its return would be taken for a call that lasts.
        let leaves = Set(functions.flatMap(\.returns)).sorted().map {
            UserProbePoint(offset: $0, cookie: UInt64(CALL_LEAVE.rawValue))
        }
        switch way {
        case .session:
            let points = functions.map { function in
                UserProbePoint(offset: function.offset, cookie: cookie(function, nests: mayCallAnother))
            }
            file.links.append(
                Box(
                    try object.attach(
                        "user_session", .session, toFile: found.file.descriptor, leaves + points,
                        process: process)))
            if process != nil { self.points.append((found.file, leaves + points)) }
            for (other, shared) in sharers {
                shared.links.append(
                    Box(
                        try object.attach(
                            "user_session", .session, toFile: found.file.descriptor, leaves + points,
                            process: other)))
            }
        case .cookies, .plain:
            let returning = functions.filter(\.hasReturnProbe)
            file.links.append(
                Box(
                    try object.attach(
                        "user_return", at: .return, toFile: found.file.descriptor,
                        returning.map { UserProbePoint(offset: $0.offset) }, process: thread)))
            for point in leaves { try attach(point, CALL_LEAVE.rawValue, found, adding: file) }
            for function in functions {
                let point = UserProbePoint(
                    offset: function.offset, cookie: cookie(function, nests: mayCallAnother))
                try attach(point, function.call.rawValue, found, adding: file)
            }
        }
        for function in functions {
            explain(
                "\(escaped(found.path)): \(escaped(function.name)) at 0x\(String(function.offset, radix: 16))"
                    + (function.distance > 0 ? ", \(function.distance) bytes behind its entry" : "")
                    + (function.isEmulated ? "" : ", which the kernel has to single-step")
                    + (function.returns.isEmpty ? "" : ", and \(function.returns.count) return instructions"))
        }
        attached.append(file)
    }

    private func attach(
        _ point: UserProbePoint, _ call: UInt32, _ found: FoundAllocator, adding file: AttachedFile
    ) throws(BPFError) {
        let program = way == .cookies ? "user_entry" : Self.entryPrograms[Int(call)]
        file.links.append(
            Box(try object.attach(program, toFile: found.file.descriptor, [point], process: thread)))
    }

    private func cookie(_ function: AllocatorFunction, nests: Bool) -> UInt64 {
        UInt64(function.call.rawValue)
            | (function.nests || nests ? UInt64(CALL_NESTS.rawValue) : 0)
    }
}
