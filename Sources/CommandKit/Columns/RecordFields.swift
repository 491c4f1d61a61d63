// SPDX-License-Identifier: Apache-2.0

/// The name of a task as records hold it: TASK_COMM_BYTES bytes with zeros behind.
func taskName(_ bytes: UnsafeRawBufferPointer) -> String {
    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
}

/// The errno that the result of a system call stands for, 0 if none (MAX_ERRNO in linux/err.h). A seccomp supervisor
/// can have a call return anything.
func errnoCode(ofResult result: Int32) -> Int32 { (-4095 ... -1).contains(result) ? -result : 0 }
