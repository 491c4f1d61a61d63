// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import Glibc
import Symbolization
import Unwinding

// unwind-tables FILE...          how long the table of each file takes to make, the best of five times, and its size
// unwind-tables --ranges FILE    the rows for Tests/Oracles/libdw-rules

func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
}

func table(of path: String) -> UnwindTable? {
    guard let file = OpenFile(path: path) else { return nil }
    return UnwindTable(
        file, path: path, search: DebugFileSearch(root: nil, debugRoot: "/usr/lib/debug"))
}

func measure(_ path: String) {
    var best = Double.infinity
    var made: UnwindTable?
    for _ in 0..<5 {
        made = nil
        let start = now()
        made = table(of: path)
        best = min(best, now() - start)
    }
    guard let made else { return print(path, "has no table") }
    let held =
        made.rows.capacity * 4 + made.pages.capacity * MemoryLayout<Range<Int>>.stride
        + made.rules.capacity * MemoryLayout<unwind_rule>.stride
    let largest = made.pages.map(\.count).max() ?? 0
    print(
        path, "ms:", (best * 100).rounded() / 100, "bytes/row:",
        (Double(held) / Double(max(made.rows.count, 1)) * 100).rounded() / 100, "rules:", made.rules.count,
        "pages:", made.pages.count, "largest page:", largest, made.statistics)
}

func writeRanges(_ path: String) {
    guard let made = table(of: path) else { exit(2) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(made.rows.count * 32)
    made.forEachRow { range, rule in
        withUnsafeBytes(of: (range.lowerBound, range.upperBound)) { bytes += $0 }
        withUnsafeBytes(of: rule) { bytes += $0 }
    }
    bytes.withUnsafeBytes { bytes in
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = write(1, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if count < 0 && errno != EINTR { exit(1) }
            rest = rest.dropFirst(max(count, 0))
        }
    }
}

let arguments = CommandLine.arguments.dropFirst()
if arguments.count == 2, arguments.first == "--ranges", let path = arguments.last {
    writeRanges(path)
} else {
    for path in arguments { measure(path) }
}
