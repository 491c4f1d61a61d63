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
