// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf
internal import CSupport
internal import Glibc

/// A place in a file's code to run a program at.
package struct UserProbePoint: Equatable, Sendable {
    /// Of the instruction, in the file. For returns it must be the entry, or an instruction that is reached from
    /// there with the stack pointer unchanged.
    package let offset: UInt64
    /// What `bpf_get_attach_cookie` gives the program; of no use before Linux 5.15.
    package let cookie: UInt64
    /// In the file, of a counter that is to be raised in each process as long as the probe is there; 0 for none.
    package let semaphore: UInt64

    package init(offset: UInt64, cookie: UInt64 = 0, semaphore: UInt64 = 0) {
        self.offset = offset
        self.cookie = cookie
        self.semaphore = semaphore
    }
}

/// How programs are put on user code.
package enum UserProbes {
    package enum Kind: Sendable {
        /// One link for each place.
        case single
        /// One link for all places of a file.
        case many
        /// The same, and the program runs at entries and, unless it returned 1 there, at returns.
        case session

        /// enum bpf_attach_type: BPF_TRACE_UPROBE_MULTI and BPF_TRACE_UPROBE_SESSION, which older headers lack.
        fileprivate var attachType: UInt32 {
            switch self {
            case .single: 0
            case .many: 48
            case .session: 57
            }
        }
    }

    /// When a program runs.
    package enum Moment: Sendable {
        case entry
        case `return`
    }

    static func isUserProbe(_ program: OpaquePointer) -> Bool {
        let section = String(cString: bpf_program__section_name(program))
        return section.hasPrefix("uprobe") || section.hasPrefix("uretprobe")
    }

    /// Asks for a probe in a folder: a kernel that has such links refuses with EBADF, since that is no file, and one
    /// that has not with EINVAL (kernel/trace/bpf_trace.c, bpf_uprobe_multi_link_attach). To attach a probe and take it
    /// away again would take tens of milliseconds.
    static func canLink(_ kind: Kind) -> Bool {
        var options = bpf_prog_load_opts()
        options.sz = MemoryLayout<bpf_prog_load_opts>.size
        options.expected_attach_type = bpf_attach_type(kind.attachType)
        // r0 = 0; exit
        var instructions = [bpf_insn(), bpf_insn()]
        instructions[0].code = 0xb7
        instructions[1].code = 0x95
        let program = bpf_prog_load(BPF_PROG_TYPE_KPROBE, nil, "GPL", &instructions, 2, &options)
        guard program >= 0 else { return false }
        defer { close(program) }
        let link = UserProbeLink(program: program, kind: kind, moment: .entry, process: nil)
        do throws(BPFError) {
            close(try link.create("/", [UserProbePoint(offset: 0)]))
            return true
        } catch {
            return error.code == EBADF
        }
    }
}

extension OpenObject {
    /// Says how a program of a user probe will be attached: the verifier wants to know.
    package func setUserProbeKind(_ kind: UserProbes.Kind, of program: String) {
        guard let program = bpf_object__find_program_by_name(object, program) else {
            preconditionFailure("the BPF object has no program \(program)")
        }
        bpf_program__set_expected_attach_type(program, bpf_attach_type(kind.attachType))
    }
}

extension LoadedObject {
    /// Puts a program on places in a file's code.
    ///
    /// - Parameters:
    ///   - kind: as it was set before the object was loaded; `.single` if it was not.
    ///   - file: open for reading. Any name that leads to the file will do for the kernel, and this one is sure
    ///     to be the file that was looked into.
    ///   - process: the only one that is traced; nil for all.
    /// - Throws: `BPFError`; then nothing is attached.
    package func attach(
        _ program: String, _ kind: UserProbes.Kind = .single, at moment: UserProbes.Moment = .entry,
        toFile file: Int32, _ points: [UserProbePoint], process: Int32? = nil
    ) throws(BPFError) -> Links {
        guard let found = bpf_object__find_program_by_name(object, program) else {
            preconditionFailure("the BPF object has no program \(program)")
        }
        var links = Links()
        try attach(found, kind, at: moment, toFile: file, points, process: process, adding: &links)
        return links
    }

    /// The same, for links that are kept with others.
    package func attach(
        _ program: String, _ kind: UserProbes.Kind, at moment: UserProbes.Moment = .entry,
        toFile file: Int32, _ points: [UserProbePoint], process: Int32? = nil, adding links: inout Links
    ) throws(BPFError) {
        guard let found = bpf_object__find_program_by_name(object, program) else {
            preconditionFailure("the BPF object has no program \(program)")
        }
        try attach(found, kind, at: moment, toFile: file, points, process: process, adding: &links)
    }

    private func attach(
        _ found: OpaquePointer, _ kind: UserProbes.Kind, at moment: UserProbes.Moment, toFile file: Int32,
        _ points: [UserProbePoint], process: Int32?, adding links: inout Links
    ) throws(BPFError) {
        guard !points.isEmpty else { return }
        let path = "/proc/self/fd/\(file)"
        if kind == .single {
            for point in points {
                links.add(try Self.attach(found, at: moment, path, point, process))
            }
        } else {
            let link = UserProbeLink(
                program: bpf_program__fd(found), kind: kind, moment: moment, process: process)
            links.add(descriptor: try link.create(path, points))
        }
    }

    private static func attach(
        _ program: OpaquePointer, at moment: UserProbes.Moment, _ path: String, _ point: UserProbePoint,
        _ process: Int32?
    ) throws(BPFError) -> OpaquePointer {
        var options = bpf_uprobe_opts()
        options.sz = MemoryLayout<bpf_uprobe_opts>.size
        options.retprobe = moment == .return
        options.bpf_cookie = Feature.userProbeCookies.isThere ? point.cookie : 0
        return try check(
            bpf_program__attach_uprobe_opts(
                program, process ?? -1, path, Int(clamping: point.offset), &options),
            "attach a probe to user code at offset \(point.offset)")
    }
}

/// A link of type uprobe_multi.
private struct UserProbeLink {
    let program: Int32
    let kind: UserProbes.Kind
    let moment: UserProbes.Moment
    let process: Int32?

    /// - Returns: its descriptor.
    func create(_ path: String, _ points: [UserProbePoint]) throws(BPFError) -> Int32 {
        let offsets = points.map(\.offset)
        let cookies = points.map(\.cookie)
        let semaphores = points.map(\.semaphore)
        let descriptor = offsets.withUnsafeBufferPointer { offsets in
            cookies.withUnsafeBufferPointer { cookies in
                semaphores.withUnsafeBufferPointer { semaphores in
                    path.withCString { path -> Int32 in
                        var probes = apus_user_probes(
                            program: program, attach_type: kind.attachType, path: path,
                            offsets: offsets.baseAddress, cookies: cookies.baseAddress,
                            reference_counters: points.contains { $0.semaphore > 0 }
                                ? semaphores.baseAddress : nil,
                            count: UInt32(points.count),
                            returns: moment == .return ? 1 : 0, process: process ?? 0)
                        return apus_uprobe_multi_link(&probes)
                    }
                }
            }
        }
        guard descriptor >= 0 else {
            throw BPFError("attach \(points.count) probes to user code", code: errno)
        }
        return descriptor
    }
}
