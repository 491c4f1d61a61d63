// SPDX-License-Identifier: Apache-2.0

/// Who runs, and who waits to.
enum SchedulerArea: CommandArea {
    static let question: String? = "Which thread waits for the CPU, and who runs instead"
    static let place = 5
}
