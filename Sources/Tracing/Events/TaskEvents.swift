// SPDX-License-Identifier: Apache-2.0
internal import CSupport
internal import Glibc

/// Tells what the processes of the whole machine map, and when they begin, execute and end, as it happens.
///
/// The kernel's perf events say so on the side, whatever they count: here there is one that counts nothing on each
/// CPU (PERF_COUNT_SW_DUMMY). Records are read soon after they come, but together: reading starts with the first
/// one, goes on every few milliseconds, and waits to be woken again after a moment without any.
package final class TaskEvents {
    /// Milliseconds between two readings while records come: a process that lives for a few of them is still there.
    private static let pauseMilliseconds = 4
    /// Of each ring. The life of a process that runs a small command takes 700.
    private static let ringBytes = 1 << 18

    private struct Timed {
        let time: UInt64
        let event: TaskEvent
    }

    /// For epoll: readable when it is time to call `drain`.
    package let descriptor: Int32
    private let timer: Int32
    private var rings: [Int32: TaskRing] = [:]
    /// CPUs whose ring had something, and does not wake us again before a pause has passed.
    private var silent: Set<Int32> = []
    private var isPausing = false
    /// What may have to wait for something earlier from another CPU.
    private var pending: [Timed] = []

    /// All that happened before this has been handed out, in nanoseconds of the monotonic clock.
    package private(set) var upTo: UInt64 = 0

    /// Records that the kernel had no room for.
    package private(set) var lost: UInt64 = 0

    /// - Throws: If the kernel refuses (EACCES, EPERM) or has no perf events (ENOSYS, ENOENT).
    package init() throws(BPFError) {
        descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        timer = timerfd_create(CLOCK_MONOTONIC, Int32(TFD_CLOEXEC | TFD_NONBLOCK))
        var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(fd: -1))
        guard descriptor >= 0, timer >= 0, epoll_ctl(descriptor, EPOLL_CTL_ADD, timer, &event) == 0 else {
            throw BPFError("watch processes", code: errno)
        }
        if let refusal = follow(), rings.isEmpty { throw refusal }
    }

    deinit {
        if timer >= 0 { close(timer) }
        if descriptor >= 0 { close(descriptor) }
    }

    /// Starts with CPUs that have come, and lets go of those that have gone. Call now and then.
    package func followCPUs() { _ = follow() }

    /// - Returns: The last failure; a CPU can go at any moment, but all of them cannot.
    private func follow() -> BPFError? {
        let online = CPUSampler.online()
        for (cpu, ring) in rings where !online.contains(cpu) {
            take(ring)
            rings[cpu] = nil
            silent.remove(cpu)
        }
        var failure: BPFError?
        for cpu in online where rings[cpu] == nil {
            do throws(BPFError) {
                let ring = try TaskRing(cpu: cpu, bytes: Self.ringBytes)
                // Once only: whoever is awake already need not be woken.
                var event = epoll_event(
                    events: EPOLLIN.rawValue | EPOLLONESHOT.rawValue, data: epoll_data_t(fd: cpu))
                guard epoll_ctl(descriptor, EPOLL_CTL_ADD, ring.descriptor, &event) == 0 else {
                    throw BPFError("watch the processes of CPU \(cpu)", code: errno)
                }
                rings[cpu] = ring
            } catch {
                failure = error
            }
        }
        return failure
    }

    /// Hands out what has happened, in the order of time, with the time in nanoseconds of the monotonic clock.
    ///
    /// All is handed out that happened before the call: nothing that a process did before is missing. To be called
    /// when `descriptor` is readable; at other times it can be.
    package func drain(_ body: (TaskEvent, _ timeNs: UInt64) -> Void) {
        takeWakeUps()
        // What happened by now is in its ring by now: a cause is never missing when its effect is handed out. Of
        // what comes while the rings are read one after the other, the effect may be read and the cause not yet.
        let now = Self.now()
        let before = pending.count
        for ring in rings.values { take(ring) }
        let isQuiet = pending.count == before
        // Each ring is in order, and this sorting keeps equals as they are.
        if !isQuiet { pending.sort { $0.time < $1.time } }
        var ready: [Timed] = []
        swap(&ready, &pending)
        while let last = ready.last, last.time > now { pending.append(ready.removeLast()) }
        pending.reverse()
        upTo = now
        for timed in ready { body(timed.event, timed.time) }
        arrangeNext(isQuiet: isQuiet && pending.isEmpty)
    }

    private func take(_ ring: TaskRing) {
        ring.read { record in
            switch record {
            case .event(let event, let time): pending.append(Timed(time: time, event: event))
            case .lost(let count): lost &+= count
            }
        }
    }

    private func takeWakeUps() {
        var event = epoll_event()
        while epoll_wait(descriptor, &event, 1, 0) > 0 {
            if event.data.fd >= 0 {
                silent.insert(event.data.fd)
            } else {
                var expirations: UInt64 = 0
                _ = read(timer, &expirations, 8)
                isPausing = false
            }
        }
    }

    private func arrangeNext(isQuiet: Bool) {
        guard !isPausing else { return }
        if !isQuiet {
            guard !silent.isEmpty || !pending.isEmpty else { return }
            var setting = itimerspec()
            setting.it_value.tv_nsec = Self.pauseMilliseconds * 1_000_000
            isPausing = timerfd_settime(timer, 0, &setting, nil) == 0
            if isPausing { return }
        }
        // What has come meanwhile makes the descriptor readable at once.
        for cpu in silent {
            guard let ring = rings[cpu] else { continue }
            var event = epoll_event(
                events: EPOLLIN.rawValue | EPOLLONESHOT.rawValue, data: epoll_data_t(fd: cpu))
            epoll_ctl(descriptor, EPOLL_CTL_MOD, ring.descriptor, &event)
        }
        silent = []
    }

    private static func now() -> UInt64 { apus_kernel_time() }
}
