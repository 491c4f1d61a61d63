// SPDX-License-Identifier: Apache-2.0

/// A message that says nothing we understand. Whoever sent it is not to be talked to any more.
struct MalformedMessage: Error {}

/// Puts together the bytes of a message: numbers in the machine's order, texts and lists behind their counts.
struct MessageWriter {
    private(set) var bytes: [UInt8] = []

    mutating func add<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value) {
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }

    mutating func add(_ value: Bool) { bytes.append(value ? 1 : 0) }

    mutating func add(_ data: [UInt8]) {
        add(UInt32(clamping: data.count))
        bytes.append(contentsOf: data.prefix(Int(UInt32.max)))
    }

    mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { utf8 in
            add(UInt32(clamping: utf8.count))
            bytes.append(contentsOf: utf8)
        }
    }

    /// Elements as they are in memory, behind their count.
    mutating func add<Element: BitwiseCopyable>(raw elements: [Element]) {
        add(UInt32(clamping: elements.count))
        elements.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }
}

/// Takes the bytes of a message apart. Nothing in it is trusted: each read may find that there is no more.
struct MessageReader {
    private let bytes: [UInt8]
    private var place = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    private mutating func take(_ count: Int) throws(MalformedMessage) -> Range<Int> {
        guard count >= 0, count <= bytes.count - place else { throw MalformedMessage() }
        defer { place += count }
        return place..<place + count
    }

    mutating func number<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type = Value.self
    ) throws(MalformedMessage) -> Value {
        let range = try take(MemoryLayout<Value>.size)
        return bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: range.lowerBound, as: Value.self) }
    }

    mutating func flag() throws(MalformedMessage) -> Bool { try number(UInt8.self) != 0 }

    mutating func data() throws(MalformedMessage) -> [UInt8] {
        let count = try number(UInt32.self)
        return Array(bytes[try take(Int(count))])
    }

    mutating func text() throws(MalformedMessage) -> String {
        let count = try number(UInt32.self)
        let range = try take(Int(count))
        return bytes.withUnsafeBytes { String(decoding: $0[range], as: UTF8.self) }
    }

    /// How many elements follow, each of which takes at least `least` bytes.
    mutating func count(least: Int) throws(MalformedMessage) -> Int {
        let count = Int(try number(UInt32.self))
        guard count <= (bytes.count - place) / least else { throw MalformedMessage() }
        return count
    }

    mutating func raw<Element: BitwiseCopyable>(_ type: Element.Type) throws(MalformedMessage) -> [Element] {
        let stride = MemoryLayout<Element>.stride
        let count = try count(least: stride)
        let range = try take(count * stride)
        return [Element](unsafeUninitializedCapacity: count) { buffer, filled in
            bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(buffer).copyBytes(from: $0[range]) }
            filled = count
        }
    }
}
