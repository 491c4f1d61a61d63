// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import CLibbpf
internal import CSupport
internal import Glibc

/// Copies of a program, each with the number of the one place that it is attached to.
///
/// A program that is attached to many places has to know at which one it runs. Links of many have cookies for that;
/// others only on newer kernels. So we load the program once for each place, with the number in its code, where
/// PROBE_NUMBER stands in the original.
package enum ProgramCopies {
    /// BPF_TRACE_KPROBE_MULTI of enum bpf_attach_type.
    private static let kernelFunctionsType: UInt32 = 42

    /// Whether the section of a program says only what kind it is, and not where to attach it.
    static func needsAPlace(_ program: OpaquePointer) -> Bool {
        !String(cString: bpf_program__section_name(program)).contains("/")
    }

    /// The tracepoint that the section of a program names, "tp/CATEGORY/NAME", by its number; nil if it names none, or
    /// the kernel has none of that name.
    static func tracepoint(of program: OpaquePointer) -> LoadedObject.CopyPlace? {
        let words = String(cString: bpf_program__section_name(program)).utf8.split(
            separator: UInt8(ascii: "/"))
        guard words.count == 3, words[0].elementsEqual("tp".utf8) else { return nil }
        return Tracefs.system?.id(category: String(Substring(words[1])), name: String(Substring(words[2])))
            .map { .tracepoint($0) }
    }

    /// Tries it on a function that is there to be traced (net/bpf/test_run.c).
    static func canLinkKernelFunctions() -> Bool {
        var options = bpf_prog_load_opts()
        options.sz = MemoryLayout<bpf_prog_load_opts>.size
        options.expected_attach_type = bpf_attach_type(kernelFunctionsType)
        // r0 = 0; exit
        var instructions = [bpf_insn(), bpf_insn()]
        instructions[0].code = 0xb7
        instructions[1].code = 0x95
        let program = bpf_prog_load(BPF_PROG_TYPE_KPROBE, nil, "GPL", &instructions, 2, &options)
        guard program >= 0 else { return false }
        defer { close(program) }
        let link = "bpf_fentry_test1".withCString { name -> Int32 in
            var names: [UnsafePointer<CChar>?] = [name]
            return names.withUnsafeMutableBufferPointer { names in
                var options = bpf_link_create_opts()
                options.sz = MemoryLayout<bpf_link_create_opts>.size
                options.kprobe_multi.cnt = 1
                options.kprobe_multi.syms = names.baseAddress
                return bpf_link_create(program, 0, bpf_attach_type(kernelFunctionsType), &options)
            }
        }
        guard link >= 0 else { return false }
        close(link)
        return true
    }

    /// Each place takes up to two descriptors; the hard limit is ours to use.
    fileprivate static let allowManyFiles: Void = {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = min(limit.rlim_max, 1 << 17)
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }()

    /// The type of a kind of perf event that has no number of its own; nil if the kernel lacks it.
    fileprivate static func eventType(_ name: StaticString) -> UInt32? {
        let descriptor = open("/sys/bus/event_source/devices/\(name)/type", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = read(descriptor, &bytes, bytes.count)
        return UInt32(String(decoding: bytes.prefix(max(0, count)).prefix { $0 != 10 }, as: UTF8.self))
    }
}

extension OpenObject {
    /// Says that a program will be attached to many functions of the kernel by one link.
    package func setManyKernelFunctions(_ program: String) {
        guard let program = bpf_object__find_program_by_name(object, program) else {
            preconditionFailure("the BPF object has no program \(program)")
        }
        bpf_program__set_expected_attach_type(program, BPF_TRACE_KPROBE_MULTI)
    }
}

extension LoadedObject {
    /// A place that a copy of a program is attached to.
    package enum CopyPlace: Sendable {
        /// A tracepoint by its name in the kernel's source.
        case rawTracepoint(String)
        /// One by its number in tracefs.
        case tracepoint(UInt64)
        /// At the entry of a function, or its return.
        case kernelFunction(String, UserProbes.Moment)
        /// In a file that is open for reading.
        case userCode(file: Int32, UserProbePoint, UserProbes.Moment, process: Int32?)
    }

    /// Attaches a copy of a program that has `number` in the place of PROBE_NUMBER; the program itself without one.
    ///
    /// - Throws: `BPFError`; then nothing has been added to `links`.
    package func attachCopy(
        of program: String, number: UInt32?, to place: CopyPlace, _ links: inout Links
    ) throws(BPFError) {
        _ = ProgramCopies.allowManyFiles
        let copy: Int32
        if let number {
            copy = try loadCopy(program, number)
        } else {
            guard let found = bpf_object__find_program_by_name(object, program) else {
                preconditionFailure("the BPF object has no program \(program)")
            }
            copy = bpf_program__fd(found)
        }
        if case .rawTracepoint(let name) = place {
            let link = bpf_raw_tracepoint_open(name, copy)
            guard link >= 0 else { throw BPFError("attach to the tracepoint \(name)", code: -link) }
            links.add(descriptor: link)
            return
        }
        let event = Self.open(place)
        guard event >= 0 else { throw BPFError("attach to \(Self.title(place))", code: errno) }
        guard apus_attach_to_event(event, copy) == 0 else {
            let code = errno
            close(event)
            throw BPFError("attach to \(Self.title(place))", code: code)
        }
        links.add(descriptor: event)
    }

    private func loadCopy(_ name: String, _ number: UInt32) throws(BPFError) -> Int32 {
        guard let program = bpf_object__find_program_by_name(object, name),
            let original = bpf_program__insns(program)
        else { preconditionFailure("the BPF object has no program \(name)") }
        let count = Int(bpf_program__insn_cnt(program))
        var instructions = Array(UnsafeBufferPointer(start: original, count: count))
        // A load of 64 bits is two instructions with 32 each.
        let low = Int32(truncatingIfNeeded: PROBE_NUMBER)
        let high = Int32(truncatingIfNeeded: PROBE_NUMBER >> 32)
        for index in instructions.indices.dropLast()
        where instructions[index].code == 0x18 && instructions[index].imm == low
            && instructions[index + 1].imm == high
        {
            instructions[index].imm = Int32(bitPattern: number)
            instructions[index + 1].imm = 0
        }
        var options = bpf_prog_load_opts()
        options.sz = MemoryLayout<bpf_prog_load_opts>.size
        let copy = bpf_prog_load(
            bpf_program__type(program), "apus_copy", "Dual BSD/GPL", instructions, instructions.count,
            &options)
        guard copy >= 0 else { throw BPFError("load a copy of the BPF program \(name)", code: -copy) }
        copies.append(copy)
        return copy
    }

    /// Opens a perf event; -1 and errno on failure.
    private static func open(_ place: CopyPlace) -> Int32 {
        var event = apus_probe_event()
        switch place {
        case .rawTracepoint: return -1
        case .tracepoint(let id):
            event.type = PERF_TYPE_TRACEPOINT.rawValue
            event.config = id
            return apus_probe_event_open(&event)
        case .kernelFunction(let name, let moment):
            guard let type = ProgramCopies.eventType("kprobe") else {
                errno = ENOTSUP
                return -1
            }
            event.type = type
            event.config = moment == .return ? 1 : 0
            return name.withCString { name in
                event.place = UInt64(UInt(bitPattern: name))
                return apus_probe_event_open(&event)
            }
        case .userCode(let file, let point, let moment, let process):
            guard let type = ProgramCopies.eventType("uprobe") else {
                errno = ENOTSUP
                return -1
            }
            event.type = type
            // /sys/bus/event_source/devices/uprobe/format
            event.config = (moment == .return ? 1 : 0) | point.semaphore << 32
            event.offset = point.offset
            event.process = process ?? 0
            return "/proc/self/fd/\(file)".withCString { path in
                event.place = UInt64(UInt(bitPattern: path))
                return apus_probe_event_open(&event)
            }
        }
    }

    private static func title(_ place: CopyPlace) -> String {
        switch place {
        case .rawTracepoint(let name): "the tracepoint \(name)"
        case .tracepoint(let id): "the tracepoint number \(id)"
        case .kernelFunction(let name, _): "the kernel's function \(name)"
        case .userCode(_, let point, _, _): "user code at offset \(point.offset)"
        }
    }

    /// Attaches a program to functions of the kernel by one link; their cookies are what stands beside their names.
    ///
    /// - Returns: how many of them the kernel does not let be traced.
    package func attachMany(
        _ program: String, to functions: ArraySlice<(name: String, cookie: UInt64)>,
        at moment: UserProbes.Moment = .entry, _ links: inout Links
    ) throws(BPFError) -> Int {
        guard !functions.isEmpty else { return 0 }
        guard let found = bpf_object__find_program_by_name(object, program) else {
            preconditionFailure("the BPF object has no program \(program)")
        }
        if let link = Self.linkMany(found, functions, moment) {
            links.add(link)
            return 0
        }
        let code = errno
        guard functions.count > 1 else { return 1 }
        // One that cannot be traced spoils them all: it is in one of the halves.
        guard code != EPERM, code != ENOMEM else { throw BPFError("attach to kernel functions", code: code) }
        let middle = functions.startIndex + functions.count / 2
        let first = try attachMany(program, to: functions[..<middle], at: moment, &links)
        return first + (try attachMany(program, to: functions[middle...], at: moment, &links))
    }

    private static func linkMany(
        _ program: OpaquePointer, _ functions: ArraySlice<(name: String, cookie: UInt64)>,
        _ moment: UserProbes.Moment
    ) -> OpaquePointer? {
        let names = functions.map { strdup($0.name) }
        defer { for name in names { free(name) } }
        var pointers: [UnsafePointer<CChar>?] = names.map { UnsafePointer($0) }
        let cookies = functions.map(\.cookie)
        return cookies.withUnsafeBufferPointer { cookies in
            pointers.withUnsafeMutableBufferPointer { pointers in
                var options = bpf_kprobe_multi_opts()
                options.sz = MemoryLayout<bpf_kprobe_multi_opts>.size
                options.syms = pointers.baseAddress
                options.cookies = cookies.baseAddress
                options.cnt = pointers.count
                options.retprobe = moment == .return
                return bpf_program__attach_kprobe_multi_opts(program, nil, &options)
            }
        }
    }
}

/// Counters that each CPU has for itself.
extension LoadedObject {
    /// The value of each CPU for an index of a BPF_MAP_TYPE_PERCPU_ARRAY of 64-bit numbers; empty if there is none.
    package func numbersByCPU(_ map: String, at index: UInt32) -> [UInt64] {
        let count = Int(libbpf_num_possible_cpus())
        guard count > 0 else { return [] }
        var key = index
        var values = [UInt64](repeating: 0, count: count)
        let found = bpf_map__lookup_elem(
            OpenObject.map(map, of: object), &key, MemoryLayout<UInt32>.size, &values,
            count * MemoryLayout<UInt64>.size, 0)
        return found == 0 ? values : []
    }
}
