// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Where the bytes of one ELF file come from.
///
/// A module's files are lent for one call of the provider at a time. Others are opened by path when needed and
/// closed after the call: a program can have thousands of .dwo files.
final class DWARFFile {
    /// That of the current call; -1 outside.
    private var lent: Int32 = -1
    private let path: String?
    private var opened: OpenFile?
    private let identity: FileIdentity?
    private let stamp: FileStamp?
    /// How often bytes were fetched, in order to know whether a lookup did.
    private(set) var reads = 0

    /// A file that is lent.
    init() {
        path = nil
        identity = nil
        stamp = nil
    }

    /// A file of our own root; nil if it is not there.
    init?(path: String) {
        guard let file = OpenFile(path: path), let stamp = file.stamp else { return nil }
        self.path = path
        self.stamp = stamp
        identity = file.identity
        opened = file
    }

    func lend(_ descriptor: Int32) { lent = descriptor }

    /// Ends the use of what was opened or lent.
    func release() {
        lent = -1
        opened = nil
    }

    /// The path by which the kernel knows the file now; nil if it has none any more.
    var currentPath: String? {
        guard descriptor >= 0 else { return nil }
        let path = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, filled in
            filled = buffer.withMemoryRebound(to: CChar.self) { text in
                text.baseAddress.map { max(readlink("/proc/self/fd/\(descriptor)", $0, text.count), 0) } ?? 0
            }
        }
        return path.first == UInt8(ascii: "/") ? String(decoding: path, as: UTF8.self) : nil
    }

    private var descriptor: Int32 {
        guard let path else { return lent }
        if let opened { return opened.descriptor }
        // Not if it is another one by now.
        guard let file = OpenFile(path: path), file.identity == identity, file.stamp == stamp else {
            return -1
        }
        opened = file
        return file.descriptor
    }

    /// The headers; nil if this is no ELF file.
    func headers() -> ELFFile? {
        OpenFile(path: "/proc/self/fd/\(descriptor)").flatMap { ELFFile(.file($0)) }
    }

    /// Reads at an offset until the buffer is full or the file ends; returns how many bytes.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        reads += 1
        let descriptor = descriptor
        var done = 0
        while descriptor >= 0, done < buffer.count, let start = buffer.baseAddress {
            let (position, overflow) = offset.addingReportingOverflow(UInt64(done))
            guard !overflow, let position = Int(exactly: position) else { break }
            let count = pread(descriptor, start + done, buffer.count - done, position)
            if count == 0 || count < 0 && errno != EINTR { break }
            done += max(count, 0)
        }
        return done
    }
}
