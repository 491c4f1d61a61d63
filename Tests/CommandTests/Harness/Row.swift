// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A row of `opensnoop --json`. Decoding fails if a field is missing or has another type.
struct Row: Decodable {
    let timeNs: Int64
    let uid: UInt32
    let ppid: Int32
    let pid: Int32
    let tid: Int32
    let comm: String
    let fd: Int
    let errno: Int
    let error: String?
    let flags: UInt64
    let flagNames: [String]
    let mode: UInt32?
    let call: String
    let compat: Bool
    let dirfd: Int32
    let cgroupId: UInt64
    let cgroup: String?
    let container: String?
    let path: String
    let pathHex: String?
    let incomplete: [String]?

    /// The path byte for byte, also where it is not UTF-8. Strings of Swift compare by meaning, not by bytes.
    var pathBytes: [UInt8] { pathHex.map(bytes(hexadecimal:)) ?? Array(path.utf8) }

    /// What the caller got: a descriptor, or minus an errno.
    var result: Int { errno != 0 ? -errno : fd }

    /// What is told of a result, in one text that compares well.
    var outcome: String { "\(fd) \(errno) \(error ?? "-")" }
}

/// The same for a result that a program was given.
func outcome(_ result: Int) -> String {
    guard result < 0 else { return "\(result) 0 -" }
    return "-1 \(-result) \(errnoNames[-result] ?? "?")"
}

/// Only those that tests provoke, from errno-base.h and errno.h of asm-generic.
private let errnoNames = [
    1: "EPERM", 2: "ENOENT", 9: "EBADF", 13: "EACCES", 14: "EFAULT", 17: "EEXIST", 20: "ENOTDIR",
    21: "EISDIR",
    22: "EINVAL", 36: "ENAMETOOLONG", 40: "ELOOP",
]

func bytes(hexadecimal text: String) -> [UInt8] {
    let digits = Array(text.utf8)
    return stride(from: 0, to: digits.count - 1, by: 2).map { index in
        UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) ?? 0
    }
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let text = bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    return text.isEmpty ? "-" : text
}

/// What a run of the executable left behind.
struct Outcome {
    let end: End
    let output: Data
    let errors: String

    /// Standard error, line by line.
    var complaints: [String] { errors.split(separator: "\n").map(String.init) }

    var lines: [Data] { output.split(separator: UInt8(ascii: "\n")).map { Data($0) } }

    /// The rows in which a text occurs: looked for before anything is decoded, for the machine may be busy.
    func rows(containing text: String) throws -> [Row] {
        let needle = Data(text.utf8)
        return try lines.filter { $0.first == UInt8(ascii: "{") && $0.range(of: needle) != nil }
            .map(Self.decode)
    }

    func rows(of process: Int32) throws -> [Row] { try rows(containing: "\"pid\":\(process),") }

    /// The one row with this path; fails if there is none or more.
    func row(_ path: String) throws -> Row {
        let rows = try rows(containing: path.split(separator: "/").last.map(String.init) ?? path)
            .filter { $0.pathBytes == Array(path.utf8) }
        guard rows.count == 1 else { throw HarnessError("\(rows.count) rows for \(path)") }
        return rows[0]
    }

    /// How many rows have this path and nothing behind it. For outputs too large to decode.
    func count(path: String) -> Int {
        let ending = Array("\"path\":\"\(path)\"}".utf8)
        return output.withUnsafeBytes { all in
            guard let base = all.baseAddress else { return 0 }
            var count = 0
            var start = 0
            while start < all.count, let end = memchr(base + start, 10, all.count - start) {
                let length = UnsafeRawPointer(end) - base - start
                if length >= ending.count, memcmp(end - ending.count, ending, ending.count) == 0 {
                    count += 1
                }
                start += length + 1
            }
            return count
        }
    }

    private static func decode(_ line: Data) throws -> Row {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try decoder.decode(Row.self, from: line)
        } catch {
            throw HarnessError("cannot decode \(String(decoding: line, as: UTF8.self)): \(error)")
        }
    }
}
