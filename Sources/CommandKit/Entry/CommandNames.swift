// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser
internal import Reporting

/// What the first argument of `apus` can be.
enum CommandNames {
    static var all: [String] {
        let configuration = Apus.configuration
        let commands = configuration.subcommands + Toolkit.groups.flatMap { $0.subcommands }
        return commands.compactMap { $0.configuration.commandName } + ["help"]
    }

    /// Why there is no command of this name, and which may have been meant; nil if there is one, or an option stands in
    /// its place.
    static func complaint(_ name: String?) -> String? {
        guard let name, !name.hasPrefix("-"), !all.contains(name) else { return nil }
        if name.utf8.count > 2, let longer = all.first(where: { $0.hasPrefix(name) }) {
            return "no command '\(escaped(name))': did you mean \(longer)?"
        }
        let near = all.map { (name: $0, distance: distance(name, $0)) }.min { $0.distance < $1.distance }
        guard let near, near.distance <= max(1, min(name.utf8.count, near.name.utf8.count) / 3) else {
            return "no command '\(escaped(name))': apus --help lists them"
        }
        return "no command '\(escaped(name))': did you mean \(near.name)?"
    }

    /// How many letters have to be inserted, removed, replaced or swapped with their neighbours to make one word of the
    /// other (optimal string alignment); of words of more than 64 letters, all of the longer.
    private static func distance(_ first: String, _ second: String) -> Int {
        let first = Array(first.utf8)
        let second = Array(second.utf8)
        guard first.count <= 64, second.count <= 64 else { return max(first.count, second.count) }
        var before: [Int] = []
        var last = Array(0...second.count)
        for (row, letter) in first.enumerated() {
            var next = [row + 1]
            for (column, other) in second.enumerated() {
                var least = min(
                    last[column] + (letter == other ? 0 : 1), last[column + 1] + 1, next[column] + 1)
                if row > 0, column > 0, letter == second[column - 1], other == first[row - 1] {
                    least = min(least, before[column - 1] + 1)
                }
                next.append(least)
            }
            before = last
            last = next
        }
        return last[second.count]
    }
}
