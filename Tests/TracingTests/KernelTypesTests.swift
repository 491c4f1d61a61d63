// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

@testable import Tracing

private let kernelOffersTypes = access(KernelTypes.nativePath, R_OK) == 0

@Suite struct KernelTypesTests {
    @Test(.enabled(if: kernelOffersTypes))
    func tracepointsAreCountedByTheirArguments() throws {
        let kernel = try KernelTypes()
        #expect(kernel.isNative)
        // As declared in include/trace/events/syscalls.h and sched.h since long.
        #expect(kernel.tracepointArguments("sys_exit") == 2)
        #expect(kernel.tracepointArguments("sched_process_fork") == 2)
        #expect(kernel.tracepointArguments("no_such_tracepoint") == nil)
        #expect(kernel.tracepointArguments("") == nil)
    }

    @Test(.enabled(if: kernelOffersTypes))
    func structsAreFoundByName() throws {
        let kernel = try KernelTypes()
        #expect(kernel.hasStruct("task_struct"))
        #expect(!kernel.hasStruct("no_such_struct"))
        // An enum is no struct.
        #expect(!kernel.hasStruct("pid_type"))
    }

    @Test(.enabled(if: kernelOffersTypes))
    func aFileCanStandIn() throws {
        let kernel = try KernelTypes(path: KernelTypes.nativePath)
        #expect(kernel.hasStruct("task_struct"))
    }

    @Test(arguments: ["/no/such/file", "/dev/null", "/"])
    func aFileThatIsNoneIsNamed(path: String) {
        let error = #expect(throws: BPFError.self) { _ = try KernelTypes(path: path) }
        #expect(error?.description.hasPrefix("cannot read the kernel's BTF from \(path): ") == true)
    }
}
