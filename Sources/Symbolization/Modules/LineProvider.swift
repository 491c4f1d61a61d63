// SPDX-License-Identifier: Apache-2.0

/// One version of one ELF file, for as long as the symbolizer knows it.
package struct ModuleIdentity: Hashable, Sendable {
    /// Never the same for two modules of a symbolizer, however alike: a key for caches.
    package let number: Int
    /// As the process sees it; for messages, not for opening.
    package let path: String
    /// In hexadecimal.
    package let buildID: String?
    /// An open descriptor of the ELF file, the symbolizer's own: read at offsets, do not close. Valid during the
    /// call. -1 for the vdso.
    package let file: Int32
    /// The same of its separate debug file, which is known to belong to it.
    package let debugFile: Int32?
    /// Where both lie, if that is in another root than ours.
    var place: FilePlace?
    var debugPlace: FilePlace?

    /// For files that they name.
    package var owner: RelatedFile.Owner {
        RelatedFile.Owner(file: file, debugFile: debugFile, place: place, debugPlace: debugPlace)
    }

    package static func == (one: Self, other: Self) -> Bool { one.number == other.number }

    package func hash(into hasher: inout Hasher) { hasher.combine(number) }
}

/// What knows source lines and inlined functions.
package protocol LineProvider: AnyObject {
    /// The functions that an address is in, innermost first: all but the last are inlined. Empty if unknown.
    ///
    /// A function's name may be mangled. That of the last is not needed if the symbol table has one.
    /// - Parameter address: As the ELF file counts.
    func lines(
        module: ModuleIdentity, address: UInt64
    ) -> [(function: String?, file: String, line: Int, inlined: Bool)]
}
