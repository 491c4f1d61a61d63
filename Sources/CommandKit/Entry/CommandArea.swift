// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser

/// What the commands of a folder have in common.
protocol CommandArea {
    /// What they answer, as the heading above them in the help; nil for those that stand before all headings.
    static var question: String? { get }
    /// Where the help shows the area, in ascending order; those without a place of their own come last, by name.
    static var place: Int { get }
}

extension CommandArea {
    static var place: Int { .max }
}

/// A command that `apus` has.
package protocol ListedCommand: ParsableCommand {
    /// Where the help shows it among those of its area, in ascending order; those without a place of their own come
    /// last, by name.
    static var place: Int { get }
}

extension ListedCommand {
    package static var place: Int { .max }
}
