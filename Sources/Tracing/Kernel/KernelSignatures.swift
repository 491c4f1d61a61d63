// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf

/// An argument of a function, as C would declare it.
package struct KernelArgument: Equatable, Sendable {
    /// Empty where the types do not tell.
    package let name: String
    package let type: String
}

/// What a function of the kernel takes and returns.
package struct KernelSignature: Equatable, Sendable {
    package let arguments: [KernelArgument]
    package let result: String
}

// Kinds of struct btf_type (linux/btf.h), which are both macros and enumerators there.
private enum Kind {
    static let pointer: UInt32 = 2
    static let array: UInt32 = 3
    static let structure: UInt32 = 4
    static let union: UInt32 = 5
    static let enumeration: UInt32 = 6
    static let forward: UInt32 = 7
    static let volatile: UInt32 = 9
    static let constant: UInt32 = 10
    static let restrict: UInt32 = 11
    static let typeTag: UInt32 = 18
    static let enumeration64: UInt32 = 19
}

extension KernelTypes {
    /// Types that name themselves through others, in a damaged file, end here.
    private static let mostDepth = 16
    /// Types that one signature may be made of. Functions whose arguments are functions whose arguments are functions
    /// multiply.
    private static let mostParts = 1 << 10

    /// The tracepoints that raw programs can be attached to, with what they pass, in no order.
    ///
    /// From the typedefs of include/trace/bpf_probe.h; since Linux 6.6 a function of the same arguments has their
    /// names, too.
    package func rawTracepoints() -> [(name: String, arguments: [KernelArgument])] {
        var found: [(String, UInt32)] = []
        var stubs: [String: UInt32] = [:]
        forEachType { id, type in
            switch ObjectLayout.kind(of: type) {
            case apus_btf_kind_typedef:
                if let name = suffix(type, behind: "btf_trace_") { found.append((name, id)) }
            case apus_btf_kind_func:
                if let name = suffix(type, behind: "__probestub_") { stubs[name] = type.pointee.type }
            default: break
            }
        }
        return found.map { name, id in
            // A pointer to the function's type; the first argument is the tracer's own.
            let pointer = type(type(id)?.pointee.type)
            let signature = signature(stubs[name] ?? pointer?.pointee.type)
            return (name, Array(signature?.arguments.dropFirst() ?? []))
        }
    }

    /// What functions of these names take and return, for those that the types know.
    package func signatures(of names: Set<String>) -> [String: KernelSignature] {
        var found: [String: KernelSignature] = [:]
        forEachType { _, type in
            guard ObjectLayout.kind(of: type) == apus_btf_kind_func,
                case let name = ObjectLayout.text(handle, type.pointee.name_off), names.contains(name)
            else { return }
            found[name] = signature(type.pointee.type)
        }
        return found
    }

    private func forEachType(_ body: (UInt32, UnsafePointer<btf_type>) -> Void) {
        for id in 1..<max(1, btf__type_cnt(handle)) {
            if let type = btf__type_by_id(handle, id) { body(id, type) }
        }
    }

    /// What follows in the name of a type; nil if it begins otherwise.
    private func suffix(_ type: UnsafePointer<btf_type>, behind prefix: StaticString) -> String? {
        guard let name = btf__name_by_offset(handle, type.pointee.name_off) else { return nil }
        let isPrefix = prefix.withUTF8Buffer { wanted in
            wanted.indices.allSatisfy { UInt8(bitPattern: name[$0]) == wanted[$0] }
        }
        return isPrefix ? String(cString: name + prefix.utf8CodeUnitCount) : nil
    }

    private func type(_ id: UInt32?) -> UnsafePointer<btf_type>? {
        id.flatMap { $0 == 0 ? nil : btf__type_by_id(handle, $0) }
    }

    private func signature(_ id: UInt32?) -> KernelSignature? {
        guard let function = type(id), ObjectLayout.kind(of: function) == apus_btf_kind_func_proto else {
            return nil
        }
        let parameters = UnsafeRawPointer(function + 1).assumingMemoryBound(to: btf_param.self)
        var parts = 0
        let arguments = (0..<ObjectLayout.count(of: function)).map { index in
            let parameter = parameters[index]
            // No type stands for the dots of a variadic function.
            return KernelArgument(
                name: ObjectLayout.text(handle, parameter.name_off),
                type: parameter.type == 0 ? "..." : typeName(parameter.type, &parts))
        }
        return KernelSignature(arguments: arguments, result: typeName(function.pointee.type, &parts))
    }

    /// - Parameter parts: how many types were named for this signature so far.
    private func typeName(_ id: UInt32, _ parts: inout Int, depth: Int = 0) -> String {
        guard id != 0 else { return "void" }
        parts += 1
        guard depth < Self.mostDepth, parts <= Self.mostParts, let type = type(id) else { return "?" }
        let name = ObjectLayout.text(handle, type.pointee.name_off)
        func inner(_ parts: inout Int) -> String { typeName(type.pointee.type, &parts, depth: depth + 1) }
        switch ObjectLayout.kind(of: type) {
        case Kind.pointer:
            if let target = self.type(type.pointee.type),
                ObjectLayout.kind(of: target) == apus_btf_kind_func_proto
            {
                return functionPointer(type.pointee.type, &parts, depth)
            }
            let target = inner(&parts)
            return target.hasSuffix("*") ? target + "*" : target + " *"
        case Kind.array:
            let array = UnsafeRawPointer(type + 1).assumingMemoryBound(to: btf_array.self).pointee
            return "\(typeName(array.type, &parts, depth: depth + 1))[\(array.nelems)]"
        case Kind.structure: return "struct " + (name.isEmpty ? "{…}" : name)
        case Kind.union: return "union " + (name.isEmpty ? "{…}" : name)
        case Kind.enumeration, Kind.enumeration64: return "enum " + (name.isEmpty ? "{…}" : name)
        // struct btf_type.info, bit 31: of a union, not a struct.
        case Kind.forward: return (type.pointee.info >> 31 == 1 ? "union " : "struct ") + name
        case Kind.constant: return "const " + inner(&parts)
        case Kind.volatile: return "volatile " + inner(&parts)
        case Kind.restrict, Kind.typeTag: return inner(&parts)
        default: return name.isEmpty ? "?" : name
        }
    }

    private func functionPointer(_ id: UInt32, _ parts: inout Int, _ depth: Int) -> String {
        guard let function = type(id) else { return "?" }
        let parameters = UnsafeRawPointer(function + 1).assumingMemoryBound(to: btf_param.self)
        let count = ObjectLayout.count(of: function)
        var types: [String] = []
        while types.count < count, parts <= Self.mostParts {
            let type = parameters[types.count].type
            types.append(type == 0 ? "..." : typeName(type, &parts, depth: depth + 1))
        }
        let list = types.isEmpty ? "void" : types.joined(separator: ", ")
        return "\(typeName(function.pointee.type, &parts, depth: depth + 1)) (*)(\(list))"
    }
}
