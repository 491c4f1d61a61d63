// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Work in a thread of its own, while the caller goes on with something that shares nothing with it.
///
/// The thread must not start processes: those of ours end with the thread that has started them (PR_SET_PDEATHSIG).
final class SideThread {
    private let work: () -> Void
    private var thread = pthread_t()
    private var isRunning = false

    /// Begins at once. Where there can be no thread, the work is done when this returns.
    init(_ work: @escaping () -> Void) {
        self.work = work
        let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
            if let context { Unmanaged<SideThread>.fromOpaque(context).takeUnretainedValue().work() }
            return nil
        }
        isRunning = pthread_create(&thread, nil, body, Unmanaged.passUnretained(self).toOpaque()) == 0
        if !isRunning { work() }
    }

    /// Returns when the work is done.
    func join() {
        if isRunning { pthread_join(thread, nil) }
        isRunning = false
    }

    deinit { join() }
}
