// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Tracing

/// Loops take the signals of the process and of the thread they are made on; this gives both back.
private func withLoop(output: Int32? = nil, _ body: (EventLoop) throws -> Void) throws {
    let taken = [SIGINT, SIGTERM, SIGHUP]
    var mask = sigset_t()
    pthread_sigmask(SIG_SETMASK, nil, &mask)
    var actions = taken.map { _ in sigaction() }
    for index in taken.indices { sigaction(taken[index], nil, &actions[index]) }
    defer {
        for index in taken.indices { sigaction(taken[index], &actions[index], nil) }
        pthread_sigmask(SIG_SETMASK, &mask, nil)
    }
    try body(try EventLoop(output: output))
}

/// Starts a command with every signal as usual.
private func start(_ words: [String]) throws -> pid_t {
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    var child: pid_t = 0
    try #require(posix_spawn(&child, words[0], nil, &attributes, &arguments, environ) == 0)
    return child
}

private func reap(_ child: pid_t) {
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0 && errno == EINTR {}
}

/// Waits until the child has ended, and leaves it for `reap`.
private func waitForEnd(of child: pid_t) {
    var information = siginfo_t()
    while waitid(P_PID, id_t(child), &information, WEXITED | WNOWAIT) < 0 && errno == EINTR {}
}

private struct Trouble: Error {}

// Each test stays on its thread from end to end (no await), which is what a signal sent to a thread needs.
@Suite(.serialized) struct EventLoopTests {
    @Test func aTimerFiresAndEndsTheLoop() throws {
        try withLoop { loop throws in
            var fired = 0
            try loop.schedule(seconds: 0.001, repeating: false) {
                fired += 1
                loop.stop()
            }
            #expect(try loop.run() == .requested)
            #expect(fired == 1)
        }
    }

    @Test func aTimerThatRepeatsFiresAgainAndOneThatDoesNotDoesNot() throws {
        try withLoop { loop throws in
            var once = 0
            var often = 0
            try loop.schedule(seconds: 0.001, repeating: false) { once += 1 }
            try loop.schedule(seconds: 0.002, repeating: true) {
                often += 1
                if often == 5 { loop.stop() }
            }
            #expect(try loop.run() == .requested)
            #expect(once == 1)
            #expect(often == 5)
        }
    }

    @Test func aTimerOfNoTimeFiresToo() throws {
        try withLoop { loop throws in
            try loop.schedule(seconds: 0, repeating: false) { loop.stop() }
            #expect(try loop.run() == .requested)
        }
    }

    @Test func theEarlierTimerFiresFirst() throws {
        try withLoop { loop throws in
            try loop.limit(seconds: 3600)
            try loop.limit(seconds: 0.001)
            #expect(try loop.run() == .duration)
        }
    }

    @Test func aFailureOfATimerEndsTheLoop() throws {
        try withLoop { loop throws in
            try loop.schedule(seconds: 0.001, repeating: true) { throw Trouble() }
            #expect(throws: Trouble.self) { try loop.run() }
        }
    }

    @Test func stopBeforeTheStartStillDoesOneRound() throws {
        try withLoop { loop throws in
            var rounds = 0
            loop.afterRound = { rounds += 1 }
            loop.stop()
            #expect(try loop.run() == .requested)
            #expect(rounds == 1)
        }
    }

    @Test func theLastRoundComesAfterTheTimer() throws {
        try withLoop { loop throws in
            // What a timer writes at the very end must still be flushed.
            var order: [String] = []
            loop.afterRound = { order.append("round") }
            try loop.schedule(seconds: 0.001, repeating: false) {
                order.append("timer")
                loop.stop()
            }
            _ = try loop.run()
            #expect(order.last == "round")
            #expect(order.contains("timer"))
        }
    }

    @Test func aFailureToFlushEndsTheLoop() throws {
        try withLoop { loop throws in
            loop.afterRound = { throw Trouble() }
            #expect(throws: Trouble.self) { try loop.run() }
        }
    }

    @Test func theFirstReasonCounts() throws {
        try withLoop { loop throws in
            try loop.schedule(seconds: 0.001, repeating: false) {
                loop.stop()
                loop.stop()
            }
            #expect(try loop.run() == .requested)
        }
    }

    @Test func aTargetThatHasEndedEndsTheLoop() throws {
        let child = try start(["/bin/true"])
        defer { reap(child) }
        waitForEnd(of: child)
        try withLoop { loop throws in
            #expect(try loop.watchTarget(child))
            #expect(try loop.run() == .targetsEnded)
        }
    }

    @Test func aTargetThatEndsLaterEndsTheLoop() throws {
        let child = try start(["/bin/sleep", "1000"])
        defer { reap(child) }
        try withLoop { loop throws in
            #expect(try loop.watchTarget(child))
            try loop.schedule(seconds: 0.001, repeating: false) { kill(child, SIGKILL) }
            #expect(try loop.run() == .targetsEnded)
        }
    }

    @Test func theLastTargetEndsTheLoop() throws {
        let ended = try start(["/bin/true"])
        defer { reap(ended) }
        let running = try start(["/bin/sleep", "1000"])
        defer {
            kill(running, SIGKILL)
            reap(running)
        }
        waitForEnd(of: ended)
        try withLoop { loop throws in
            #expect(try loop.watchTarget(ended))
            #expect(try loop.watchTarget(running))
            try loop.limit(seconds: 0.05)
            #expect(try loop.run() == .duration)
        }
    }

    @Test func aProcessThatIsNotThereCannotBeWatched() throws {
        let limit = try String(contentsOfFile: "/proc/sys/kernel/pid_max", encoding: .utf8)
        let beyond = try #require(Int32(limit.trimmingCharacters(in: .whitespacesAndNewlines))) + 1
        try withLoop { loop throws in
            #expect(try loop.watchTarget(beyond) == false)
        }
    }

    /// `-t` gives the loop threads that are not the first of their process.
    @Test func aThreadCanBeWatched() throws {
        final class Box: @unchecked Sendable { var id: Int32 = 0 }
        let box = Box()
        let started = DispatchSemaphore(value: 0)
        let finish = DispatchSemaphore(value: 0)
        Thread {
            let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self")
            box.id = link.flatMap { Int32($0.split(separator: "/")[2]) } ?? 0
            started.signal()
            finish.wait()
        }.start()
        started.wait()
        defer { finish.signal() }
        try #require(box.id > 0)
        try withLoop { loop throws in
            #expect(throws: Never.self) { _ = try loop.watchTarget(box.id) }
        }
    }

    @Test func aReaderOfOutputThatLeavesEndsTheLoop() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[1]) }
        try withLoop(output: ends[1]) { loop throws in
            try loop.schedule(seconds: 0.001, repeating: false) { close(ends[0]) }
            #expect(try loop.run() == .outputClosed)
        }
    }

    @Test func aRegularFileAsOutputIsNoObstacle() throws {
        let file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
        try #require(file >= 0)
        defer { close(file) }
        try withLoop(output: file) { loop throws in
            loop.stop()
            #expect(try loop.run() == .requested)
        }
    }

    @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
    func aSignalEndsTheLoop(signal: Int32) throws {
        try withLoop { loop throws in
            #expect(!loop.endIsPending)
            // Only this thread has it blocked: one sent to the process would end the tests.
            pthread_kill(pthread_self(), signal)
            #expect(loop.endIsPending)
            #expect(try loop.run() == .signal(signal))
            #expect(!loop.endIsPending)
        }
    }

    @Test func anIgnoredSignalIsHeardAllTheSame() throws {
        // A shell starts jobs in the background with SIGINT ignored.
        var before = sigaction()
        var ignore = sigaction()
        ignore.__sigaction_handler.sa_handler = SIG_IGN
        sigaction(SIGINT, &ignore, &before)
        defer { sigaction(SIGINT, &before, nil) }
        try withLoop { loop throws in
            pthread_kill(pthread_self(), SIGINT)
            #expect(try loop.run() == .signal(SIGINT))
        }
    }
}
