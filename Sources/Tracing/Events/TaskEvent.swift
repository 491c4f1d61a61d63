// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// What becomes of processes, and of the code that they can run.
///
/// IDs are those of the PID namespace that this program is in, the same that commands show (bpf/lib/filter.bpf.h).
/// Processes that have no ID there are left out.
package enum TaskEvent: Equatable, Sendable {
    /// Executable memory, mapped or made so.
    case mapped(MappedCode)
    /// A new process, which has the mappings of its parent. The parent is 0 if it has no ID in our namespace.
    case forked(parent: Int32, child: Int32)
    /// Another program took the place of the process's: nothing that was mapped is left.
    case executed(process: Int32)
    /// The process's first thread has ended; others, if any, can live on.
    case exited(process: Int32)
    /// Another thread of the process has ended.
    case threadExited(process: Int32)
}

/// An executable mapping, as the kernel reports it when it is made.
package struct MappedCode: Equatable, Sendable {
    package var process: Int32
    package var thread: Int32
    package var start: UInt64
    /// In bytes.
    package var length: UInt64
    /// Where in the file it starts, in bytes.
    package var offset: UInt64
    /// Of the device that holds the file.
    package var major: UInt32
    package var minor: UInt32
    /// 0 for memory without a file.
    package var inode: UInt64
    /// Tells files apart that had the same inode number one after the other.
    package var generation: UInt64
    /// PROT_READ and the others.
    package var protection: UInt32
    /// As the process sees it from its root, with " (deleted)" behind it if the file has no name any more;
    /// "//anon", "[vdso]" and the like for memory without a file.
    package var path: String

    package init(
        process: Int32, thread: Int32, start: UInt64, length: UInt64, offset: UInt64, major: UInt32,
        minor: UInt32, inode: UInt64, generation: UInt64, protection: UInt32, path: String
    ) {
        self.process = process
        self.thread = thread
        self.start = start
        self.length = length
        self.offset = offset
        self.major = major
        self.minor = minor
        self.inode = inode
        self.generation = generation
        self.protection = protection
        self.path = path
    }
}

/// One record of a perf event's ring, see linux/perf_event.h and perf_event_open(2).
enum TaskRecord: Equatable {
    case event(TaskEvent, time: UInt64)
    /// So many records found no room.
    case lost(UInt64)

    /// struct perf_event_header: a type of 32 bits, flags of 16, the record's size of 16.
    static let headerBytes = 8
    /// Behind every record, for PERF_SAMPLE_TID and PERF_SAMPLE_TIME: IDs of 32 bits each, and the time.
    private static let trailerBytes = 16
    /// Where a PERF_RECORD_MMAP2 has its path, which is padded with zeros.
    private static let pathOffset = 72

    // enum perf_event_type
    private static let lostType: UInt32 = 2
    private static let commType: UInt32 = 3
    private static let exitType: UInt32 = 4
    private static let forkType: UInt32 = 7
    private static let mapType: UInt32 = 10
    // PERF_RECORD_MISC_COMM_EXEC, PERF_RECORD_MISC_MMAP_BUILD_ID
    private static let isExec: UInt16 = 1 << 13
    private static let hasBuildID: UInt16 = 1 << 14

    /// - Parameter bytes: a whole record with its header; anything else, and what is of no interest, gives nil.
    init?(_ bytes: RawSpan) {
        guard bytes.byteCount >= Self.headerBytes + Self.trailerBytes else { return nil }
        let type = bytes.unsafeLoadUnaligned(as: UInt32.self)
        let flags = bytes.unsafeLoadUnaligned(fromByteOffset: 4, as: UInt16.self)
        let time = bytes.unsafeLoadUnaligned(fromByteOffset: bytes.byteCount - 8, as: UInt64.self)
        let first = bytes.unsafeLoadUnaligned(fromByteOffset: 8, as: Int32.self)
        if type == Self.lostType {
            self = .lost(bytes.unsafeLoadUnaligned(fromByteOffset: 16, as: UInt64.self))
            return
        }
        // A process that has no ID in our namespace is 0 there, and -1 once it is gone.
        guard first > 0 else { return nil }
        let event: TaskEvent?
        switch type {
        case Self.commType: event = flags & Self.isExec != 0 ? .executed(process: first) : nil
        case Self.forkType, Self.exitType: event = Self.life(bytes, first, isFork: type == Self.forkType)
        case Self.mapType: event = flags & Self.hasBuildID == 0 ? Self.mapping(bytes, first) : nil
        default: event = nil
        }
        guard let event else { return nil }
        self = .event(event, time: time)
    }

    private static func life(_ bytes: RawSpan, _ process: Int32, isFork: Bool) -> TaskEvent? {
        guard bytes.byteCount >= headerBytes + 24 + trailerBytes else { return nil }
        let parent = bytes.unsafeLoadUnaligned(fromByteOffset: 12, as: Int32.self)
        let thread = bytes.unsafeLoadUnaligned(fromByteOffset: 16, as: Int32.self)
        if isFork { return parent == process ? nil : .forked(parent: max(0, parent), child: process) }
        return thread == process ? .exited(process: process) : .threadExited(process: process)
    }

    private static func mapping(_ bytes: RawSpan, _ process: Int32) -> TaskEvent? {
        guard bytes.byteCount >= pathOffset + trailerBytes else { return nil }
        func number(_ offset: Int) -> UInt64 {
            bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
        }
        func half(_ offset: Int) -> UInt32 {
            bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self)
        }
        let start = number(16)
        let length = number(24)
        let protection = half(64)
        guard protection & UInt32(PROT_EXEC) != 0, length > 0,
            !start.addingReportingOverflow(length).overflow
        else { return nil }
        let path = bytes.extracting(pathOffset..<bytes.byteCount - trailerBytes)
        return .mapped(
            MappedCode(
                process: process, thread: Int32(bitPattern: half(12)), start: start, length: length,
                offset: number(32), major: half(40), minor: half(44), inode: number(48),
                generation: number(56), protection: protection,
                path: path.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }))
    }
}
