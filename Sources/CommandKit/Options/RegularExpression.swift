// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser
internal import Glibc
internal import Reporting

/// An extended regular expression of POSIX, found anywhere in a text: the C library's, because Swift's would make
/// the executable a third larger.
package final class RegularExpression: Sendable {
    // Compiled once and only read from then on; the program has one thread.
    nonisolated(unsafe) private var compiled = regex_t()

    /// - Throws: `ValidationError` with the C library's reason.
    package init(_ pattern: String) throws {
        let code = regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB)
        guard code != 0 else { return }
        var reason = [CChar](repeating: 0, count: 128)
        regerror(code, &compiled, &reason, reason.count)
        let text = String(decoding: reason.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        throw ValidationError("invalid regular expression '\(escaped(pattern))': \(text).")
    }

    deinit { regfree(&compiled) }

    /// Whether it is found. A zero byte ends the text.
    package func isFound(in text: [UInt8]) -> Bool {
        (text + [0]).withUnsafeBufferPointer { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                guard let start = characters.baseAddress else { return false }
                return regexec(&compiled, start, 0, nil, 0) == 0
            }
        }
    }
}
