// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Symbolization
internal import Tracing
internal import Unwinding

/// Ends the walks that programs have left to us, because they came to code that was mapped a moment before.
///
/// They send a copy of the stack. By the time that it is read, it is known what was mapped when it was taken.
final class DeferredStacks {
    private let unwinder: StackUnwinder
    private let symbolizer: Symbolizer
    /// nil where programs send stacks and store none.
    private let stored: HashMap<UInt64, stack_trace>?
    /// Makes sure that all is known that a process had mapped at a time, and at that address.
    private let catchUp: (_ process: Int32, _ address: UInt64, _ time: UInt64) -> Void
    /// Whether programs may have used rules of the past at a time.
    private let isDoubtful: (_ process: Int32, _ time: UInt64) -> Bool
    private var ring: EventRing?
    /// Stacks that turned out to be the same as one that was stored without us.
    private var same: [UInt64: UInt64] = [:]
    private var rests: [UInt64: Rest] = [:]
    private(set) var count = 0

    /// What becomes of a stack.
    struct Rest {
        /// How many of its frames were right.
        let kept: Int
        let addresses: [UInt64]
        let end: StackEnd
    }

    init(
        _ unwinder: StackUnwinder, _ symbolizer: Symbolizer, _ session: Session,
        catchUp: @escaping (_ process: Int32, _ address: UInt64, _ time: UInt64) -> Void,
        isDoubtful: @escaping (_ process: Int32, _ time: UInt64) -> Bool
    ) throws {
        self.unwinder = unwinder
        self.symbolizer = symbolizer
        self.catchUp = catchUp
        self.isDoubtful = isDoubtful
        stored = unwinder.object.hasMap("stacks") ? unwinder.object.map("stacks") : nil
        let ring = try EventRing(unwinder.object, map: "deferred_stacks") { [unowned self] in end($0) }
        self.ring = ring
        if !session.common.dryRun { try session.loop.watch(ring.descriptor) { ring.drainAll() } }
    }

    /// Ends all that has come.
    func settle() { ring?.drainAll() }

    /// The stack that a stack is the same as.
    func canonical(_ stack: UInt64) -> UInt64 { same[stack] ?? stack }

    /// What follows the frames of an event, which is not asked for again; nil if nothing is known of it.
    func takeRest(_ number: UInt64) -> Rest? {
        settle()
        return rests.removeValue(forKey: number)
    }

    private func end(_ record: RawSpan) {
        let size = MemoryLayout<deferred_stack>.size
        guard record.byteCount >= size else { return }
        let head = record.unsafeLoadUnaligned(as: deferred_stack.self)
        let stack = record.withUnsafeBytes { Array($0[size...].prefix(Int(head.bytes))) }
        count += 1
        let process = Int32(bitPattern: head.process)
        catchUp(process, head.pc, head.time_ns)
        var walk = StackWalk(head, stack: stack)
        // What was done so far may have been wrong.
        let isAnew = isDoubtful(process, head.time_ns)
        if isAnew { walk.restart(head) }
        let kept = isAnew ? 1 : Int(head.frames)
        let limit = Int(head.most_frames) + Int(head.frames) - kept
        let (more, end) = walk.run(limit: max(0, limit)) { address in
            guard let region = symbolizer.code(of: process, holding: address, at: head.time_ns) else {
                return .nothing
            }
            return .rule(unwinder.rule(at: address, in: region))
        }
        let code = UInt8(end.rawValue) | (walk.byFramePointer ? UInt8(STACK_END_BY_FRAME_POINTER) : 0)
        if stored != nil {
            store(head.stack, kept, more, code, meaning: symbolizer.meaning(of: process))
        } else {
            // Nobody may ever ask for what belongs to an event that was lost.
            if rests.count >= Self.mostRests { rests = [:] }
            rests[head.stack] = Rest(kept: kept, addresses: more, end: StackEnd(code))
        }
    }

    private static let mostRests = 4096

    /// Puts a whole stack in the place of its beginning.
    ///
    /// - Parameters:
    ///   - kept: how many of its frames are right.
    ///   - meaning: of the process's addresses, which goes into the hash of a stack.
    private func store(_ stack: UInt64, _ kept: Int, _ more: [UInt64], _ end: UInt8, meaning: UInt32) {
        guard let stored, var bytes = stored.bytes(stack) else { return }
        let place = (
            frames: MemoryLayout<stack_trace>.offset(of: \.frames) ?? 0,
            end: MemoryLayout<stack_trace>.offset(of: \.end) ?? 0,
            addresses: MemoryLayout<stack_trace>.offset(of: \.addresses) ?? 0
        )
        let known = min(
            kept,
            bytes.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: place.frames, as: UInt32.self)) })
        let count = min(known + more.count, (bytes.count - place.addresses) / 8)
        guard known <= count else { return }
        var hash = UInt64(meaning)
        bytes.withUnsafeMutableBytes { bytes in
            for index in known..<count {
                bytes.storeBytes(
                    of: more[index - known], toByteOffset: place.addresses + index * 8, as: UInt64.self)
            }
            bytes.storeBytes(of: UInt32(count), toByteOffset: place.frames, as: UInt32.self)
            bytes[place.end] = end
            for index in 0..<count {
                hash = Self.mix(
                    hash, bytes.loadUnaligned(fromByteOffset: place.addresses + index * 8, as: UInt64.self))
            }
        }
        let usual = max(1, Self.mix(hash, UInt64(end)))
        same[stack] = usual
        // It was walked by what held at its time.
        let owner = MemoryLayout<stack_trace>.offset(of: \.process) ?? 0
        for index in owner..<owner + 8 { bytes[index] = 0 }
        // Where there is no room any more, the beginning stays, and says that it is one.
        try? stored.set(stack, bytes: bytes)
        try? stored.set(usual, bytes: bytes)
    }

    /// As in bpf/lib/unwind.bpf.h.
    private static func mix(_ state: UInt64, _ value: UInt64) -> UInt64 {
        var state = (state ^ value) &* 0xbf58_476d_1ce4_e5b9
        state ^= state >> 27
        state = state &* 0x94d0_49bb_1331_11eb
        return state ^ state >> 31
    }
}
