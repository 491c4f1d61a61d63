// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Glibc

/// A file as one process uses it, to be found again.
struct FiletopIdentity: Hashable {
    let inode: UInt64
    let kind: UInt64
    let process: UInt32
    /// When the process was started, in nanoseconds of the monotonic clock.
    let started: UInt64
    let device: UInt32
    let generation: UInt32

    init(_ key: file_key) {
        inode = key.inode
        kind = key.kind
        process = key.process
        started = key.started_ns
        device = key.device
        generation = key.generation
    }

    var key: file_key {
        var key = file_key()
        key.inode = inode
        key.kind = kind
        key.process = process
        key.started_ns = started
        key.device = device
        key.generation = generation
        return key
    }

    // The kernel's own numbering: include/linux/kdev_t.h
    var major: UInt32 { device >> 20 }
    var minor: UInt32 { device & 0xfffff }

    /// The descriptor was closed before the call returned.
    var isUnknown: Bool { inode == 0 && device == 0 }
}

/// What a process has read from and written to a file.
struct FiletopUse {
    let identity: FiletopIdentity
    var comm: String
    /// As stat's st_mode.
    var mode: UInt32
    var reads: UInt64
    var writes: UInt64
    var readBytes: UInt64
    var writtenBytes: UInt64
    /// As far as it is known.
    var path: [UInt8] = []

    init(_ identity: FiletopIdentity, _ total: file_total) {
        self.identity = identity
        comm = withUnsafeBytes(of: total.comm, taskName)
        mode = total.mode
        reads = total.reads
        writes = total.writes
        readBytes = total.read_bytes
        writtenBytes = total.written_bytes
    }

    /// What has come since an earlier state of the same.
    func since(_ earlier: FiletopUse?) -> FiletopUse {
        guard let earlier else { return self }
        var rest = self
        rest.reads -= min(earlier.reads, reads)
        rest.writes -= min(earlier.writes, writes)
        rest.readBytes -= min(earlier.readBytes, readBytes)
        rest.writtenBytes -= min(earlier.writtenBytes, writtenBytes)
        return rest
    }

    /// Adds other uses of the same file.
    mutating func add(_ other: FiletopUse) {
        reads += other.reads
        writes += other.writes
        readBytes += other.readBytes
        writtenBytes += other.writtenBytes
    }

    var isIdle: Bool { reads == 0 && writes == 0 }

    enum Kind: String {
        case regular, socket, pipe, character, block, directory, anonymous, unknown

        /// As in BCC's table, with more kinds.
        var letter: StaticString {
            switch self {
            case .regular: "R"
            case .socket: "S"
            case .pipe: "P"
            case .character: "C"
            case .block: "B"
            case .directory: "D"
            case .anonymous: "O"
            case .unknown: "?"
            }
        }
    }

    var kind: Kind {
        if identity.isUnknown { return .unknown }
        switch mode & S_IFMT {
        case S_IFREG: return .regular
        case S_IFSOCK: return .socket
        case S_IFIFO: return .pipe
        case S_IFCHR: return .character
        case S_IFBLK: return .block
        case S_IFDIR: return .directory
        default: return .anonymous
        }
    }
}

/// A record of filetop's programs: what a file is called.
struct FiletopEvent {
    let identity: FiletopIdentity
    /// As /proc/PID/fd shows it.
    let path: [UInt8]

    /// nil if the record is too short for what it announces.
    init?(_ record: RawSpan) {
        let headBytes = MemoryLayout<file_event>.size
        guard record.byteCount >= headBytes else { return nil }
        let head = record.unsafeLoadUnaligned(as: file_event.self)
        guard record.byteCount >= headBytes + Int(head.path_bytes) else { return nil }
        identity = FiletopIdentity(head.key)
        path = record.withUnsafeBytes { bytes in
            Self.path(head, bytes[headBytes..<headBytes + Int(head.path_bytes)])
        }
    }

    private static func path(_ head: file_event, _ names: Slice<UnsafeRawBufferPointer>) -> [UInt8] {
        let notes = UInt32(head.notes)
        func has(_ note: file_note) -> Bool { notes & note.rawValue != 0 }
        guard has(FILE_NOTE_PSEUDO) else {
            let path = joinedPath(
                names,
                prefix: has(FILE_NOTE_CUT) ? "[...]" : has(FILE_NOTE_UNREACHABLE) ? "(unreachable)" : "",
                deleted: has(FILE_NOTE_DELETED))
            return path.isEmpty ? [UInt8(ascii: "/")] : path
        }
        let name = Array(names.prefix { $0 != 0 })
        switch head.mode & S_IFMT {
        case S_IFSOCK: return Array("socket:[\(head.key.inode)]".utf8)
        case S_IFIFO: return Array("pipe:[\(head.key.inode)]".utf8)
        case 0: return Array("anon_inode:".utf8) + name
        default: return [UInt8(ascii: "/")] + name + Array(" (deleted)".utf8)
        }
    }
}
