// SPDX-License-Identifier: Apache-2.0

/// The wire format of protocol buffers, as much of it as profile.proto needs. Default values are left out.
extension ByteWriter {
    func appendVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }

    func appendField(_ number: UInt64, _ value: UInt64) {
        guard value != 0 else { return }
        appendVarint(number << 3)
        appendVarint(value)
    }

    /// A signed number of type int64: negative ones take ten bytes.
    func appendField(_ number: UInt64, signed value: Int64) {
        appendField(number, UInt64(bitPattern: value))
    }

    func appendField(_ number: UInt64, flag: Bool) { appendField(number, flag ? 1 : 0) }

    func appendField(_ number: UInt64, bytes: UnsafeRawBufferPointer) {
        appendVarint(number << 3 | 2)
        appendVarint(UInt64(bytes.count))
        append(bytes)
    }

    /// A repeated number in packed form.
    func appendField(_ number: UInt64, packed values: some Collection<UInt64>) {
        guard !values.isEmpty else { return }
        appendVarint(number << 3 | 2)
        appendVarint(values.reduce(0) { $0 + varintLength($1) })
        for value in values { appendVarint(value) }
    }
}

private func varintLength(_ value: UInt64) -> UInt64 {
    UInt64(max(1, (64 - value.leadingZeroBitCount + 6) / 7))
}
