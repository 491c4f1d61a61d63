// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import CBPFPrograms
import Foundation
import Reporting
import Testing

@testable import Commands

/// A record as opensnoop's programs send it.
struct OpenRecord {
    var head = open_event()
    var path: [UInt8]
    var base: [UInt8] = []

    /// A successful `openat(AT_FDCWD, path, O_RDONLY)` of process 4242, thread 4243.
    init(path: [UInt8]) {
        self.path = path
        head.process = 4242
        head.thread = 4243
        head.parent = 17
        head.user = 1000
        head.result = 3
        head.directory = -100
        setCall(OPEN_CALL_OPENAT)
        setComm(Array("cat".utf8))
    }

    init(_ path: String) { self.init(path: Array(path.utf8)) }

    /// With the names of the directory, leaf first, that a relative path starts from.
    init(_ path: String, base: [String], notes: [open_note] = []) {
        self.init(path)
        self.base = base.flatMap { Array($0.utf8) + [0] }
        note(OPEN_NOTE_BASE)
        for one in notes { note(one) }
    }

    mutating func setCall(_ call: open_call) {
        let shift = UInt16(OPEN_CALL_SHIFT)
        head.notes = head.notes & (1 << shift - 1) | UInt16(call.rawValue) << shift
    }

    mutating func note(_ note: open_note) { head.notes |= UInt16(note.rawValue) }

    mutating func setComm(_ name: [UInt8]) {
        withUnsafeMutableBytes(of: &head.comm) { bytes in
            for index in bytes.indices { bytes[index] = index < name.count ? name[index] : 0 }
        }
    }

    /// The head and the text, with their true lengths.
    var bytes: [UInt8] {
        var head = head
        head.path_bytes = UInt16(path.count)
        head.base_bytes = UInt16(base.count)
        return withUnsafeBytes(of: head) { Array($0) } + path + base
    }
}

/// What `body` makes of an event, nil if the bytes are none.
func decode<Result>(_ bytes: [UInt8], _ body: (borrowing OpenEvent) -> Result) -> Result? {
    bytes.withUnsafeBytes { buffer in
        guard let event = OpenEvent(buffer.bytes) else { return nil }
        return body(event)
    }
}

/// opensnoop with these options, parsed as for `apus`: `parse` would validate what is validated already.
func opensnoop(_ options: [String]) throws -> Opensnoop {
    try #require(try Opensnoop.parseAsRoot(options) as? Opensnoop)
}

/// What opensnoop with these options prints of records: its heading, then its rows.
func printed(_ records: [OpenRecord], _ options: [String]) throws -> (heading: String, rows: String) {
    let command = try opensnoop(options)
    let printer = OpenPrinter(command.display, json: command.common.json, path: command.selection.path)
    let heading = try written { try printer.heading($0) }
    let rows = try written { output in
        for record in records {
            try record.bytes.withUnsafeBytes { try printer.print($0.bytes, to: output) }
        }
    }
    return (heading, rows)
}

private func written(_ body: (Output) throws -> Void) throws -> String {
    var template = Array((NSTemporaryDirectory() + "/apus-rows-XXXXXX").utf8CString)
    let file = mkstemp(&template)
    try #require(file >= 0)
    unlink(template)
    let handle = FileHandle(fileDescriptor: file, closeOnDealloc: true)
    let output = Output(descriptor: file)
    try body(output)
    try output.flush()
    try handle.seek(toOffset: 0)
    return String(decoding: try handle.readToEnd() ?? Data(), as: UTF8.self)
}

/// A process or thread ID as the tables of this machine show it.
func padded(_ id: String) -> String { id.padding(toLength: taskIDWidth, withPad: " ", startingAt: 0) }
