// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@testable import Tracing

private let types = Requirement.file(KernelTypes.nativePath, isExpected: false)

@Suite struct KernelTypesTests {
    @Test(.require(types))
    func tracepointsAreCountedByTheirArguments() throws {
        let kernel = try KernelTypes()
        // The first two as declared in include/trace/events/syscalls.h and sched.h since long.
        let names = ["sys_exit", "sched_process_fork", "no_such_tracepoint", ""]
        let counts = names.map { kernel.tracepointArguments($0) }
        #expect(counts == [2, 2, nil, nil])
    }

    @Test(.require(types))
    func structsAreFoundByName() throws {
        let kernel = try KernelTypes()
        // The last one is an enum.
        let found = ["task_struct", "no_such_struct", "pid_type"].map { kernel.hasStruct($0) }
        #expect(found == [true, false, false])
    }

    @Test(.require(types))
    func aFileCanStandIn() throws {
        let kernel = try KernelTypes(path: KernelTypes.nativePath)
        let found = kernel.hasStruct("task_struct")
        #expect(found)
    }

    @Test(arguments: ["/no/such/file", "/dev/null", "/"])
    func aFileThatIsNoneIsNamed(path: String) {
        let error = #expect(throws: BPFError.self) { _ = try KernelTypes(path: path) }
        let text = error?.description ?? ""
        #expect(text.hasPrefix("cannot read the kernel's "))
        #expect(text.contains(" from \(path): "))
    }
}
