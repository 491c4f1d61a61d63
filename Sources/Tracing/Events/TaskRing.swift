// SPDX-License-Identifier: Apache-2.0
internal import CSupport
internal import Glibc

/// The ring of one CPU's perf event, closed with the last reference.
final class TaskRing {
    let descriptor: Int32
    private let memory: UnsafeMutableRawPointer
    private let page = Int(getpagesize())
    private let capacity: Int
    private var joined: [UInt8] = []

    // struct perf_event_mmap_page of linux/perf_event.h: what the kernel and we have got to in the data, which is
    // in the pages behind it.
    private static let headOffset = 1024
    private static let tailOffset = 1032

    /// - Parameter bytes: of the ring, a power of two; less if that is more than may be locked.
    /// - Throws: With ENODEV for a CPU that is not online.
    init(cpu: Int32, bytes: Int) throws(BPFError) {
        descriptor = apus_task_event_open(cpu)
        guard descriptor >= 0 else {
            throw BPFError(
                "watch the processes of CPU \(cpu)", code: errno,
                advice: errno == EACCES || errno == EPERM ? "that takes CAP_PERFMON" : nil)
        }
        var size = max(bytes, page)
        var mapped = mmap(nil, page + size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        // /proc/sys/kernel/perf_event_mlock_kb
        while mapped == MAP_FAILED, errno == EPERM || errno == ENOMEM, size > page {
            size /= 2
            mapped = mmap(nil, page + size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        }
        guard let mapped, mapped != MAP_FAILED else {
            let code = errno
            close(descriptor)
            throw BPFError("map the events of CPU \(cpu)", code: code)
        }
        memory = mapped
        capacity = size
    }

    deinit {
        munmap(memory, page + capacity)
        close(descriptor)
    }

    /// Hands out every record that is there, and gives their room back.
    func read(_ body: (TaskRecord) -> Void) {
        let head = apus_load_u64((memory + Self.headOffset).assumingMemoryBound(to: UInt64.self))
        let tail = (memory + Self.tailOffset).assumingMemoryBound(to: UInt64.self)
        // Only we write it.
        guard tail.pointee != head else { return }
        let data = UnsafeRawBufferPointer(start: memory + page, count: capacity)
        Self.records(in: data, from: tail.pointee, to: head, joined: &joined, body)
        apus_release_u64(tail, head)
    }

    /// The records of a ring between two positions, which count bytes since its beginning.
    ///
    /// What cannot be a record ends the reading: where the next one is cannot be known then.
    /// - Parameters:
    ///   - data: The ring, whose size is a power of two.
    ///   - joined: Room for records that are at the end of the ring in part and at its start in part.
    static func records(
        in data: UnsafeRawBufferPointer, from tail: UInt64, to head: UInt64, joined: inout [UInt8],
        _ body: (TaskRecord) -> Void
    ) {
        guard head &- tail <= UInt64(data.count) else { return }
        var position = tail
        while head &- position >= UInt64(TaskRecord.headerBytes) {
            let start = Int(truncatingIfNeeded: position) & (data.count - 1)
            // Records are multiples of 8 bytes, so that a header is never cut in two.
            guard start + TaskRecord.headerBytes <= data.count else { return }
            let size = Int(data.loadUnaligned(fromByteOffset: start + 6, as: UInt16.self))
            guard size >= TaskRecord.headerBytes, UInt64(size) <= head &- position else { return }
            if start + size <= data.count {
                let record = UnsafeRawBufferPointer(rebasing: data[start..<start + size])
                if let record = TaskRecord(record.bytes) { body(record) }
            } else {
                joined.removeAll(keepingCapacity: true)
                joined += data[start...]
                joined += data[..<(start + size - data.count)]
                if let record = joined.withUnsafeBytes({ TaskRecord($0.bytes) }) { body(record) }
            }
            position &+= UInt64(size)
        }
    }
}
