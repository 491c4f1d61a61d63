// SPDX-License-Identifier: Apache-2.0

extension ELFFile {
    // Of a segment's type, PT_DYNAMIC and PT_INTERP; of an entry's tag, DT_NULL and DT_SONAME (gABI, chapter 5).
    private static let dynamic: UInt32 = 2
    private static let interpreter: UInt32 = 3
    private static let endTag: UInt64 = 0
    private static let nameTag: UInt64 = 14
    private static let mostDynamicBytes: UInt64 = 1 << 16

    /// Whether it loads other programs when it is executed, as ld.so does: a shared library without a loader of its
    /// own. A static program that can be anywhere is no library, and has no name as one.
    package var isLoader: Bool {
        guard is64, type == 3, !segments.contains(where: { $0.type == Self.interpreter }),
            let table = segments.first(where: { $0.type == Self.dynamic })
        else { return false }
        let bytes = source.bytes(at: table.offset, upTo: Int(min(table.fileSize, Self.mostDynamicBytes)))
        for place in stride(from: 0, to: bytes.count, by: 16) {
            guard let tag = bytes.number(UInt64.self, at: place), tag != Self.endTag else { return false }
            if tag == Self.nameTag { return true }
        }
        return false
    }
}
