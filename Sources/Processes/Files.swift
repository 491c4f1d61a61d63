// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Reads a file's bytes, at most `limit`: the rest of a longer file is left unread.
///
/// The file's own idea of its size is ignored, because files in /proc say 0. A FIFO or a terminal gives what
/// it has without waiting, so that a hostile path cannot hang the caller.
/// - Returns: nil if the file cannot be opened or read (missing, not permitted, a directory, a symlink loop).
package func readFile(_ path: String, limit: Int = 1 << 20) -> [UInt8]? {
    guard let file = Descriptor(path: path) else { return nil }
    return withUnsafeTemporaryAllocation(byteCount: 1 << 14, alignment: 1) { chunk in
        var bytes: [UInt8] = []
        while bytes.count < limit {
            let count = read(file.number, chunk.baseAddress, min(chunk.count, limit - bytes.count))
            if count == 0 { break }
            if count > 0 {
                bytes.append(contentsOf: chunk.prefix(count))
            } else if errno != EINTR {
                return nil
            }
        }
        return bytes
    }
}

/// The names in a directory, without "." and "..", in no order, at most `limit`; empty if it cannot be
/// listed.
package func directoryEntries(_ path: String, limit: Int) -> [String] {
    // A NUL would end the path early for C, and so name another directory.
    guard !path.utf8.contains(0), let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while names.count < limit, let entry = readdir(directory) {
        // In place: a record is shorter than `dirent`, so copying the structure would read past the buffer.
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { raw in
            String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return names
}

/// What a symbolic link says; nil if it is none, cannot be read, or says 256 bytes or more.
func linkTarget(_ path: String) -> [UInt8]? {
    guard !path.utf8.contains(0) else { return nil }
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
        guard let start = buffer.baseAddress else { return nil }
        let count = readlink(path, start, buffer.count)
        // readlink(2) cuts silently: a full buffer may be half a target.
        guard count >= 0, count < buffer.count else { return nil }
        return buffer.prefix(count).map { UInt8(bitPattern: $0) }
    }
}

/// An open file, closed when it goes out of scope.
private struct Descriptor: ~Copyable {
    let number: Int32

    init?(path: String) {
        guard !path.utf8.contains(0) else { return nil }
        var opened: Int32
        repeat {
            opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        } while opened < 0 && errno == EINTR
        guard opened >= 0 else { return nil }
        number = opened
    }

    deinit { close(number) }
}
