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
    private var entries = PerfMapEntries(limit: maximumEntries)
    /// How far it has been read, to the end of a line, and the bytes before that.
    private var place: UInt64 = 0
    private var lastBytes: [UInt8] = []
    /// When it may be read again, in nanoseconds of the monotonic clock.
    private var nextReading: UInt64 = 0

    /// How much of a file is read, in bytes, and how many lines are kept: of what is more, the last.
    static let maximumBytes: UInt64 = 1 << 28
    static let maximumEntries = 1 << 21
    private static let chunkBytes = 1 << 20

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
        begin()
        stamp = nil
        nextReading = 0
        return 1
    }

    /// The name at an address, and how far into it that is; reads the file first if it has changed.
    func function(at address: UInt64) -> (name: String, offset: UInt64)? {
        refresh()
        guard let file, let (name, offset) = entries.find(address) else { return nil }
        let bytes = ByteSource.file(file).bytes(at: name.lowerBound, upTo: name.count)
        return (String(decoding: bytes, as: UTF8.self), offset)
    }

    /// Bytes of memory that it holds.
    var bytesHeld: Int { entries.bytesHeld }

    /// Gives up what can be read again.
    func drop() {
        begin()
        stamp = nil
    }

    private func begin() {
        entries = PerfMapEntries(limit: Self.maximumEntries)
        place = 0
        lastBytes = []
    }

    private func refresh() {
        guard let file, let now = file.stamp, now != stamp else { return }
        let start = monotonicNanoseconds()
        guard start >= nextReading else { return }
        read(.file(file), upTo: now.size)
        stamp = now
        let end = monotonicNanoseconds()
        // A process may write all the time: of a large file, reading shall take a tenth of the time at most. What takes
        // long though it is small, had to wait for a CPU.
        let isLarge = now.size > UInt64(Self.chunkBytes)
        nextReading = isLarge && end - start > 5_000_000 ? end + 9 * (end - start) : 0
    }

    /// Reads what has been added since the last time; all of it if it is another file than then.
    private func read(_ source: ByteSource, upTo size: UInt64) {
        let known = UInt64(lastBytes.count)
        if size < place || source.bytes(at: place - known, upTo: lastBytes.count) != lastBytes { begin() }
        if size > Self.maximumBytes, place < size - Self.maximumBytes {
            place = size - Self.maximumBytes
            let bytes = source.bytes(at: place, upTo: Self.chunkBytes)
            place += UInt64(bytes.firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? bytes.count)
        }
        while place < size {
            let wanted = Int(min(UInt64(Self.chunkBytes), size - place))
            let bytes = source.bytes(at: place, upTo: wanted)
            guard !bytes.isEmpty else { break }
            let lineEnd = bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 }
            let isLast = bytes.count < wanted || place + UInt64(wanted) >= size
            // The last line may be half written: it is read again with the rest of it.
            let taken = isLast ? bytes.count : lineEnd ?? bytes.count
            bytes.withUnsafeBufferPointer {
                entries.add(UnsafeBufferPointer(rebasing: $0[..<taken]), at: place)
            }
            let whole = lineEnd ?? (isLast ? 0 : bytes.count)
            place += UInt64(whole)
            if whole > 0 { lastBytes = Array(bytes[max(0, whole - 64)..<whole]) }
            if isLast { break }
        }
        entries.finish()
    }
}

/// Nanoseconds of the monotonic clock, as the kernel's own time stamps have it.
package func monotonicNanoseconds() -> UInt64 { apus_kernel_time() }
