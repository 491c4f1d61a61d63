// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf
internal import CSupport
internal import Glibc

/// The running kernel's BTF: which types and tracepoints it has, whatever its version says.
package struct KernelTypes: ~Copyable {
    /// Valid as long as this value.
    let handle: OpaquePointer
    package static let nativePath = "/sys/kernel/btf/vmlinux"

    /// MAX_ERRNO of linux/err.h is 4095, but libbpf's own begin before it (LIBBPF_ERRNO__START of libbpf.h).
    private static let lastErrno: Int32 = 3999

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
        do throws(BPFError) {
            handle = try check(btf__parse(path, nil), "read the kernel's types from \(path)")
        } catch {
            // Above the kernel's numbers are those of libbpf, for what it finds in a file.
            guard error.code > Self.lastErrno else { throw error }
            throw BPFError(
                error.operation, code: 0,
                advice: "it holds no BTF: give the file for this kernel's version, such as one of BTFHub",
                log: error.log)
        }
        Self.preemptiblePrograms = preemptsTracepoints
    }

    // One thread runs all of the program.
    nonisolated(unsafe) private static var preemptiblePrograms: Bool?

    /// Whether raw programs of tracepoints can be preempted here, and others be left out meanwhile, where perf events
    /// of the tracepoints can take their place. See AT_SYSCALL_RETURN in bpf/lib/arch.bpf.h.
    ///
    /// - Parameter path: a file to use instead of the kernel's own types.
    package static func programsArePreemptible(path: String? = nil) throws(BPFError) -> Bool {
        guard kernelIsPreemptible, Tracefs.system?.id(category: "raw_syscalls", name: "sys_exit") != nil
        else {
            return false
        }
        if let preemptiblePrograms { return preemptiblePrograms }
        return try KernelTypes(path: path).preemptsTracepoints
    }

    /// Whether the kernel can be preempted at all: it says so where it says how it was built.
    private static var kernelIsPreemptible: Bool {
        var name = utsname()
        guard uname(&name) == 0 else { return true }
        return withUnsafeBytes(of: name.version) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self).contains("PREEMPT")
        }
    }

    /// Tracepoints that are waited for by SRCU do not keep others from the CPU.
    private var preemptsTracepoints: Bool { has("srcu_gp", in: "tp_transition_snapshot") }

    /// Whether a struct has a member of its own with this name.
    package func has(_ member: String, in structure: String) -> Bool {
        let id = btf__find_by_name_kind(handle, structure, apus_btf_kind_struct)
        guard id > 0, let type = btf__type_by_id(handle, UInt32(id)) else { return false }
        let members = UnsafeRawPointer(type + 1).assumingMemoryBound(to: btf_member.self)
        return (0..<ObjectLayout.count(of: type)).contains { index in
            btf__name_by_offset(handle, members[index].name_off).map { String(cString: $0) } == member
        }
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
