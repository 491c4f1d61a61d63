// SPDX-License-Identifier: Apache-2.0
internal import Synchronization

/// What reads files of other users for the commands: this executable once more, as a process without privileges.
enum Reader {
    private static let mayStart = Atomic(false)

    /// Says that this program is the executable, and not one that has its code inside, as tests are: it can be
    /// started again.
    static func enable() { mayStart.store(true, ordering: .relaxed) }

    /// nil if files are to be read by this process.
    static var executable: String? { mayStart.load(ordering: .relaxed) ? "/proc/self/exe" : nil }
}
