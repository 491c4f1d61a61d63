// SPDX-License-Identifier: Apache-2.0

/// What processes do with files.
enum FilesArea: CommandArea {
    static let question: String? = "Which process opens or writes what"
    static let place = 1
}
