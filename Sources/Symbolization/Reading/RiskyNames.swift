// SPDX-License-Identifier: Apache-2.0

/// Names that a `LocalReader` has left as they are, because each may stand for gigabytes.
package final class RiskyNames {
    private let demangler = Demangler()

    package init() {}

    /// Whether a name is one: it is behind a NUL, which no name of a file has inside.
    package static func isMarked(_ name: String?) -> Bool { name?.utf8.first == 0 }

    /// Demangles a name, without its mark, in a child of this process.
    package func text(of name: [UInt8]) -> String { demangler.text(of: name) }
}

extension LocalReader {
    /// Demangles a name here and now, whatever it takes.
    package func demangled(_ name: [UInt8]) -> String { Demangler.unlimited(name) }
}
