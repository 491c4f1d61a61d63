// SPDX-License-Identifier: Apache-2.0
internal import CSupport
internal import Glibc
internal import Processes
internal import Symbolization

/// A launched command from its first instruction to the first one behind its loader: stopped whenever it may have
/// mapped another file, so that nothing of that has run before it is probed.
struct LaunchStops {
    /// A loader makes a few hundred system calls; a program that is one itself makes them for as long as it runs.
    private static let most = 20_000

    private let process: Int32

    init(_ launched: LaunchedCommand, release: () throws -> Void) throws {
        process = launched.process
        isPermitted = apus_start_stops(process) == 0
        firstStop = APUS_STOP_EXECUTED
        try release()
    }

    /// A process that has executed another program, and got SIGSTOP before its first instruction.
    init(stopped process: Int32) {
        self.process = process
        isPermitted = apus_start_stops(process) == 0
        firstStop = APUS_STOP_OTHER
        kill(process, SIGCONT)
    }

    private let firstStop: apus_stop

    /// Whether we may stop it at all.
    let isPermitted: Bool

    /// Runs the command up to there.
    ///
    /// - Parameter look: looks at its files; true if there is something new.
    func run(_ look: () throws -> Bool) throws {
        guard isPermitted else { return }
        defer { apus_end_stops(process) }
        var instruction: UInt = 0
        guard wait(first: true, &instruction) == firstStop else { return }
        let isFound = try look()
        // musl's libc is the loader; a static program has none.
        guard !isFound, let loader = loader() else { return }
        for _ in 0..<Self.most {
            let stop = wait(first: false, &instruction)
            if stop == APUS_STOP_ENDED { return }
            guard stop == APUS_STOP_CALL else { continue }
            _ = try look()
            if !loader.contains(UInt64(instruction)) { return }
        }
    }

    private func wait(first: Bool, _ instruction: inout UInt) -> apus_stop {
        apus_next_stop(process, first ? 1 : 0, &instruction)
    }

    /// The code that is not the program's own, right after exec, or the program's, if it is a loader that is to load
    /// another one.
    private func loader() -> Range<UInt64>? {
        guard let program = OpenFile(path: "/proc/\(process)/exe"),
            let bytes = readFile("/proc/\(process)/maps", limit: 1 << 24)
        else { return nil }
        let files = Mapping.executable(in: bytes).filter { $0.inode != 0 }
        let other = files.first { $0.inode != program.identity.inode }
        let mapping = other ?? (ELFFile(.file(program))?.isLoader == true ? files.first : nil)
        return mapping.map { $0.start..<$0.end }
    }
}
