// SPDX-License-Identifier: Apache-2.0

/// How processes come and go.
enum ProcessesArea: CommandArea {
    static let question: String? = "Which process starts, and how it ends"
    static let place = 2
}
