// SPDX-License-Identifier: Apache-2.0
internal import CReading
internal import Glibc
internal import Symbolization

/// What messages are about. Each is a length of four bytes, this, and what belongs to it.
enum MessageKind: UInt8 {
    // To the reader.
    case settings, facts, introduce, names, table, forget, relatedFile, demangle
    // From the reader.
    case ready, factsFound, named, tableMade, needsFile, demangled
}

struct Message {
    let kind: MessageKind
    let bytes: [UInt8]
    let files: [OpenFile]
}

/// One end of the socket between the tracer and its reader.
final class MessageChannel {
    enum Failure: Error {
        /// The other end is gone, or makes no sense.
        case lost
        /// It has not answered in time.
        case late
    }

    /// A table of the largest executables takes some tens of megabytes.
    private static let mostBytes = 1 << 28

    private let socket: Int32

    init(_ socket: Int32) { self.socket = socket }

    deinit { close(socket) }

    /// Has sending fail, too, when the other end takes nothing for so long.
    func limitSending(seconds: Int) {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    func send(_ kind: MessageKind, _ content: MessageWriter = MessageWriter(), files: [Int32] = [])
        throws(Failure)
    {
        var message = MessageWriter()
        message.add(UInt32(content.bytes.count + 1))
        message.add(kind.rawValue)
        let bytes = message.bytes + content.bytes
        var done = 0
        while done < bytes.count {
            let passed = done == 0 ? files : []
            let sent = bytes.withUnsafeBytes { buffer in
                apus_send(
                    socket, buffer.baseAddress.map { $0 + done }, buffer.count - done, passed,
                    Int32(passed.count))
            }
            guard sent > 0 else { throw .lost }
            done += sent
        }
    }

    /// - Parameter patience: nil to wait for as long as it takes.
    func receive(_ patience: Patience? = nil) throws(Failure) -> Message {
        var files: [OpenFile] = []
        var head = MessageReader(try receive(5, patience, &files))
        guard let length = try? head.number(UInt32.self), length >= 1, Int(length) <= Self.mostBytes,
            let kind = (try? head.number(UInt8.self)).flatMap(MessageKind.init)
        else { throw .lost }
        return Message(kind: kind, bytes: try receive(Int(length) - 1, patience, &files), files: files)
    }

    private func receive(
        _ count: Int, _ patience: Patience?, _ files: inout [OpenFile]
    ) throws(Failure) -> [UInt8] {
        var failure: Failure?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            var done = 0
            while done < count, failure == nil {
                if let patience, !patience.waitUntilReadable(socket) {
                    failure = .late
                    break
                }
                let received = receivePart(
                    UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[done...]),
                    &files)
                if received > 0 { done += received } else { failure = .lost }
            }
            filled = done
        }
        if let failure { throw failure }
        return bytes
    }

    private func receivePart(_ buffer: UnsafeMutableRawBufferPointer, _ files: inout [OpenFile]) -> Int {
        var descriptors = [Int32](repeating: -1, count: Int(APUS_READER_DESCRIPTORS))
        var passed: Int32 = 0
        let received = apus_receive(socket, buffer.baseAddress, buffer.count, &descriptors, &passed)
        for descriptor in descriptors.prefix(Int(passed)) {
            if let file = OpenFile(adopting: descriptor) { files.append(file) }
        }
        return received
    }
}
