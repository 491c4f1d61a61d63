// SPDX-License-Identifier: Apache-2.0
internal import Processes

/// Characters that hold any process or thread ID of this machine, at least the six of BCC's tables.
let taskIDWidth: Int = {
    let text = readFile("/proc/sys/kernel/pid_max").map { String(decoding: $0, as: UTF8.self) } ?? ""
    let most = Int(text.prefix { $0.isNumber }) ?? 4_194_304
    return max(6, String(max(1, most - 1)).count)
}()
