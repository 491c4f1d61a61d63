// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser
internal import CBPFPrograms
internal import Processes
internal import Reporting
internal import Tracing

/// Process or thread IDs, as given: "12" or "12,34".
package struct IDList: Equatable {
    package let ids: [Int32]

    package init(ids: [Int32]) { self.ids = ids }

    /// What one option was given, each time that it was: -p 1 -p 2 is -p 1,2. Nil if it was not.
    init?(_ lists: [IDList]) {
        guard !lists.isEmpty else { return nil }
        ids = lists.flatMap(\.ids)
    }

    static func requireFew(_ lists: [IDList]) throws {
        guard lists.reduce(0, { $0 + $1.ids.count }) <= idLimit else {
            throw ValidationError("at most \(idLimit) IDs can be given.")
        }
    }
}

/// How many IDs one option takes: far more than anybody types, and a bound for the maps.
private let idLimit = 4096

func parseIDs(_ text: String) throws -> IDList {
    let ids = try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
        guard let id = Int32(part), id > 0 else {
            throw ValidationError(
                "invalid process or thread ID '\(escaped(String(part)))': give a positive number.")
        }
        return id
    }
    let list = IDList(ids: ids)
    try IDList.requireFew([list])
    return list
}

/// Seconds, with a fraction if wanted; at most what a timer takes without overflow.
func parseSeconds(_ text: String) throws -> Double {
    guard let seconds = Double(text), seconds.isFinite, seconds >= 0.001, seconds <= 1e9 else {
        throw ValidationError(
            "invalid duration '\(escaped(text))': expected a positive number of seconds, such as 10 or 0.5.")
    }
    return seconds
}

/// The number of a CPU, of this machine or another one.
func parseCPU(_ text: String) throws -> Int32 {
    guard let cpu = Int32(text), cpu >= 0 else {
        throw ValidationError("invalid CPU '\(escaped(text))': expected its number, from 0.")
    }
    return cpu
}

/// Refuses a CPU that there is not and cannot be; one that is offline may come.
func requireCPU(_ cpu: Int32?) throws {
    guard let cpu else { return }
    let count = possibleCPUs()
    guard cpu >= count else { return }
    throw CommandFailure("there is no CPU \(cpu) here: give 0\(count > 1 ? " to \(count - 1)" : "")")
}

/// Microseconds, up to what is safe to count in nanoseconds.
func parseMicroseconds(_ text: String) throws -> UInt64 {
    guard let value = UInt64(text), value <= 1 << 53 else {
        throw ValidationError("invalid delay (in us) '\(escaped(text))': expected a number of microseconds.")
    }
    return value
}

/// "65536", "64K", "16M", "1G", with or without a B or iB behind.
func parseByteCount(_ text: String) throws -> UInt64 {
    let digits = text.prefix { $0.isNumber && $0.isASCII }
    var unit = text.dropFirst(digits.count).uppercased()
    if unit.hasSuffix("IB") { unit.removeLast(2) } else if unit.hasSuffix("B") { unit.removeLast() }
    let shifts: [String: UInt64] = ["": 0, "K": 10, "M": 20, "G": 30]
    guard let value = UInt64(digits), value > 0, let shift = shifts[unit], value <= UInt64.max >> shift else {
        throw ValidationError(
            "invalid size '\(escaped(text))': expected bytes, or a number with K, M or G, such as 64M.")
    }
    return value << shift
}

func parseComm(_ text: String) throws -> String {
    guard !text.isEmpty, text.utf8.count < Int(TASK_COMM_BYTES) else {
        throw ValidationError(
            "'\(escaped(text))' cannot be in a task's name: those have 1 to \(TASK_COMM_BYTES - 1) bytes.")
    }
    return text
}

func parseUser(_ text: String) throws -> UInt32 {
    if let number = UInt32(text) { return number }
    // Not getpwnam: in a static executable it would load whatever the target machine's NSS is made of.
    for line in (readFile("/etc/passwd") ?? []).split(separator: UInt8(ascii: "\n")) {
        let fields = line.split(separator: UInt8(ascii: ":"), maxSplits: 3, omittingEmptySubsequences: false)
        if fields.count > 2, fields[0].elementsEqual(text.utf8),
            let number = UInt32(String(decoding: fields[2], as: UTF8.self))
        {
            return number
        }
    }
    throw ValidationError(
        "there is no user '\(escaped(text))' in /etc/passwd: give a name from there or a number.")
}
