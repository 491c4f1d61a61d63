// SPDX-License-Identifier: Apache-2.0
internal import CSupport
internal import Glibc

/// A failed operation on the kernel's tracing interfaces: what was being done, why it failed, what may help.
package struct BPFError: Error, CustomStringConvertible {
    /// What was being done, as the rest of "cannot …": "load the program syscall_return".
    package let operation: String
    /// A positive errno, 0 if the failure is not the kernel's.
    package let code: Int32
    /// What to do about it, a clause without a full stop.
    package let advice: String?
    /// What the verifier or libbpf printed last, for `-v`.
    package let log: String?

    package init(_ operation: String, code: Int32, advice: String? = nil, log: String? = nil) {
        self.operation = operation
        self.code = code < 0 ? -code : code
        self.advice = advice ?? (self.code == EMFILE ? "raise the limit of open files with ulimit -n" : nil)
        self.log = log
    }

    /// One sentence without a full stop.
    package var description: String {
        var text = "cannot \(operation)"
        if code != 0 { text += ": " + String(cString: apus_errno_text(code)) }
        if let advice { text += "; " + advice }
        return text
    }
}

/// The result of a libbpf function that returns a negative errno; anything else passes through.
@discardableResult
func check(_ result: Int32, _ operation: @autoclosure () -> String) throws(BPFError) -> Int32 {
    guard result < 0 else { return result }
    throw BPFError(operation(), code: result, log: LibbpfLog.takeTail())
}

/// The result of a libbpf function that returns NULL and sets errno.
func check(_ pointer: OpaquePointer?, _ operation: @autoclosure () -> String) throws(BPFError)
    -> OpaquePointer
{
    if let pointer { return pointer }
    throw BPFError(operation(), code: errno, log: LibbpfLog.takeTail())
}
