// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf
internal import CSupport
internal import Glibc

/// An object whose ELF file has been parsed and that can still be configured. Opening needs no privilege.
package struct OpenObject: ~Copyable {
    let object: OpaquePointer

    /// - Parameter btf: a file with the kernel's BTF, where the kernel itself does not offer it.
    package init(_ image: ObjectImage, btf: String? = nil) throws(BPFError) {
        // libbpf keeps its own copies; ours only have to live through the call.
        let name = strdup(image.name)
        let path = btf.flatMap { strdup($0) }
        defer {
            free(name)
            free(path)
        }
        var options = bpf_object_open_opts()
        options.sz = MemoryLayout<bpf_object_open_opts>.size
        options.object_name = UnsafePointer(name)
        options.btf_custom_path = UnsafePointer(path)
        let opened = withExtendedLifetime(image) {
            bpf_object__open_mem(image.bytes.baseAddress, image.bytes.count, &options)
        }
        object = try check(opened, "open the BPF object \(image.name)")
    }

    deinit { bpf_object__close(object) }

    /// Sets a constant of the program (`const volatile` in C) before it is loaded.
    ///
    /// - Precondition: the variable exists and has the size of `Value`; tests check that for every command.
    package func setConstant<Value: BitwiseCopyable>(_ variable: String, to value: Value) {
        guard let place = Self.variable(variable, of: object) else {
            preconditionFailure("the BPF object has no constant \(variable)")
        }
        precondition(place.count == MemoryLayout<Value>.size, "\(variable) differs in size")
        place.storeBytes(of: value, as: Value.self)
    }

    /// The number of entries that a map will have, in bytes for a ring buffer.
    package func resize(_ map: String, to entries: UInt32) throws(BPFError) {
        try check(bpf_map__set_max_entries(Self.map(map, of: object), entries), "resize the map \(map)")
    }

    /// Puts a map that is pinned somewhere in the place of one that the object would make.
    package func replace(_ map: String, by pinned: borrowing PinnedMap) throws(BPFError) {
        try check(
            bpf_map__reuse_fd(Self.map(map, of: object), pinned.descriptor), "use a pinned map as \(map)")
    }

    /// Leaves a program out: it is neither verified nor attached.
    package func disable(_ program: String) {
        guard let program = bpf_object__find_program_by_name(object, program) else {
            preconditionFailure("the BPF object has no program \(program)")
        }
        bpf_program__set_autoload(program, false)
    }

    package func hasMap(_ name: String) -> Bool { bpf_object__find_map_by_name(object, name) != nil }

    /// The size of a map's values, where the program does not depend on it.
    package func resizeValues(of map: String, to bytes: UInt32) throws(BPFError) {
        try check(
            bpf_map__set_value_size(Self.map(map, of: object), bytes), "resize the values of the map \(map)")
    }

    /// Hands the object to the kernel's verifier, which takes tens of milliseconds.
    ///
    /// - Parameter work: done meanwhile; it must not use libbpf.
    /// - Throws: `BPFError` with the end of the verifier's log.
    package consuming func load(meanwhile work: (() -> Void)? = nil) throws(BPFError) -> LoadedObject {
        // libbpf reads all of the kernel's types twice over for a moment: the peak of our memory.
        apus_release_code_pages()
        do {
            try check(Self.load(object, meanwhile: work), "load the BPF programs")
        } catch {
            throw error  // deinit closes the object
        }
        return LoadedObject(taking: take())
    }

    private static func load(_ object: OpaquePointer, meanwhile work: (() -> Void)?) -> Int32 {
        guard let work else { return bpf_object__load(object) }
        var result: Int32 = 0
        let loading = SideThread { result = bpf_object__load(object) }
        work()
        loading.join()
        return result
    }

    private consuming func take() -> OpaquePointer {
        let object = object
        discard self
        return object
    }

    static func map(_ name: String, of object: OpaquePointer) -> OpaquePointer {
        guard let map = bpf_object__find_map_by_name(object, name) else {
            preconditionFailure("the BPF object has no map \(name)")
        }
        return map
    }

    /// The bytes of a global variable in libbpf's copy of the data, which the kernel takes over when it loads.
    private static func variable(_ name: String, of object: OpaquePointer) -> UnsafeMutableRawBufferPointer? {
        guard let (map, place) = dataMap(of: name, in: object) else { return nil }
        var size = 0
        guard let start = apus_map_initial_value(map, &size), place.offset + place.size <= size else {
            return nil
        }
        return UnsafeMutableRawBufferPointer(start: start + place.offset, count: place.size)
    }

    /// The map that holds a global variable, and where in it.
    static func dataMap(
        of name: String, in object: OpaquePointer
    ) -> (map: OpaquePointer, place: ObjectLayout.Place)? {
        guard let place = ObjectLayout.locate(variable: name, in: object) else { return nil }
        var map = bpf_object__next_map(object, nil)
        while let current = map {
            // libbpf names these maps "<object>.rodata": only the ending is ours to rely on.
            if String(cString: bpf_map__name(current)).hasSuffix(place.section) { return (current, place) }
            map = bpf_object__next_map(object, current)
        }
        return nil
    }
}

/// An object whose programs the kernel has accepted.
package final class LoadedObject {
    let object: OpaquePointer

    /// Programs that were loaded beside the object's own: their descriptors.
    var copies: [Int32] = []

    fileprivate init(taking object: OpaquePointer) { self.object = object }

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

/// Attached programs. They are detached when this goes away, or with the process, however that ends.
package struct Links: ~Copyable {
    private var links: [OpaquePointer] = []
    /// Of links that libbpf has no object for.
    private var descriptors: [Int32] = []

    package init() {}

    mutating func add(_ link: OpaquePointer) { links.append(link) }

    mutating func add(descriptor: Int32) { descriptors.append(descriptor) }

    /// Detaches everything now: what happens from here on is no longer seen.
    package mutating func detach() {
        for link in links { bpf_link__destroy(link) }
        for descriptor in descriptors { close(descriptor) }
        links = []
        descriptors = []
    }

    deinit {
        for link in links { bpf_link__destroy(link) }
        for descriptor in descriptors { close(descriptor) }
    }
}

/// A global variable of running programs: what either side writes, the other one sees.
package final class SharedVariable<Value: BitwiseCopyable> {
    private let mapping: UnsafeMutableRawPointer
    private let bytes: Int
    /// Valid as long as this object.
    let pointer: UnsafeMutablePointer<Value>

    /// - Parameters:
    ///   - map: descriptor of an array map with one element, made with BPF_F_MMAPABLE, as libbpf's data maps are.
    ///   - size: of that element, in bytes.
    fileprivate init(map: Int32, size: Int, offset: Int) throws(BPFError) {
        bytes = size
        guard let mapping = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0), mapping != MAP_FAILED
        else {
            throw BPFError("map the programs' variables", code: errno)
        }
        self.mapping = mapping
        pointer = (mapping + offset).assumingMemoryBound(to: Value.self)
    }

    deinit { munmap(mapping, bytes) }

    package var value: Value {
        get { pointer.pointee }
        set { pointer.pointee = newValue }
    }
}

/// A hash map of the loaded object. Borrowed: it must not outlive the object.
package struct HashMap<Key: BitwiseCopyable, Value: BitwiseCopyable> {
    let map: OpaquePointer

    fileprivate init(_ map: OpaquePointer) { self.map = map }

    /// Adds an entry unless the key has one already, or the map is full.
    package func add(_ key: Key, _ value: Value) {
        var key = key
        var value = value
        _ = bpf_map__update_elem(
            map, &key, MemoryLayout<Key>.size, &value, MemoryLayout<Value>.size, UInt64(BPF_NOEXIST))
    }

    /// The value of a key; nil if it has none.
    package func value(_ key: Key) -> Value? {
        var key = key
        let place = UnsafeMutablePointer<Value>.allocate(capacity: 1)
        defer { place.deallocate() }
        let found = bpf_map__lookup_elem(
            map, &key, MemoryLayout<Key>.size, place, MemoryLayout<Value>.size, 0)
        return found == 0 ? place.pointee : nil
    }

    /// Calls `body` with every entry. Entries that are added or removed meanwhile may be seen or not.
    package func forEach(_ body: (Key, UnsafePointer<Value>) throws -> Void) rethrows {
        // On the heap: a value can be large.
        let place = UnsafeMutablePointer<Value>.allocate(capacity: 1)
        let keys = UnsafeMutablePointer<Key>.allocate(capacity: 2)
        defer {
            place.deallocate()
            keys.deallocate()
        }
        var previous: UnsafeMutablePointer<Key>?
        while bpf_map__get_next_key(map, previous, keys + 1, MemoryLayout<Key>.size) == 0 {
            keys[0] = keys[1]
            previous = keys
            let found = bpf_map__lookup_elem(
                map, keys, MemoryLayout<Key>.size, place, MemoryLayout<Value>.size, 0)
            if found == 0 { try body(keys[0], place) }
        }
    }

    /// Removes an entry, if there is one.
    package func remove(_ key: Key) {
        var key = key
        _ = bpf_map__delete_elem(map, &key, MemoryLayout<Key>.size, 0)
    }

    /// The bytes of a value, of a map whose values are larger than a struct says; nil if the key has none.
    package func bytes(_ key: Key) -> [UInt8]? {
        var key = key
        let size = Int(bpf_map__value_size(map))
        var found: Int32 = -1
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in
            found = bpf_map__lookup_elem(
                map, &key, MemoryLayout<Key>.size, buffer.baseAddress, size, 0)
            filled = found == 0 ? size : 0
        }
        return found == 0 ? bytes : nil
    }

    /// Writes a value of a map whose values are larger than a struct says.
    /// - Parameter bytes: cut, or filled up with zeros, to that size.
    package func set(_ key: Key, bytes: [UInt8]) throws(BPFError) {
        var key = key
        let size = Int(bpf_map__value_size(map))
        var value = Array(bytes.prefix(size))
        value += [UInt8](repeating: 0, count: size - value.count)
        try check(
            bpf_map__update_elem(map, &key, MemoryLayout<Key>.size, &value, size, 0),
            "fill the map \(String(cString: bpf_map__name(map)))")
    }

    package func set(_ key: Key, to value: Value) throws(BPFError) {
        var key = key
        var value = value
        let result = bpf_map__update_elem(
            map, &key, MemoryLayout<Key>.size, &value, MemoryLayout<Value>.size, 0)
        try check(result, "fill the map \(String(cString: bpf_map__name(map)))")
    }
}
