// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Where the bytes of one ELF file come from.
///
/// A module's files are lent for one call of the provider at a time. Others are opened by path when needed and
/// closed after the call: a program can have thousands of .dwo files.
final class DWARFFile {
    /// That of the current call; -1 outside.
    private var lent: Int32 = -1
    /// Which one it is: nil if it is lent.
    private let related: RelatedFile?
    private let isDebugFile: Bool
    let others: RelatedFiles
    private var opened: OpenFile?
    private let identity: FileIdentity?
    private let stamp: FileStamp?
    /// How often bytes were fetched, in order to know whether a lookup did.
    private(set) var reads = 0

    /// A file that is lent: a module's own, or its separate debug file.
    init(_ others: RelatedFiles, isDebugFile: Bool) {
        self.others = others
        self.isDebugFile = isDebugFile
        related = nil
        identity = nil
        stamp = nil
    }

    /// A file that another names; nil if it is not there.
    init?(_ related: RelatedFile, _ others: RelatedFiles) {
        guard let file = others.open(related), let stamp = file.stamp else { return nil }
        self.related = related
        self.others = others
        self.stamp = stamp
        isDebugFile = false
        identity = file.identity
        opened = file
    }

    func lend(_ descriptor: Int32) { lent = descriptor }

    /// Ends the use of what was opened or lent.
    func release() {
        lent = -1
        opened = nil
    }

    /// The file beside this one whose name has this behind.
    func beside(suffix: String) -> RelatedFile? {
        related == nil ? RelatedFile(base: isDebugFile ? .debugFile : .file, name: suffix) : nil
    }

    /// The file at a path from this one's folder, or at an absolute path; nil if this one's is not known.
    func neighbour(_ path: String) -> RelatedFile? {
        if path.hasPrefix("/") { return RelatedFile(base: .root, name: path) }
        guard let related else {
            return RelatedFile(base: isDebugFile ? .folderOfDebugFile : .folderOfFile, name: path)
        }
        return related.base == .root
            ? RelatedFile(base: .root, name: directory(of: related.name) + path) : nil
    }

    private var descriptor: Int32 {
        guard let related else { return lent }
        if let opened { return opened.descriptor }
        // Not if it is another one by now.
        guard let file = others.open(related), file.identity == identity, file.stamp == stamp else {
            return -1
        }
        opened = file
        return file.descriptor
    }

    /// The headers; nil if this is no ELF file.
    func headers() -> ELFFile? {
        OpenFile(duplicating: descriptor).flatMap { ELFFile(.file($0)) }
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
