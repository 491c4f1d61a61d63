// SPDX-License-Identifier: Apache-2.0
package import CBPFPrograms
internal import CLibbpf
internal import CSupport
internal import Glibc

/// The reading end of an object's `events` ring buffer.
///
/// Works in batches (see bpf/lib/events.bpf.h): after records have come it sleeps for a moment instead of asking
/// to be woken for each, and only when a moment passes without any does it ask to be woken by the next.
package final class EventRing {
    private let ring: OpaquePointer
    private let channel: UnsafeMutablePointer<event_channel>
    private let reader: Reader

    /// Records that are read before the loop looks at signals and timers again.
    static let batch = 16_384

    private final class Reader {
        var handle: (RawSpan) -> Void
        var count = 0
        init(_ handle: @escaping (RawSpan) -> Void) { self.handle = handle }
    }

    /// - Parameters:
    ///   - object: must outlive the ring.
    ///   - handle: called with each record, which is valid during the call only.
    package init(_ object: borrowing LoadedObject, handle: @escaping (RawSpan) -> Void) throws(BPFError) {
        reader = Reader(handle)
        channel = object.sharedVariable("event_channel", as: event_channel.self)
        descriptor = object.descriptor(ofMap: "events")
        let context = Unmanaged.passUnretained(reader).toOpaque()
        ring = try check(
            ring_buffer__new(descriptor, EventRing.receive, context, nil),
            "map the event buffer")
    }

    deinit { ring_buffer__free(ring) }

    private static let receive: ring_buffer_sample_fn = { context, data, size in
        guard let context, let data else { return 0 }
        return Unmanaged<Reader>.fromOpaque(context)._withUnsafeGuaranteedRef { reader in
            reader.handle(UnsafeRawBufferPointer(start: data, count: size).bytes)
            reader.count += 1
            // A negative result ends the round after this record: under a flood there is always another one.
            return reader.count < EventRing.batch ? 0 : -ECANCELED
        }
    }

    /// For epoll: becomes readable when a program asks for attention.
    let descriptor: Int32

    /// Hands out what is there, at most one batch. Returns how many records that was.
    package func drain() -> Int {
        reader.count = 0
        _ = ring_buffer__consume(ring)
        return reader.count
    }

    /// Hands out everything that is there.
    package func drainAll() {
        while drain() == Self.batch {}
    }

    func setConsumer(_ state: consumer_state) {
        withUnsafeMutablePointer(to: &channel.pointee.consumer) { apus_store_u32($0, state.rawValue) }
        apus_full_fence()
    }

    /// Reads the counters of what could not be delivered.
    package var losses: (records: UInt64, state: UInt64, targets: UInt64) {
        (channel.pointee.lost_records, channel.pointee.lost_state, channel.pointee.lost_targets)
    }
}
