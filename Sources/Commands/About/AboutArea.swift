// SPDX-License-Identifier: Apache-2.0

/// What this machine can trace, and what recordings show.
enum AboutArea: CommandArea {
    static let question: String? = nil
}
