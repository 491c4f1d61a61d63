// SPDX-License-Identifier: Apache-2.0
internal import CSymbolization
internal import Glibc

/// What tells a file from all others that exist at the same time.
package struct FileIdentity: Hashable {
    package var device: UInt64
    package var inode: UInt64

    package init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }
}

/// What tells a version of a file from another.
struct FileStamp: Equatable {
    var size: UInt64
    var seconds: Int
    var nanoseconds: Int
}

/// A regular file, open for reading at offsets, closed with the last reference.
///
/// It is never mapped: a file that somebody cuts meanwhile then gives short reads, not SIGBUS.
package final class OpenFile {
    package let descriptor: Int32
    package let identity: FileIdentity
    let owner: UInt32

    /// Opens a path of our own root; nil if it cannot be opened or is no regular file.
    package convenience init?(path: String) {
        self.init(root: AT_FDCWD, path: path)
    }

    /// Opens a path below the directory `root`, which absolute links do not leave.
    package init?(root: Int32, path: String) {
        // A NUL would end the path early for C, and so name another file.
        guard !path.utf8.contains(0) else { return nil }
        descriptor = Self.open(root, path)
        var information = stat()
        guard descriptor >= 0, fstat(descriptor, &information) == 0 else { return nil }
        identity = FileIdentity(device: UInt64(information.st_dev), inode: UInt64(information.st_ino))
        owner = information.st_uid
    }

    /// Takes over a descriptor that is open for reading; nil, and it is closed, if it is no regular file.
    package init?(adopting descriptor: Int32) {
        self.descriptor = descriptor
        var information = stat()
        guard descriptor >= 0, fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG
        else { return nil }
        identity = FileIdentity(device: UInt64(information.st_dev), inode: UInt64(information.st_ino))
        owner = information.st_uid
    }

    /// The same file by another descriptor, which stays open when the given one is closed.
    convenience init?(duplicating descriptor: Int32) {
        self.init(adopting: fcntl(descriptor, F_DUPFD_CLOEXEC, 3))
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// Its version now; nil if the kernel will not say.
    var stamp: FileStamp? {
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { return nil }
        return FileStamp(
            size: UInt64(max(information.st_size, 0)), seconds: information.st_mtim.tv_sec,
            nanoseconds: information.st_mtim.tv_nsec)
    }

    /// Reads at an offset until the buffer is full or the file ends.
    /// - Returns: How many bytes were read, 0 on failure.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        var done = 0
        while done < buffer.count, let start = buffer.baseAddress,
            let position = Int(exactly: offset).map({ $0.addingReportingOverflow(done) }),
            !position.overflow
        {
            let count = pread(descriptor, start + done, buffer.count - done, position.partialValue)
            if count == 0 || count < 0 && errno != EINTR { break }
            done += max(count, 0)
        }
        return done
    }

    /// A process may have more files mapped than a soft limit of 1024 lets us hold; the hard one is ours to use.
    private static func open(_ root: Int32, _ path: String) -> Int32 {
        let descriptor = apus_open_regular(root, path)
        guard descriptor < 0, errno == EMFILE else { return descriptor }
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return -1 }
        guard limit.rlim_cur < min(limit.rlim_max, 1 << 16) else { return -1 }
        limit.rlim_cur = min(limit.rlim_max, 1 << 16)
        guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return -1 }
        return apus_open_regular(root, path)
    }
}
