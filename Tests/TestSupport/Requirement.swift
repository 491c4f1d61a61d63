// SPDX-License-Identifier: Apache-2.0
package import Testing

#if canImport(Glibc)
    internal import Glibc
#endif

/// What a test needs of the machine.
///
/// Where it is missing, the test is reported as skipped, with the reason. With `CI=true` a test fails if it lacks what
/// `scripts/setup --test` and root would give it: there nothing is left out because of a forgotten package.
package struct Requirement: Sendable, CustomStringConvertible {
    /// Why the test cannot run.
    package let description: String
    /// Whether a machine that was set up for these tests has it.
    package let isExpected: Bool
    let isMet: Bool

    package init(_ reason: String, isExpected: Bool = true, isMet: Bool) {
        description = reason
        self.isExpected = isExpected
        self.isMet = isMet
    }

    /// A program in PATH.
    package static func tool(_ name: String, isExpected: Bool = true) -> Requirement {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        return Requirement(
            "\(name) is not installed", isExpected: isExpected,
            isMet: path.split(separator: ":").contains { access("\($0)/\(name)", X_OK) == 0 })
    }

    /// A file that can be read.
    package static func file(_ path: String, isExpected: Bool = true) -> Requirement {
        Requirement("\(path) is missing", isExpected: isExpected, isMet: access(path, R_OK) == 0)
    }

    package static let root = Requirement("root is needed", isMet: getuid() == 0)

    /// Whether the test can run.
    /// - Throws: `MissingRequirement` where the test must not be left out.
    func decide() throws -> Bool {
        if !isMet, isExpected, Self.mustRun { throw MissingRequirement(description: description) }
        return isMet
    }

    private static let mustRun = getenv("CI").map { String(cString: $0) } == "true"
}

/// Something that `scripts/setup --test` installs, or root, is missing although `CI=true`.
package struct MissingRequirement: Error, CustomStringConvertible {
    package let description: String
}

extension Trait where Self == ConditionTrait {
    /// Skips a test or a suite, or fails where that is not allowed, if the machine lacks something.
    package static func require(_ requirement: Requirement) -> Self {
        .enabled(Comment(rawValue: requirement.description)) { try requirement.decide() }
    }
}

/// The same in the middle of a test: returns only if the test can go on.
package func require(_ requirement: Requirement, sourceLocation: SourceLocation = #_sourceLocation) throws {
    if try !requirement.decide() {
        try Test.cancel(Comment(rawValue: requirement.description), sourceLocation: sourceLocation)
    }
}
