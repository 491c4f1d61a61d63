// SPDX-License-Identifier: Apache-2.0

/// What is asked of the kernel.
enum SystemCallsArea: CommandArea {
    static let question: String? = "Which system calls are made"
    static let place = 3
}
