// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf
internal import Glibc

/// What libbpf prints: kept for the error that may follow, shown as it comes with `-v`.
package enum LibbpfLog {
    /// Only the end of a log says why the verifier refused.
    private static let tailBytes = 4096
    // One thread at a time is in libbpf, and it calls back on that.
    nonisolated(unsafe) private static var tail: [UInt8] = []
    nonisolated(unsafe) private static var verbose = false

    /// Installs the hook. Call once, before the first object is opened.
    package static func install(verbose: Bool) {
        self.verbose = verbose
        libbpf_set_print { level, format, arguments in
            guard level != LIBBPF_DEBUG, let format, let arguments else { return 0 }
            LibbpfLog.take(format, arguments)
            return 0
        }
    }

    private static func take(_ format: UnsafePointer<CChar>, _ arguments: CVaListPointer) {
        // A verifier log arrives in one call and can be megabytes long.
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1 << 20) { buffer in
            guard let base = buffer.baseAddress else { return }
            let length = Int(vsnprintf(base, buffer.count, format, arguments))
            guard length > 0 else { return }
            let text = UnsafeRawBufferPointer(buffer)[..<min(length, buffer.count - 1)]
            if verbose { _ = Glibc.write(2, text.base.baseAddress, text.count) }
            tail.append(contentsOf: text.suffix(tailBytes))
            if tail.count > tailBytes { tail.removeFirst(tail.count - tailBytes) }
        }
    }

    /// What was printed last, and forgets it.
    static func takeTail() -> String? {
        defer { tail = [] }
        return tail.isEmpty ? nil : String(decoding: tail, as: UTF8.self)
    }
}
