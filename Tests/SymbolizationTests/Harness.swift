// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Symbolization

/// Whether these tests run as root, which some need.
let isRoot = getuid() == 0

/// Whether a program is installed.
func isInstalled(_ name: String) -> Bool {
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains {
        access("\($0)/\(name)", X_OK) == 0
    }
}

/// Runs a command found in PATH, and returns what it prints.
@discardableResult
func output(_ command: String..., input: String? = nil) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    var file: String?
    if let input {
        let path = NSTemporaryDirectory() + "apus-input-\(UUID().uuidString)"
        try input.write(toFile: path, atomically: false, encoding: .utf8)
        process.standardInput = FileHandle(forReadingAtPath: path)
        file = path
    }
    defer { if let file { unlink(file) } }
    try process.run()
    let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0, "\(command.joined(separator: " "))")
    return String(decoding: data, as: UTF8.self)
}

/// A directory that is removed with the last reference.
final class TemporaryDirectory {
    let path: String

    init() throws {
        let url = URL(fileURLWithPath: NSTemporaryDirectory())
            .appendingPathComponent("apus-sym-\(UUID().uuidString)").resolvingSymlinksInPath()
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The path of a file in it, which need not exist; its directory is made.
    func file(_ name: String) throws -> String {
        let whole = path + "/" + name
        try FileManager.default.createDirectory(
            atPath: (whole as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        return whole
    }
}

/// Tests/Programs/sym_target.c, running, until the last reference is gone.
final class Target {
    private let process = Process()
    private let input = Pipe()
    private let result = Pipe()
    /// Where its functions are, and "pid".
    private(set) var places: [String: UInt64] = [:]

    var pid: Int32 { process.processIdentifier }

    static let source = #filePath.replacingOccurrences(
        of: "SymbolizationTests/Harness.swift", with: "Programs/sym_target.c")

    /// Compiles it.
    static func build(_ path: String, _ flags: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["cc", "-O1", "-g", "-Wl,--build-id"] + flags + [source, "-o", path]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "cc \(flags)")
    }

    /// Runs a command line that becomes the program.
    init(_ command: [String], environment: [String: String] = [:]) throws {
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        process.standardInput = input
        process.standardOutput = result
        try process.run()
        for line in read(until: "pid ").split(separator: "\n") {
            let fields = line.split(separator: " ")
            if fields.count == 2 { places[String(fields[0])] = UInt64(fields[1]) }
        }
        try #require(places["main"] != nil, "\(command)")
    }

    deinit { end() }

    /// Sends it a byte, and returns the number in the line "`name` number" that it prints then.
    func ask(_ name: String) throws -> UInt64? {
        try input.fileHandleForWriting.write(contentsOf: Data([10]))
        let line = read(until: name)
        return line.hasPrefix(name + " ") ? UInt64(line.dropFirst(name.count + 1).dropLast()) : nil
    }

    /// What it prints, to the end of the line that has `mark` in it.
    private func read(until mark: String) -> String {
        var text = ""
        while !text.contains(mark) || text.last != "\n" {
            // `read(upToCount:)` would wait for as much.
            let more = result.fileHandleForReading.availableData
            guard !more.isEmpty else { break }
            text += String(decoding: more, as: UTF8.self)
        }
        return text
    }

    /// Ends it and waits for that.
    func end() {
        try? input.fileHandleForWriting.close()
        if process.isRunning { kill(pid, SIGKILL) }
        process.waitUntilExit()
    }

    /// The frame 1 byte behind the start of one of its functions.
    func frame(_ function: String, _ symbolizer: Symbolizer) throws -> Frame {
        let place = try #require(places[function])
        return symbolizer.frames(user: place + 1, process: pid, isReturnAddress: false)[0]
    }
}

/// The name that the index of a file gives to an address.
func names(in path: String, at addresses: [UInt64]) throws -> [String?] {
    let index = try index(of: path)
    return addresses.map { address in
        index.find(address).flatMap { index.name(of: $0) }.map { String(decoding: $0, as: UTF8.self) }
    }
}

/// The index of a file's own symbols.
func index(of path: String) throws -> SymbolIndex {
    let file = try #require(OpenFile(path: path))
    let elf = try #require(ELFFile(.file(file)))
    var builder = SymbolIndexBuilder(limit: 1 << 22, code: elf.codeRanges())
    builder.add(elf)
    return builder.finishELF()
}
