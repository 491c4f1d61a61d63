// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf
internal import Glibc

/// An array map that both sides have in memory: what is written here, running programs see at once.
package final class SharedArray<Element: BitwiseCopyable> {
    private let mapping: UnsafeMutableRawPointer
    private let bytes: Int
    private let elements: UnsafeMutablePointer<Element>
    /// How many elements there are.
    package let count: Int

    /// - Parameters:
    ///   - descriptor: of a map of type BPF_MAP_TYPE_ARRAY, made with BPF_F_MMAPABLE, whose values take a multiple of
    ///     8 bytes (the kernel rounds them up to that).
    ///   - bytes: of all its values.
    fileprivate init(descriptor: Int32, bytes: Int) throws(BPFError) {
        let page = Int(getpagesize())
        self.bytes = (bytes + page - 1) / page * page
        guard let mapping = mmap(nil, self.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
            mapping != MAP_FAILED
        else { throw BPFError("map an array of the programs", code: errno) }
        self.mapping = mapping
        count = bytes / MemoryLayout<Element>.stride
        elements = mapping.bindMemory(to: Element.self, capacity: count)
    }

    deinit { munmap(mapping, bytes) }

    /// - Precondition: the index is not negative and below `count`.
    package subscript(index: Int) -> Element {
        get {
            precondition(index >= 0 && index < count)
            return elements[index]
        }
        set {
            precondition(index >= 0 && index < count)
            elements[index] = newValue
        }
    }

    /// Writes what `make` returns for each index of a range.
    package func fill(_ range: Range<Int>, _ make: (Int) -> Element) {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        for index in range { elements[index] = make(index - range.lowerBound) }
    }
}

extension LoadedObject {
    /// The elements of an array map that was declared with BPF_F_MMAPABLE.
    package func sharedArray<Element: BitwiseCopyable>(
        _ name: String, of: Element.Type = Element.self
    ) throws(BPFError) -> SharedArray<Element> {
        let map = OpenObject.map(name, of: object)
        return try SharedArray(
            descriptor: bpf_map__fd(map),
            bytes: Int(bpf_map__max_entries(map)) * Int(bpf_map__value_size(map)))
    }

    /// Makes an array and puts it into a map of arrays, which keeps it.
    ///
    /// - Parameters:
    ///   - outer: a map of type BPF_MAP_TYPE_ARRAY_OF_MAPS.
    ///   - values: how many values the array has, and `valueBytes` how large each is, as in the outer map's template.
    package func addArray<Element: BitwiseCopyable>(
        to outer: String, at index: Int, values: Int, valueBytes: Int, of: Element.Type = Element.self
    ) throws(BPFError) -> SharedArray<Element> {
        var options = bpf_map_create_opts()
        options.sz = MemoryLayout<bpf_map_create_opts>.size
        options.map_flags = UInt32(BPF_F_MMAPABLE)
        let descriptor = bpf_map_create(
            BPF_MAP_TYPE_ARRAY, "apus_rows", 4, UInt32(valueBytes), UInt32(values), &options)
        guard descriptor >= 0 else { throw BPFError("make an array for the programs", code: errno) }
        defer { close(descriptor) }
        let array = try SharedArray<Element>(descriptor: descriptor, bytes: values * valueBytes)
        var key = UInt32(index)
        var value = descriptor
        try check(
            bpf_map_update_elem(self.descriptor(ofMap: outer), &key, &value, 0),
            "add an array to the map \(outer)")
        return array
    }
}
