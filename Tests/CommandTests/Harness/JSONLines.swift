// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Rows of `--json` among the output of a program that was traced.
struct JSONLines {
    let rows: [[String: Any]]
    /// The lines that are no rows.
    let others: [String]

    init(rows: [[String: Any]], others: [String]) {
        self.rows = rows
        self.others = others
    }

    init(_ output: String) throws {
        let lines = output.split(separator: "\n").map(String.init)
        others = lines.filter { !$0.hasPrefix("{") }
        rows = try lines.filter { $0.hasPrefix("{") }.map { line in
            try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)")
        }
    }

    /// Runs the executable, which must succeed and lose nothing.
    static func of(_ words: [String], patience: TimeInterval = 60) throws -> JSONLines {
        let result = try Finished([Harness.apus] + words, patience: patience)
        try #require(result.end == .exited(0), "\(result.errors)")
        #expect(!result.errors.contains("lost"), "\(result.errors)")
        return try JSONLines(result.text)
    }
}

extension [String: Any] {
    /// -1 for what is no number.
    func number(_ key: String) -> Int { (self[key] as? NSNumber)?.intValue ?? -1 }

    func text(_ key: String) -> String { self[key] as? String ?? "" }
}
