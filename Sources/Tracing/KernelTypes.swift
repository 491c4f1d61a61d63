// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf
internal import CSupport
internal import Glibc

/// The running kernel's BTF: which types and tracepoints it has, whatever its version says.
package struct KernelTypes: ~Copyable {
    /// Valid as long as this value.
    let handle: OpaquePointer
    package static let nativePath = "/sys/kernel/btf/vmlinux"

    /// Whether the kernel itself offers its types, which programs of type `tp_btf` need.
    package static var areNative: Bool { access(nativePath, R_OK) == 0 }

    /// That there are types to relocate programs with: the kernel's own, or those of a file.
    package static func require(path: String?) throws(BPFError) {
        guard path == nil && !areNative else { return }
        throw BPFError(
            "find the types of this kernel (\(nativePath) is missing)", code: 0,
            advice: "give the file that describes them with --btf PATH, or use a kernel built with "
                + "CONFIG_DEBUG_INFO_BTF=y")
    }

    /// - Parameter path: a file to use instead of the kernel's own.
    package init(path: String? = nil) throws(BPFError) {
        try Self.require(path: path)
        apus_release_code_pages()
        let path = path ?? Self.nativePath
        handle = try check(btf__parse(path, nil), "read the kernel's types from \(path)")
    }

    deinit { btf__free(handle) }

    /// The arguments that a tracepoint passes to raw programs; nil if the kernel has no such tracepoint.
    package func tracepointArguments(_ name: String) -> Int? {
        // include/trace/bpf_probe.h: typedef void (*btf_trace_NAME)(void *__data, …)
        let id = btf__find_by_name_kind(handle, "btf_trace_" + name, apus_btf_kind_typedef)
        guard id > 0, let alias = btf__type_by_id(handle, UInt32(id)),
            let pointer = btf__type_by_id(handle, alias.pointee.type),
            ObjectLayout.kind(of: pointer) == apus_btf_kind_ptr,
            let function = btf__type_by_id(handle, pointer.pointee.type),
            ObjectLayout.kind(of: function) == apus_btf_kind_func_proto
        else { return nil }
        return max(0, ObjectLayout.count(of: function) - 1)
    }

    package func hasStruct(_ name: String) -> Bool {
        btf__find_by_name_kind(handle, name, apus_btf_kind_struct) > 0
    }
}
