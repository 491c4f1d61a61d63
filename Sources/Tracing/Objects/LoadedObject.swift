// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf
internal import Glibc

/// An object whose programs the kernel has accepted.
package final class LoadedObject {
    let object: OpaquePointer

    /// Programs that were loaded beside the object's own: their descriptors.
    var copies: [Int32] = []

    init(taking object: OpaquePointer) { self.object = object }

    deinit {
        for copy in copies { close(copy) }
        bpf_object__close(object)
    }

    /// Attaches every program that was loaded to the hook that its section names.
    package func attachAll(to links: inout Links) throws(BPFError) {
        var program = bpf_object__next_program(object, nil)
        while let current = program {
            // Programs of perf events are attached to events that somebody has to open first.
            // Those of user probes need a file and a place in it.
            if bpf_program__fd(current) >= 0, bpf_program__type(current) != BPF_PROG_TYPE_PERF_EVENT,
                !UserProbes.isUserProbe(current), !ProgramCopies.needsAPlace(current)
            {
                let name = String(cString: bpf_program__name(current))
                if let place = ProgramCopies.tracepoint(of: current) {
                    // libbpf looks for the tracepoint's number where tracefs is mounted, and only there.
                    try attachCopy(of: name, number: nil, to: place, &links)
                } else {
                    links.add(try check(bpf_program__attach(current), "attach the BPF program \(name)"))
                }
            }
            program = bpf_object__next_program(object, current)
        }
    }

    package func map<Key: BitwiseCopyable, Value: BitwiseCopyable>(
        _ name: String, key: Key.Type = Key.self, value: Value.Type = Value.self
    ) -> HashMap<Key, Value> {
        HashMap(OpenObject.map(name, of: object))
    }

    /// The file descriptor of a map, for what has no wrapper. It stays the object's.
    func descriptor(ofMap name: String) -> Int32 {
        bpf_map__fd(OpenObject.map(name, of: object))
    }

    /// Adds a number to a map of type BPF_MAP_TYPE_QUEUE.
    package func push(_ number: UInt32, to queue: String) throws(BPFError) {
        var number = number
        try check(
            bpf_map__update_elem(
                OpenObject.map(queue, of: object), nil, 0, &number, MemoryLayout<UInt32>.size, UInt64(BPF_ANY)
            ),
            "fill the map \(queue)")
    }

    /// The capacity of a map: bytes of a ring buffer.
    package func hasMap(_ name: String) -> Bool { bpf_object__find_map_by_name(object, name) != nil }

    func entries(ofMap name: String) -> Int {
        Int(bpf_map__max_entries(OpenObject.map(name, of: object)))
    }

    /// A variable of the programs, shared with them while they run.
    ///
    /// - Precondition: it exists and has the size of `Value`.
    package func sharedVariable<Value: BitwiseCopyable>(
        _ name: String, as: Value.Type
    ) throws(BPFError) -> SharedVariable<Value> {
        guard let (map, place) = OpenObject.dataMap(of: name, in: object),
            place.size == MemoryLayout<Value>.size
        else { preconditionFailure("the BPF object has no variable \(name) of that size") }
        return try SharedVariable(
            map: bpf_map__fd(map), size: Int(bpf_map__value_size(map)), offset: place.offset)
    }

    /// Runs that the kernel skipped because the program was already running on that CPU (Linux 5.12), by the name of
    /// the program. Of a program that runs twice (`…_again`), no more than both have missed.
    package func skippedRuns() -> [String: UInt64] {
        var skipped: [String: UInt64] = [:]
        var program = bpf_object__next_program(object, nil)
        while let current = program {
            if let runs = Self.skippedRuns(bpf_program__fd(current))?.runs {
                skipped[String(cString: bpf_program__name(current))] = runs
            }
            program = bpf_object__next_program(object, current)
        }
        for (name, runs) in skipped where name.hasSuffix("_again") {
            let first = String(name.dropLast("_again".count))
            skipped[first] = min(runs, skipped[first] ?? 0)
            skipped[name] = nil
        }
        for copy in copies {
            guard let (name, runs) = Self.skippedRuns(copy) else { continue }
            skipped[name, default: 0] += runs
        }
        return skipped.filter { $0.value > 0 }
    }

    private static func skippedRuns(_ descriptor: Int32) -> (name: String, runs: UInt64)? {
        var info = bpf_prog_info()
        var size = UInt32(MemoryLayout<bpf_prog_info>.size)
        guard descriptor >= 0, bpf_obj_get_info_by_fd(descriptor, &info, &size) == 0 else { return nil }
        let name = withUnsafeBytes(of: info.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return (name, info.recursion_misses)
    }
}

extension LoadedObject {
    /// Attaches a program to a perf event, whose descriptor the link takes over.
    func attach(_ program: String, toPerfEvent descriptor: Int32) throws(BPFError) -> OpaquePointer {
        guard let program = bpf_object__find_program_by_name(object, program) else {
            preconditionFailure("the BPF object has no program \(program)")
        }
        let link = bpf_program__attach_perf_event(program, descriptor)
        if link == nil { close(descriptor) }
        return try check(link, "attach a BPF program to a perf event")
    }
}
