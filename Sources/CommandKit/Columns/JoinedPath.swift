// SPDX-License-Identifier: Apache-2.0

/// A path from the names that bpf/lib/path.bpf.h has written: the last one first, each with a zero behind.
///
/// - Parameters:
///   - prefix: what stands for directories that are not known.
///   - deleted: the directory, or file, has been removed; marked as in /proc.
/// - Returns: nothing for the root itself.
func joinedPath(_ names: Slice<UnsafeRawBufferPointer>, prefix: String, deleted: Bool) -> [UInt8] {
    var path = Array(prefix.utf8)
    for name in names.split(separator: 0).reversed() {
        path.append(UInt8(ascii: "/"))
        path.append(contentsOf: name)
    }
    if deleted { path.append(contentsOf: " (deleted)".utf8) }
    return path
}
