// SPDX-License-Identifier: Apache-2.0
internal import CSupport
internal import Glibc
internal import Reporting

/// A command that we run to trace it: forked at once, so that its ID is known, and let go once probes are attached.
final class LaunchedCommand {
    let process: Int32
    private let name: String
    private var gate: Int32
    private var reaped = false

    /// How long a command that was told to end gets before it is killed.
    private static let graceMilliseconds = 2000

    init(_ words: [String]) throws {
        name = words[0]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        gate = -1
        process = apus_child_prepare(&arguments, &gate)
        guard process > 0 else {
            throw CommandFailure(
                "cannot start '\(escaped(name))': \(String(cString: apus_errno_text(errno)))")
        }
    }

    deinit { end() }

    /// Lets it run.
    ///
    /// - Parameter beforeFirstInstruction: called when the program is in its memory and has not begun; or when it has
    ///   just begun, where the kernel does not let us stop it. Called again when its libraries are there, if it has any.
    func release(beforeFirstInstruction: (() -> Void)? = nil) throws {
        let stops = beforeFirstInstruction != nil && apus_child_stop_at_exec(process) == 0
        let code = apus_child_release(gate)
        gate = -1
        guard code == 0 else {
            throw CommandFailure("cannot run '\(escaped(name))': \(String(cString: apus_errno_text(code)))")
        }
        guard let beforeFirstInstruction else { return }
        let hasStopped = stops && apus_child_await_stop(process) == 0
        beforeFirstInstruction()
        guard hasStopped else { return }
        if apus_child_run_to_entry(process) == 0 { beforeFirstInstruction() }
        apus_child_continue(process)
    }

    /// Ends the command if it still runs, and reaps it.
    func end() {
        guard !reaped else { return }
        reaped = true
        if gate >= 0 { close(gate) }
        var status: Int32 = 0
        if apus_reap(process, &status) == process { return }
        kill(process, SIGTERM)
        for _ in 0..<Self.graceMilliseconds / 10 {
            usleep(10_000)
            if apus_reap(process, &status) != 0 { return }
        }
        kill(process, SIGKILL)
        waitpid(process, &status, 0)
    }
}
