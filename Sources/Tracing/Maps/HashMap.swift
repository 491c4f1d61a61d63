// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf

/// A hash map of the loaded object. Borrowed: it must not outlive the object.
package struct HashMap<Key: BitwiseCopyable, Value: BitwiseCopyable> {
    let map: OpaquePointer

    init(_ map: OpaquePointer) { self.map = map }

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
