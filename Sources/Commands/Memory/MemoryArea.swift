// SPDX-License-Identifier: Apache-2.0

/// What memory is used for.
enum MemoryArea: CommandArea {
    static let question: String? = "Where memory goes"
    static let place = 7
}
