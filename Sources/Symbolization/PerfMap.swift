// SPDX-License-Identifier: Apache-2.0
internal import CSupport
internal import Glibc

/// The names of code that a process makes at run time, from the file it writes for perf: lines of a start and a
/// size in hexadecimal and a name (Documentation of Linux, tools/perf/Documentation/jit-interface.txt).
///
/// The file is written by the process, at any time, and may say anything.
final class PerfMap {
    /// Where the process sees it.
    let path: String
    private let isOwner: (UInt32) -> Bool
    private var file: OpenFile?
    private var stamp: FileStamp?
    private var bytes: [UInt8] = []
    private var entries = PerfMapEntries()
    /// When it may be read again, in nanoseconds of the monotonic clock.
    private var nextReading: UInt64 = 0

    /// How much of a file is read, in bytes, and how many lines.
    static let maximumBytes = 1 << 26
    static let maximumEntries = 1 << 20

    /// - Parameters:
    ///   - path: Where the process sees it.
    ///   - isOwner: Whether a user may write it: not everybody should name another's code.
    init(path: String, isOwner: @escaping (UInt32) -> Bool) {
        self.path = path
        self.isOwner = isOwner
    }

    /// Opens the file, also one that has taken its place, while the process's root can be reached.
    /// - Returns: How many files were opened: 0 or 1.
    func open(root: Int32) -> Int {
        guard let found = OpenFile(root: root, path: path), isOwner(found.owner) else { return 0 }
        if let file, file.identity == found.identity { return 0 }
        file = found
        stamp = nil
        nextReading = 0
        return 1
    }

    /// The name at an address, and how far into it that is; reads the file first if it has changed.
    func function(at address: UInt64) -> (name: String, offset: UInt64)? {
        refresh()
        guard let (name, offset) = entries.find(address) else { return nil }
        return (String(decoding: bytes[name], as: UTF8.self), offset)
    }

    /// Bytes of memory that it holds.
    var bytesHeld: Int { bytes.count + entries.bytesHeld }

    /// Gives up what can be read again.
    func drop() {
        bytes = []
        entries = PerfMapEntries()
        stamp = nil
    }

    private func refresh() {
        guard let file, let now = file.stamp, now != stamp else { return }
        let start = monotonicNanoseconds()
        guard start >= nextReading else { return }
        bytes = ByteSource.file(file).bytes(at: 0, upTo: Int(min(now.size, UInt64(Self.maximumBytes))))
        entries = PerfMapEntries(bytes, limit: Self.maximumEntries)
        stamp = now
        let end = monotonicNanoseconds()
        // A process may write all the time: of a large file, reading shall take a tenth of the time at most.
        nextReading = end - start > 5_000_000 ? end + 9 * (end - start) : 0
    }
}

/// Nanoseconds of the monotonic clock, as the kernel's own time stamps have it.
package func monotonicNanoseconds() -> UInt64 { apus_kernel_time() }
