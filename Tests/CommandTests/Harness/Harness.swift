// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

/// All tests that run the executable. One at a time: each looks at the whole machine, and some keep it busy.
@Suite(.require(Harness.tracing), .serialized)
struct EndToEnd {}

/// What went wrong in the test itself.
struct HarnessError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Where things are, and what this machine can do.
enum Harness {
    /// How long anything may take: far longer than it does on a busy machine.
    static let patience: TimeInterval = 60

    static let packageRoot: URL = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The executable: `APUS`, or what a debug build left in the package.
    static let apus: String =
        ProcessInfo.processInfo.environment["APUS"]
        ?? packageRoot.appendingPathComponent(".build/debug/apus").path

    /// Whether the executable was built without optimization: ten times slower, and nothing to measure.
    static let isDebugBuild: Bool = URL(fileURLWithPath: apus).resolvingSymlinksInPath().path.contains(
        "/debug/")

    static let tracing = Requirement("tracing needs CAP_BPF and CAP_PERFMON", isMet: canTrace)

    /// Whether somebody has mounted it is a matter of the machine.
    static let cgroup2 = Requirement(
        "cgroup v2 is not mounted", isExpected: false, isMet: cgroupMount != nil)

    /// Go's own reader of profiles is the one that most people have: `go tool pprof`.
    static let goPprof: Requirement = {
        let found = try? Finished(["go", "tool", "pprof", "-h"], patience: 60)
        return Requirement(
            "go tool pprof is not installed",
            isMet: found.map { $0.end == .exited(0) || $0.errors.contains("Usage") } == true)
    }()

    /// CAP_SYS_ADMIN, or CAP_BPF and CAP_PERFMON (linux/capability.h).
    static let canTrace: Bool = {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") } ?? ""
        let effective = line.split(separator: "\t").last.flatMap { UInt64($0, radix: 16) } ?? 0
        let admin: UInt64 = 1 << 21
        let both: UInt64 = 1 << 38 | 1 << 39
        return effective & admin != 0 || effective & both == both
    }()

    /// Where the cgroup v2 hierarchy is mounted.
    static let cgroupMount: String? = {
        let mounts = (try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)) ?? ""
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            if fields.count > 2, fields[2] == "cgroup2" { return String(fields[1]) }
        }
        return nil
    }()

    /// A number that no process of this machine can have.
    static let impossibleProcess: String = {
        let text = (try? String(contentsOfFile: "/proc/sys/kernel/pid_max", encoding: .utf8)) ?? ""
        return String((Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 4_194_304) + 1)
    }()

    /// Tests run one at a time, so nothing races for it.
    nonisolated(unsafe) private static var compiled: [String: String] = [:]
    private static let compiledFolder: Result<TemporaryFolder, any Error> = {
        // A static variable outlives the tests: its deinit never runs.
        atexit { _ = try? Finished(["rm", "-rf", Harness.compiledFolder.get().path]) }
        return Result { try TemporaryFolder() }
    }()

    /// The source of a program that tests trace: in Tests/Programs, or in the folder of the command that it is for.
    static func source(_ file: String) throws -> String {
        let tests = packageRoot.appendingPathComponent("Tests").path
        for folder in ["Programs", "Commands"] {
            let files = try FileManager.default.subpathsOfDirectory(atPath: tests + "/" + folder)
            if let found = files.first(where: { $0 == file || $0.hasSuffix("/programs/" + file) }) {
                return "\(tests)/\(folder)/\(found)"
            }
        }
        throw HarnessError("there is no program \(file)")
    }

    /// A program that tests trace: built by make, or compiled now.
    static func program(_ name: String, options: [String] = ["-static"]) throws -> String {
        let key = ([name] + options).joined(separator: " ")
        if let known = compiled[key] { return known }
        let source = try source("\(name).c")
        let folder =
            ProcessInfo.processInfo.environment["APUS_PROGRAMS"]
            ?? packageRoot.appendingPathComponent("build/programs").path
        if options == ["-static"], isNewer("\(folder)/\(name)", than: source) {
            compiled[key] = "\(folder)/\(name)"
            return "\(folder)/\(name)"
        }
        let target = try compiledFolder.get().path("\(name)\(compiled.count)")
        let command = ["cc", "-O2", "-pthread"] + options + ["-o", target, source]
        let result = try Finished(command)
        guard result.end == .exited(0) else {
            throw HarnessError("\(command.joined(separator: " ")): \(result.errors)")
        }
        compiled[key] = target
        return target
    }

    /// A part of a script of a command that is traced: waits until a row has matched, in the file that takes the tracer's
    /// output, and the command's. It sleeps in no system call.
    static func untilOutputHas(_ pattern: String) -> String {
        "until grep -q '\(pattern)' /proc/self/fd/1; do :; done; "
    }

    private static func isNewer(_ file: String, than other: String) -> Bool {
        var one = stat()
        var two = stat()
        guard stat(file, &one) == 0 else { return false }
        return stat(other, &two) != 0 || one.st_mtim.tv_sec >= two.st_mtim.tv_sec
    }
}

/// Looks again and again until something holds; fails after the deadline.
///
/// - Parameter children: those without which it will never hold. If one of them has ended, this fails at once, and says how.
func eventually(_ what: String, by children: [Child] = [], _ holds: () throws -> Bool) throws {
    let deadline = Date() + Harness.patience
    while true {
        // Before the look: what a program has said last counts.
        let ended = children.first { $0.end() != nil }
        if try holds() { return }
        if let ended { throw HarnessError("waited for \(what), but \(ended.fate)") }
        guard Date() < deadline else { throw HarnessError("waited in vain for \(what)") }
        usleep(2_000)
    }
}

/// A folder of its own below /tmp that everybody may enter; gone, whatever is in it, with this object.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/apus-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw HarnessError("mkdtemp: \(errno)") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        chmod(path, 0o755)
    }

    // FileManager gives up on paths that are too long for one call.
    deinit { _ = try? Finished(["rm", "-rf", path]) }

    func path(_ name: String) -> String { path + "/" + name }

    /// A new, empty file.
    @discardableResult
    func file(_ name: String, mode: mode_t = 0o644) throws -> String {
        let descriptor = open(path(name), O_CREAT | O_WRONLY | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw HarnessError("create \(path(name)): \(errno)") }
        close(descriptor)
        chmod(path(name), mode)
        return path(name)
    }

    @discardableResult
    func folder(_ name: String) throws -> String {
        guard mkdir(path(name), 0o755) == 0 else { throw HarnessError("mkdir \(path(name)): \(errno)") }
        return path(name)
    }
}
