// SPDX-License-Identifier: Apache-2.0
package import CBPFPrograms
internal import CSupport
internal import Glibc

/// The reading end of an object's `events` ring buffer.
///
/// Works in batches (see bpf/lib/events.bpf.h): after records have come it sleeps for a moment instead of asking
/// to be woken for each, and only when a moment passes without any does it ask to be woken by the next.
///
/// libbpf's reader moves the consumer position after each record, and each move takes the cache line away from
/// the CPU that produces: measured as a third of the cost of a traced open. This one moves it once in a while.
package final class EventRing {
    /// Records that are read before the loop looks at signals and timers again.
    static let batch = 16_384
    /// A reader that sleeps between batches is woken when one part in so many of the ring is full.
    private static let wakeDivisor = 4
    /// Bytes that are read before their room is given back.
    private static let returnBytes: UInt64 = 1 << 15

    // Layout: kernel/bpf/ringbuf.c. One page with the consumer's position, one with the producer's, then the
    // data, mapped twice in a row so that no record is cut in two.
    private let consumer: UnsafeMutableRawPointer
    private let producer: UnsafeMutableRawPointer
    private let data: UnsafeRawPointer
    private let consumerPage: Mapping
    private let records: Mapping
    private let capacity: Int

    private let channel: SharedVariable<event_channel>
    private let handle: (RawSpan) -> Void

    /// For epoll: becomes readable when a program asks for attention.
    package let descriptor: Int32

    /// - Parameters:
    ///   - object: must outlive the ring.
    ///   - map: another ring of the object, whose records wake us by themselves.
    ///   - handle: called with each record, which is valid during the call only.
    package init(
        _ object: LoadedObject, map: String = "events", handle: @escaping (RawSpan) -> Void
    ) throws(BPFError) {
        self.handle = handle
        descriptor = object.descriptor(ofMap: map)
        capacity = object.entries(ofMap: map)
        let page = Int(getpagesize())
        channel = try object.sharedVariable("event_channel", as: event_channel.self)
        if map == "events" {
            channel.pointer.pointee.wake_bytes = UInt32(clamping: capacity / Self.wakeDivisor)
        }
        consumerPage = try Mapping(descriptor, at: 0, bytes: page, PROT_READ | PROT_WRITE)
        records = try Mapping(descriptor, at: page, bytes: page + 2 * capacity, PROT_READ)
        consumer = consumerPage.start
        producer = records.start
        data = UnsafeRawPointer(records.start + page)
    }

    /// Memory that a map shows, as long as this value: also where what comes after it fails.
    struct Mapping: ~Copyable {
        let start: UnsafeMutableRawPointer
        private let bytes: Int

        init(
            _ descriptor: Int32, at offset: Int, bytes: Int, _ protection: Int32
        ) throws(BPFError) {
            guard let start = mmap(nil, bytes, protection, MAP_SHARED, descriptor, offset),
                start != MAP_FAILED
            else { throw BPFError("map the event buffer", code: errno) }
            self.start = start
            self.bytes = bytes
        }

        deinit { munmap(start, bytes) }
    }

    /// Hands out what is there, at most one batch. Returns how many records that was.
    package func drain() -> Int {
        let consumed = consumer.assumingMemoryBound(to: UInt64.self)
        let produced = producer.assumingMemoryBound(to: UInt64.self)
        var position = consumed.pointee
        var returned = position
        var count = 0
        while count < Self.batch, position < apus_load_u64(produced) {
            let record = data + (Int(position) & (capacity - 1))
            let header = apus_load_u32(record.assumingMemoryBound(to: UInt32.self))
            // Reserved and not yet committed: the producer is still copying.
            if header & Self.busy != 0 { break }
            let size = Int(header & ~(Self.busy | Self.discarded))
            if header & Self.discarded == 0 {
                handle(UnsafeRawBufferPointer(start: record + Self.headerBytes, count: size).bytes)
                count += 1
            }
            position += UInt64((size + Self.headerBytes + 7) & ~7)
            if position - returned >= Self.returnBytes {
                apus_release_u64(consumed, position)
                returned = position
            }
        }
        apus_release_u64(consumed, position)
        return count
    }

    // BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT and BPF_RINGBUF_HDR_SZ of linux/bpf.h
    private static let busy: UInt32 = 1 << 31
    private static let discarded: UInt32 = 1 << 30
    private static let headerBytes = 8

    /// Hands out everything that is there.
    package func drainAll() {
        while drain() == Self.batch {}
    }

    func setConsumer(_ state: consumer_state) {
        withUnsafeMutablePointer(to: &channel.pointer.pointee.consumer) { apus_store_u32($0, state.rawValue) }
    }

    /// Reads the counters of what could not be delivered.
    package var counters: event_channel { channel.value }
}
