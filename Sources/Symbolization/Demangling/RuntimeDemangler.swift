// SPDX-License-Identifier: Apache-2.0
internal import CSymbolization
internal import Glibc

/// Demangles C++ and Swift names with the libraries that come with the compilers.
///
/// A name of fifty bytes can stand for gigabytes, and those libraries would write them all. What may do so goes
/// to a child process whose memory and time are limited.
final class RuntimeDemangler {
    /// The last one that was started.
    private(set) var child: pid_t = 0
    private var socket: Int32 = -1
    /// How often the child was lost since it last replied: after sixteen times names are left as they are.
    private var failures = 0
    /// How much CPU time a name may take, in nanoseconds; usual ones take less than a thousandth.
    private static let patience: UInt64 = 500_000_000
    private let leavesRiskyNames: Bool

    /// What stands before a name that was left as it is. No name of a file has it inside.
    static let mark = "\0"

    /// - Parameter leavesRiskyNames: No child is started.
    init(leavesRiskyNames: Bool = false) { self.leavesRiskyNames = leavesRiskyNames }

    deinit { stop() }

    /// nil if it is no name or stands for too much. `name` is shorter than 4 KiB.
    func demangle(_ name: [UInt8]) -> String? {
        // Types that consist of such types multiply: sixteen make the text at most 3^4 * 4 times as long.
        if repetitions(in: name) <= 16 { return direct(name) }
        return leavesRiskyNames ? Self.mark + String(decoding: name, as: UTF8.self) : byChild(name)
    }

    func direct(_ name: [UInt8]) -> String? {
        withTerminated(name) { mangled in
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(APUS_DEMANGLED_MAX)) { buffer in
                let length = apus_demangle(mangled, buffer.baseAddress, buffer.count)
                guard length > 0 else { return nil }
                return String(decoding: UnsafeRawBufferPointer(buffer).prefix(length), as: UTF8.self)
            }
        }
    }

    private enum Answer {
        case reply([UInt8])
        /// The child is gone.
        case lost
        case late
    }

    private func byChild(_ name: [UInt8]) -> String? {
        // Twice, for the child ends by itself when there is nothing to do, perhaps at this moment.
        for _ in 0..<2 {
            if socket < 0 {
                guard failures < 16 else { return nil }
                socket = apus_demangler_start(&child)
            }
            switch ask(name) {
            case .reply(let reply):
                failures = 0
                return reply.first == 1 ? String(decoding: reply.dropFirst(), as: UTF8.self) : nil
            case .lost:
                failures += 1
                stop()
            case .late:
                failures += 1
                stop()
                return nil
            }
        }
        return nil
    }

    private func ask(_ name: [UInt8]) -> Answer {
        guard send(socket, name, name.count, Int32(MSG_NOSIGNAL)) == name.count else { return .lost }
        guard Patience(child, work: Self.patience, slowness: 40).waitUntilReadable(socket) else {
            return .late
        }
        let reply = [UInt8](unsafeUninitializedCapacity: Int(APUS_DEMANGLED_MAX) + 1) { buffer, count in
            count = max(recv(socket, buffer.baseAddress, buffer.count, 0), 0)
        }
        return reply.isEmpty ? .lost : .reply(reply)
    }

    private func stop() {
        guard socket >= 0 else { return }
        close(socket)
        socket = -1
        kill(child, SIGKILL)
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
    }
}
