// SPDX-License-Identifier: Apache-2.0

/// What code is reached.
enum FunctionsArea: CommandArea {
    static let question: String? = "Which functions and events are reached, and how long they take"
    static let place = 4
}
