// SPDX-License-Identifier: Apache-2.0
#if canImport(Glibc)
    internal import Glibc
#endif

/// What this thread has had of a CPU so far, in seconds: how much work something is, also on a busy machine.
package func cpuSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
