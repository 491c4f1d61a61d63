// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Glibc
internal import Reporting
internal import Symbolization

/// How stacks are taken, named and written: for every command that shows stacks.
package struct StackOptions: ParsableArguments {
    @Flag(name: [.customShort("U"), .customLong("user-stacks-only")], help: "Stacks of user code only.")
    package var userOnly = false

    @Flag(name: [.customShort("K"), .customLong("kernel-stacks-only")], help: "Stacks of the kernel only.")
    package var kernelOnly = false

    @Flag(
        name: [.customShort("f"), .customLong("folded")],
        help: "Print folded stacks, one line each, as flame graph scripts read them.")
    package var folded = false

    @Flag(
        name: [.customShort("d"), .customLong("delimited")],
        help: "Put a delimiter between kernel and user frames.")
    package var delimited = false

    @OptionGroup package var pictures: PictureOptions

    package init() {}

    package mutating func validate() throws {
        if userOnly && kernelOnly {
            throw ValidationError("user_stacks_only and kernel_stacks_only cannot be used together.")
        }
    }

    var wantsUser: Bool { !kernelOnly }

    /// That only one form was asked for.
    func requireOneForm(json: Bool) throws {
        if folded && json { throw ValidationError("-f and --json exclude each other: give one of them.") }
    }

    /// The stacks to take.
    var sides: UInt32 {
        (kernelOnly ? 0 : STACK_USER.rawValue) | (userOnly ? 0 : STACK_KERNEL.rawValue)
    }
}

/// Files that stacks are written to, and what their frames show.
package struct PictureOptions: ParsableArguments {
    @Option(
        name: .customLong("flamegraph"),
        help: ArgumentHelp(
            "Draw a flame graph into this file: .svg or .html by its ending.", valueName: "file"),
        transform: parsePicture)
    package var flameGraph: String?

    @Option(
        name: .customLong("pprof"),
        help: ArgumentHelp("Write a profile for pprof into this file.", valueName: "file"))
    package var pprof: String?

    /// That the files can be written, which it would be a pity to learn when tracing is over.
    func requireWritable() throws {
        for path in [flameGraph, pprof].compactMap({ $0 }) {
            let folder = path.lastIndex(of: "/").map { path[...$0] } ?? "."
            if access(path, W_OK) == 0 { continue }
            // What is not there can be made where its folder allows it.
            if errno == ENOENT && access(String(folder), W_OK | X_OK) == 0 { continue }
            throw CommandFailure(
                "cannot write '\(escaped(path))': \(errnoName(errno) ?? "error \(errno)")")
        }
    }

    @OptionGroup var walk: UnwindOptions
    @OptionGroup var debugFiles: DebugFileOptions

    @Flag(inversion: .prefixedNo, help: "Show source files and lines, where debug information is there.")
    package var lines = true

    @Flag(inversion: .prefixedNo, help: "Show functions that were inlined as frames of their own.")
    package var inlines = true

    @Flag(inversion: .prefixedNo, help: "Show names of C++, Rust and Swift as in the source.")
    package var demangle = true

    package init() {}
}

/// How user stacks are taken, for every command that takes them.
package struct UnwindOptions: ParsableArguments {
    @Option(
        name: .customLong("unwind"),
        help: ArgumentHelp(
            "How user stacks are walked: by call frame information (dwarf), by frame pointers (fp), or as this "
                + "kernel allows (auto).", valueName: "how"))
    package var unwind = UnwindMode.auto

    @Option(
        name: [.customLong("max-frames"), .customLong("perf-max-stack-depth")], parsing: .unconditional,
        help: ArgumentHelp("Most frames of a user stack (127).", valueName: "count"),
        transform: parseFrames)
    package var maxFrames: UInt32 = UInt32(STACK_FRAMES)

    package init() {}
}

/// Where names come from that are not on this machine, for every command that shows stacks.
package struct DebugFileOptions: ParsableArguments {
    @Flag(
        name: .customLong("debuginfod"),
        help:
            "Ask debuginfod-find (elfutils), once tracing has ended, for debug files that are not installed.")
    package var wantsServer = false

    package init() {}

    /// What to ask; nil if that is not wanted.
    func server(_ session: Session) throws -> DebugFileServer? {
        guard wantsServer else { return nil }
        guard DebugFileServer.isInstalled else {
            throw CommandFailure(
                "--debuginfod needs debuginfod-find, which is not in PATH: install it (the package is debuginfod or "
                    + "elfutils-debuginfod-client), or leave the option out")
        }
        if getenv("DEBUGINFOD_URLS") == nil {
            session.say(
                "DEBUGINFOD_URLS is not set, so debuginfod-find knows no server; with sudo give "
                    + "--preserve-env=DEBUGINFOD_URLS")
        }
        return DebugFileServer { session.say(escaped($0)) }
    }
}

/// How user stacks are walked.
package enum UnwindMode: String, ExpressibleByArgument, CaseIterable {
    case auto, dwarf, fp
}

private func parseFrames(_ text: String) throws -> UInt32 {
    guard let count = UInt32(text), count > 0, count <= UInt32(STACK_FRAMES_MOST) else {
        throw ValidationError(
            "invalid depth of a stack '\(escaped(text))': expected 1 to \(STACK_FRAMES_MOST) frames.")
    }
    return count
}

func parsePicture(_ text: String) throws -> String {
    guard text.hasSuffix(".svg") || text.hasSuffix(".html") else {
        throw ValidationError(
            "invalid name of a picture '\(escaped(text))': expected a name ending in .svg or .html.")
    }
    return text
}
