// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport

/// Compilers and what else the tests of the DWARF reader run.
enum DWARFTools {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// A directory that is removed with the object.
    final class Directory {
        let path: String

        init() {
            path =
                URL(fileURLWithPath: NSTemporaryDirectory())
                .appendingPathComponent("apus-dwarf-" + UUID().uuidString).path
            try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func file(_ name: String) -> String { path + "/" + name }
    }

    /// Where the programs to compile are.
    static let sources = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Programs").path

    /// The path of a program: of the Swift toolchain if it has one of that name, else the system's.
    static func path(_ name: String) -> String? {
        toolchain.flatMap { executable($0 + "/" + name) } ?? systemPath(name)
    }

    private static let toolchain = systemPath("swift").map {
        URL(fileURLWithPath: $0).resolvingSymlinksInPath().deletingLastPathComponent().path
    }

    private static func systemPath(_ name: String) -> String? {
        let paths = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        return paths.split(separator: ":").lazy.compactMap { executable($0 + "/" + name) }.first
    }

    private static func executable(_ path: String) -> String? {
        FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }

    /// Runs a program and gives what it prints; throws if it fails.
    static func run(_ words: [String], input: String = "", in directory: Directory) throws -> String {
        guard let program = path(words[0]) else { throw Failure(description: "no \(words[0]) here") }
        let name = directory.file(UUID().uuidString)
        defer { for end in [".in", ".out"] { try? FileManager.default.removeItem(atPath: name + end) } }
        try Data(input.utf8).write(to: URL(fileURLWithPath: name + ".in"))
        try Data().write(to: URL(fileURLWithPath: name + ".out"))
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = Array(words.dropFirst())
        process.currentDirectoryURL = URL(fileURLWithPath: directory.path)
        process.standardInput = FileHandle(forReadingAtPath: name + ".in")
        process.standardOutput = FileHandle(forWritingAtPath: name + ".out")
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0, process.terminationReason == .exit else {
            throw Failure(description: "\(words.joined(separator: " ")) failed")
        }
        return String(decoding: try Data(contentsOf: URL(fileURLWithPath: name + ".out")), as: UTF8.self)
    }

    /// For how long what has no natural end runs.
    static var seconds: Double {
        ProcessInfo.processInfo.environment["APUS_FUZZ_SECONDS"].flatMap(Double.init) ?? 2
    }

    /// Whether to run at length, which is for optimized builds.
    static var isThorough: Bool { seconds >= 20 }

    static func now() -> Double { ProcessInfo.processInfo.systemUptime }
}

extension Requirement {
    /// A program that `DWARFTools.run` finds.
    static func dwarf(_ name: String, isExpected: Bool = true) -> Requirement {
        Requirement(
            "\(name) is not installed", isExpected: isExpected, isMet: DWARFTools.path(name) != nil)
    }
}
