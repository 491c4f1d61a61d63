// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import CSupport
internal import Glibc

/// Why the loop came to its end.
package enum StopReason: Equatable, Sendable {
    case signal(Int32)
    case duration
    case targetsEnded
    case outputClosed
    case requested
}

/// The one loop of the program: ring buffers, timers, signals, the end of targets, a reader of stdout that leaves.
package final class EventLoop {
    /// While events flow, rows come out this often: 50 times a second is smooth to the eye and cheap.
    private static let batchMilliseconds: Int32 = 20

    private let poller: Int32
    private let signals: Int32
    private let output: Int32?
    private var timers: [Int32: Timer] = [:]
    private var targets: Set<Int32> = []
    private var readers: [Int32: () throws -> Void] = [:]
    private var rings: [EventRing] = []
    private var stopReason: StopReason?

    private struct Timer {
        let fire: () throws -> Void
    }

    /// Called after each round of records, before the loop sleeps: the place to flush output.
    package var afterRound: () throws -> Void = {}

    /// - Parameter output: a descriptor whose reader may go away; nil if nobody reads.
    package init(output: Int32?) throws(BPFError) {
        self.output = output
        poller = epoll_create1(Int32(EPOLL_CLOEXEC))
        signals = apus_signal_descriptor()
        guard poller >= 0, signals >= 0 else { throw BPFError("set up the event loop", code: errno) }
        try watch(signals, EPOLLIN.rawValue)
        // Errors and hang-ups are always reported. A regular file cannot be watched and needs no watching.
        if let output { try? watch(output, 0) }
    }

    deinit {
        for descriptor in timers.keys { close(descriptor) }
        for descriptor in targets { close(descriptor) }
        close(signals)
        close(poller)
    }

    private func watch(_ descriptor: Int32, _ events: UInt32) throws(BPFError) {
        var event = epoll_event(events: events, data: epoll_data_t(fd: descriptor))
        guard epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) == 0 else {
            throw BPFError("watch a file descriptor", code: errno)
        }
    }

    /// Reads this ring, too, from now on.
    package func attach(_ ring: EventRing) throws(BPFError) {
        rings.append(ring)
        // Edge-triggered: a ring that has data again, but wants no attention yet, must not cut the sleep short.
        try watch(ring.descriptor, EPOLLIN.rawValue | EPOLLET.rawValue)
    }

    /// Calls `read` whenever there is something to read from a descriptor, which stays its owner's to close.
    package func watch(_ descriptor: Int32, read: @escaping () throws -> Void) throws(BPFError) {
        try watch(descriptor, EPOLLIN.rawValue)
        readers[descriptor] = read
    }

    /// Calls `fire` after `seconds`, and then every `seconds` if it repeats.
    package func schedule(
        seconds: Double, repeating: Bool, fire: @escaping () throws -> Void
    ) throws(BPFError) {
        let timer = timerfd_create(CLOCK_MONOTONIC, Int32(TFD_CLOEXEC | TFD_NONBLOCK))
        guard timer >= 0 else { throw BPFError("create a timer", code: errno) }
        var value = timespec()
        value.tv_sec = Int(seconds)
        // Zero would disarm the timer.
        value.tv_nsec = max(1, Int((seconds - seconds.rounded(.down)) * 1e9))
        var setting = itimerspec(it_interval: repeating ? value : timespec(), it_value: value)
        guard timerfd_settime(timer, 0, &setting, nil) == 0 else {
            throw BPFError("start a timer", code: errno)
        }
        timers[timer] = Timer(fire: fire)
        try watch(timer, EPOLLIN.rawValue)
    }

    /// Ends the loop once this process or thread and every other watched one has ended.
    ///
    /// A kernel that cannot watch a thread alone (before Linux 6.9) watches the thread's process instead.
    ///
    /// - Parameter process: the thread's process, if `task` is a thread that is not its first.
    /// - Returns: false if it has ended already.
    package func watchTarget(_ task: Int32, of process: Int32? = nil) throws(BPFError) -> Bool {
        var descriptor = apus_pidfd_open(task)
        // A thread that is not its process's first is no process: ENOENT, before Linux 6.9 EINVAL.
        if descriptor < 0, errno == ENOENT || errno == EINVAL { descriptor = apus_threadfd_open(task) }
        if descriptor < 0, errno == EINVAL, let process { descriptor = apus_pidfd_open(process) }
        if descriptor < 0 {
            if errno == ESRCH { return false }
            throw BPFError("watch process \(task)", code: errno)
        }
        targets.insert(descriptor)
        try watch(descriptor, EPOLLIN.rawValue)
        return true
    }

    /// Forgets all timers, and with them what they would have done.
    package func cancelTimers() {
        for descriptor in timers.keys { close(descriptor) }
        timers = [:]
    }

    /// Whether a signal has come that the loop has not yet seen, because output blocks.
    package var endIsPending: Bool {
        var poll = pollfd(fd: signals, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&poll, 1, 0) > 0
    }

    package func stop() { stopReason = stopReason ?? .requested }

    /// Runs until something ends it.
    package func run() throws -> StopReason {
        while true {
            let busy = readRings()
            try afterRound()
            if let stopReason { return stopReason }
            try wait(milliseconds: busy ? 0 : sleepTime())
        }
    }

    private var batching = false

    /// Reads one batch of each ring; true if there is more already.
    private func readRings() -> Bool {
        batching = false
        var isMore = false
        for ring in rings {
            ring.setConsumer(CONSUMER_AWAKE)
            let count = ring.drain()
            batching = batching || count > 0
            isMore = isMore || count >= EventRing.batch
        }
        return isMore
    }

    /// Tells the programs that we sleep, and for how long: -1 until they wake us.
    private func sleepTime() throws -> Int32 {
        if batching {
            for ring in rings { ring.setConsumer(CONSUMER_BATCHING) }
            return Self.batchMilliseconds
        }
        for ring in rings { ring.setConsumer(CONSUMER_IDLE) }
        // A record that was sent between the last look and the line above woke nobody.
        guard rings.reduce(0, { $0 + $1.drain() }) > 0 else { return -1 }
        batching = true
        try afterRound()
        return Self.batchMilliseconds
    }

    private func wait(milliseconds: Int32) throws {
        var events = [epoll_event](repeating: epoll_event(), count: 16)
        let count = epoll_wait(poller, &events, Int32(events.count), milliseconds)
        if count < 0 && errno != EINTR { throw BPFError("wait for events", code: errno) }
        for event in events.prefix(Int(max(0, count))) { try dispatch(event) }
    }

    private func dispatch(_ event: epoll_event) throws {
        let descriptor = event.data.fd
        if descriptor == signals {
            let signal = apus_next_signal(signals)
            if signal != 0 { stopReason = .signal(signal) }
        } else if let timer = timers[descriptor] {
            var expirations: UInt64 = 0
            if read(descriptor, &expirations, 8) == 8 { try timer.fire() }
        } else if let reader = readers[descriptor] {
            try reader()
        } else if targets.remove(descriptor) != nil {
            close(descriptor)
            if targets.isEmpty { stopReason = stopReason ?? .targetsEnded }
        } else if descriptor == output {
            stopReason = .outputClosed
        }
    }

    /// Ends the loop after this many seconds.
    package func limit(seconds: Double) throws(BPFError) {
        try schedule(seconds: seconds, repeating: false) { [unowned self] in
            self.stopReason = self.stopReason ?? .duration
        }
    }
}
