// SPDX-License-Identifier: Apache-2.0

/// What threads spend their time on.
enum TimeArea: CommandArea {
    static let question: String? = "Where time goes"
    static let place = 6
}
