// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// The names of programs, maps and variables that the Swift sources use, read from the sources themselves, so that
/// a new command is covered without an entry anywhere.
struct SourceNames {
    struct Use: Hashable, Sendable, CustomStringConvertible {
        let file: String
        let name: String
        /// The objects that the file opens.
        let objects: [String]
        /// Whether every object passes through this file.
        var isShared: Bool { ["Session.swift", "TargetFilter.swift"].contains(file) }
        var description: String { "\(name) in \(file)" }
    }

    /// Those below `Sources` whose code names what is in objects.
    private static let folders = ["Commands", "CommandKit", "Capture", "StackWalking", "Tracing"]

    private let files: [(name: String, text: String)]

    init() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        files = try Self.folders.flatMap { folder in
            let path = root.appendingPathComponent("Sources/\(folder)").path
            let names = try FileManager.default.subpathsOfDirectory(atPath: path).sorted()
                .filter { $0.hasSuffix(".swift") }
            try #require(!names.isEmpty, "no source is found in \(path)")
            return try names.map { name in
                let text = try String(contentsOfFile: path + "/" + name, encoding: .utf8)
                return (String(name.split(separator: "/").last ?? ""), text)
            }
        }
    }

    /// Objects that a command opens.
    var opened: Set<String> { Set(files.flatMap { Self.opened(in: $0.text) }) }

    private static func opened(in text: String) -> [String] {
        text.matches(of: /session\.(?:open|loadStacks)\(\s*"([^"]+)"/).map { String($0.1) }
    }

    private func uses(_ names: (String) -> [String]) -> Set<Use> {
        Set(
            files.flatMap { file in
                names(file.text).map {
                    Use(file: file.name, name: $0, objects: Self.opened(in: file.text))
                }
            })
    }

    /// Programs that `disable` names: in the call, or in a list of names that it goes through.
    var programs: Set<Use> {
        uses { text in
            let calls = text.matches(of: /\.disable\(([^()]*)\)/).map { String($0.1) }
            let lists = text.matches(of: /\[\s*(?:"[a-z0-9_]+",?\s*)+\]/).map { String($0.0) }
            return (calls + (calls.contains { !$0.contains("\"") } ? lists : [])).flatMap { place in
                place.matches(of: /"([^"]+)"/).map { String($0.1) }
            }
        }
    }

    var maps: Set<Use> {
        uses { text in
            text.matches(of: /\b(?:object|loaded)\.(?:resize|map)\(\s*"([^"]+)"/).map { String($0.1) }
                + text.matches(of: /ofMap:\s*"([^"]+)"/).map { String($0.1) }
        }
    }

    var variables: Set<Use> {
        uses { text in
            text.matches(of: /\.(?:setConstant|sharedVariable)\(\s*"([^"]+)"/).map { String($0.1) }
        }
    }

    /// Types that records are decoded as: their names are those of C.
    var decoded: Set<Use> {
        uses { text in text.matches(of: /\bas: ([a-z]+_[a-z_]+)\.self/).map { String($0.1) } }
    }
}
