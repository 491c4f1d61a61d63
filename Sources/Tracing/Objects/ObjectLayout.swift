// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf

/// What an object's BTF says about its types, variables, maps and programs.
package enum ObjectLayout {
    struct Place {
        let section: String
        let offset: Int
        let size: Int
    }

    /// Where a global variable lies: its section, offset and size in bytes.
    static func locate(variable name: String, in object: OpaquePointer) -> Place? {
        guard let btf = bpf_object__btf(object) else { return nil }
        for id in 1..<max(1, btf__type_cnt(btf)) {
            guard let type = btf__type_by_id(btf, id), kind(of: type) == apus_btf_kind_datasec else {
                continue
            }
            let section = text(btf, type.pointee.name_off)
            let variables = UnsafeRawPointer(type + 1).assumingMemoryBound(to: btf_var_secinfo.self)
            for index in 0..<count(of: type) {
                let entry = variables[index]
                guard let variable = btf__type_by_id(btf, entry.type) else { continue }
                if text(btf, variable.pointee.name_off) == name {
                    return Place(section: section, offset: Int(entry.offset), size: Int(entry.size))
                }
            }
        }
        return nil
    }

    /// The size in bytes of a struct in the object's BTF; nil if there is none of that name.
    package static func structSize(_ name: String, in image: ObjectImage) throws(BPFError) -> Int? {
        try withObject(image) { object in
            guard let btf = bpf_object__btf(object) else { return nil }
            let id = btf__find_by_name_kind(btf, name, apus_btf_kind_struct)
            guard id > 0, let type = btf__type_by_id(btf, UInt32(id)) else { return nil }
            return Int(type.pointee.size)
        }
    }

    /// The size in bytes of a global variable; nil if there is none of that name.
    package static func variableSize(_ name: String, in image: ObjectImage) throws(BPFError) -> Int? {
        try withObject(image) { locate(variable: name, in: $0)?.size }
    }

    package struct MapLayout: Equatable {
        package let name: String
        package let keySize: Int
        package let valueSize: Int
    }

    package static func maps(of image: ObjectImage) throws(BPFError) -> [MapLayout] {
        try withObject(image) { object in
            var found: [MapLayout] = []
            var map = bpf_object__next_map(object, nil)
            while let current = map {
                found.append(
                    MapLayout(
                        name: String(cString: bpf_map__name(current)),
                        keySize: Int(bpf_map__key_size(current)),
                        valueSize: Int(bpf_map__value_size(current))))
                map = bpf_object__next_map(object, current)
            }
            return found
        }
    }

    /// Names of all programs and the sections that say where they attach.
    package static func programs(of image: ObjectImage) throws(BPFError) -> [(name: String, section: String)]
    {
        try withObject(image) { object in
            var found: [(String, String)] = []
            var program = bpf_object__next_program(object, nil)
            while let current = program {
                found.append(
                    (
                        String(cString: bpf_program__name(current)),
                        String(cString: bpf_program__section_name(current))
                    ))
                program = bpf_object__next_program(object, current)
            }
            return found
        }
    }

    private static func withObject<Result>(
        _ image: ObjectImage, _ body: (OpaquePointer) -> Result
    ) throws(BPFError) -> Result {
        let opened = withExtendedLifetime(image) {
            bpf_object__open_mem(image.bytes.baseAddress, image.bytes.count, nil)
        }
        let object = try check(opened, "open the BPF object \(image.name)")
        defer { bpf_object__close(object) }
        return body(object)
    }

    // struct btf_type.info: the kind in bits 24 to 28, the number of members in bits 0 to 15 (linux/btf.h).
    static func kind(of type: UnsafePointer<btf_type>) -> UInt32 { type.pointee.info >> 24 & 0x1f }
    static func count(of type: UnsafePointer<btf_type>) -> Int { Int(type.pointee.info & 0xffff) }

    static func text(_ btf: OpaquePointer, _ offset: UInt32) -> String {
        btf__name_by_offset(btf, offset).map { String(cString: $0) } ?? ""
    }
}
