// SPDX-License-Identifier: Apache-2.0
import Glibc
import Reading
import Symbolization

// name-addresses [--reader] PID COUNT [RANGES]
//                                     milliseconds to look at the process, to name COUNT addresses of its code, each
//                                     once, and to name them again; RANGES: so many of its mappings at most;
//                                     --reader: files are read by a process without privileges, as the commands do

func milliseconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
}

func fail(_ text: String) -> Never {
    let line = "name-addresses: \(text)\n"
    _ = write(2, line, line.utf8.count)
    exit(64)
}

/// The executable mappings of files, from `/proc/PID/maps`.
func codeRanges(of process: Int32) -> [Range<UInt64>] {
    guard let maps = fopen("/proc/\(process)/maps", "r") else { fail("there is no process \(process)") }
    defer { fclose(maps) }
    var ranges: [Range<UInt64>] = []
    var line: UnsafeMutablePointer<CChar>?
    var room = 0
    while getline(&line, &room, maps) > 0, let line {
        let fields = String(cString: line).split(whereSeparator: \.isWhitespace)
        guard fields.count >= 6, fields[1].contains("x"), fields[5].hasPrefix("/") else { continue }
        let ends = fields[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
        if ends.count == 2 { ranges.append(ends[0]..<ends[1]) }
    }
    free(line)
    return ranges
}

/// `count` addresses, spread evenly over all bytes of the ranges, in an order that jumps from file to file.
func addresses(in ranges: [Range<UInt64>], count: Int) -> [UInt64] {
    let each = max(1, count / ranges.count)
    var result: [UInt64] = []
    for number in 0..<each {
        for range in ranges where result.count < count {
            result.append(range.lowerBound + UInt64(range.count) * UInt64(number) / UInt64(each))
        }
    }
    return result
}

if CommandLine.arguments == [ReaderService.name] { exit(ReaderService.run(as: ReaderService.name)) }
let words = CommandLine.arguments.dropFirst()
let usesReader = words.first == "--reader"
let arguments = words.dropFirst(usesReader ? 1 : 0).compactMap { Int($0) }
guard arguments.count >= 2, arguments.count == words.count - (usesReader ? 1 : 0), arguments[1] > 0 else {
    fail("usage: name-addresses [--reader] PID COUNT [RANGES]")
}
let process = Int32(clamping: arguments[0])
var ranges = codeRanges(of: process)
// The largest are what a test of one large file means.
if arguments.count > 2 { ranges = Array(ranges.sorted { $0.count > $1.count }.prefix(arguments[2])) }
guard !ranges.isEmpty else { fail("process \(process) maps no code") }
let wanted = addresses(in: ranges, count: arguments[1])

let options = SymbolizerOptions()
let start = milliseconds()
let reader: any CodeReader =
    usesReader
    ? ReaderProcess(executable: "/proc/self/exe", options: options, lines: false) : LocalReader(options)
let symbolizer = Symbolizer(options: options, reader: reader)
let begin = milliseconds()
symbolizer.observe(process: process)
let observed = milliseconds()
var named = 0
/// As many as a report asks for with one question.
let batch = 1 << 15
for start in stride(from: 0, to: wanted.count, by: batch) {
    let part = wanted[start..<min(start + batch, wanted.count)]
    symbolizer.prepare(part.map { UserAddress($0, process: process, isReturnAddress: false, at: nil) })
    for address in part {
        let frames = symbolizer.frames(user: address, process: process, isReturnAddress: false)
        if frames[0].function != nil { named += 1 }
    }
}
let first = milliseconds()
for address in wanted { _ = symbolizer.frames(user: address, process: process, isReturnAddress: false) }
let second = milliseconds()
let statistics = symbolizer.statistics
print(
    """
    {"files":\(ranges.count),"addresses":\(wanted.count),"named":\(named),"start_ms":\(begin - start),\
    "observe_ms":\(observed - begin),\
    "first_ms":\(first - observed),"again_ms":\(second - first),"symbols":\(statistics.symbolsIndexed),\
    "bytes":\(statistics.bytesHeld),"indexes_given_up":\(statistics.evictions)}
    """)
