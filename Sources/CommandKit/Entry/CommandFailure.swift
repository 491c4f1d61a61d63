// SPDX-License-Identifier: Apache-2.0

/// A failure at run time: exit status 1, and one plain sentence that says what is wrong and what to do.
struct CommandFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
