// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf

/// Which of an object's programs do the same, each on kernels of its own.
extension OpenObject {
    /// Whether a program has not been left out.
    package func isWanted(_ program: String) -> Bool {
        guard let program = bpf_object__find_program_by_name(object, program) else {
            preconditionFailure("the BPF object has no program \(program)")
        }
        return bpf_program__autoload(program)
    }

    /// Keeps one program of each group: the one that reads the kernel's structs through pointers that the verifier
    /// trusts, or the one named `…_raw`, which copies and needs no types from the kernel itself.
    ///
    /// Where raw programs can be preempted, those named `…_event` take the place of both, as those named `…_record` do
    /// also without types from the kernel itself, and those named `…_again` join them. To be called when programs that
    /// are not wanted for other reasons have been left out.
    ///
    /// - Parameter preemptible: asked only if it makes a difference.
    package func chooseVariants(native: Bool, preemptible: () throws -> Bool = { false }) rethrows {
        let names = programNames.filter { isWanted($0) }
        let forPreemption = names.filter { name in
            ["_event", "_record", "_again"].contains { name.hasSuffix($0) }
        }
        let isPreemptible = try !forPreemption.isEmpty && preemptible()
        for name in names {
            let isTyped = section(of: name).hasPrefix("tp_btf/")
            if native ? name.hasSuffix("_raw") : isTyped || name.hasSuffix("_event") { disable(name) }
            let isReplaced = native && names.contains(name + "_event") || names.contains(name + "_record")
            if isPreemptible ? isReplaced : forPreemption.contains(name) { disable(name) }
        }
    }

    private func section(of program: String) -> String {
        bpf_object__find_program_by_name(object, program).map {
            String(cString: bpf_program__section_name($0))
        } ?? ""
    }

    private var programNames: Set<String> {
        var names: Set<String> = []
        var program = bpf_object__next_program(object, nil)
        while let current = program {
            names.insert(String(cString: bpf_program__name(current)))
            program = bpf_object__next_program(object, current)
        }
        return names
    }

    /// Keeps of each pair the program that walks user stacks by tables, or the one named `…_fp`, which leaves that to
    /// the kernel and frame pointers; then what serves the tables is left out as well.
    ///
    /// To be called after `chooseVariants`.
    package func chooseUnwinder(byTables: Bool) {
        let names = programNames
        for name in names {
            let plain = name.hasSuffix("_raw") ? String(name.dropLast(4)) : name
            let isForTables = names.contains(plain + "_fp") || name.hasPrefix("unwind_")
            if byTables ? name.hasSuffix("_fp") : isForTables { disable(name) }
        }
    }
}
