// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms

/// The system calls that move bytes from or to files, and where their descriptors are.
enum FiletopCalls {
    private static let kinds: [(kind: file_call, names: [String])] = [
        (FILE_CALL_READ, ["read", "pread64", "readv", "preadv", "preadv2", "recv", "recvfrom", "recvmsg"]),
        (
            FILE_CALL_WRITE,
            ["write", "pwrite64", "writev", "pwritev", "pwritev2", "send", "sendto", "sendmsg"]
        ),
        (FILE_CALL_READ_MESSAGES, ["recvmmsg", "recvmmsg_time64"]),
        (FILE_CALL_WRITE_MESSAGES, ["sendmmsg"]),
        (FILE_CALL_SEND_FILE, ["sendfile", "sendfile64"]),
        (FILE_CALL_COPY, ["copy_file_range", "splice"]),
        (FILE_CALL_TEE, ["tee"]),
        (FILE_CALL_MAP_PIPE, ["vmsplice"]),
        (FILE_CALL_SOCKET, ["socketcall"]),
        (FILE_CALL_SUBMIT, ["io_submit"]),
    ]

    /// The table that the programs look numbers up in.
    static var table: file_calls {
        var table = file_calls()
        withUnsafeMutableBytes(of: &table) { bytes in
            for (kind, names) in kinds {
                for call in names.flatMap(SystemCall.named) where call.number < UInt32(FILE_CALL_NUMBERS) {
                    bytes[Int(call.abi.rawValue) * Int(FILE_CALL_NUMBERS) + Int(call.number)] = UInt8(
                        kind.rawValue)
                }
            }
        }
        return table
    }
}
