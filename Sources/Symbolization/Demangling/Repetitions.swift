// SPDX-License-Identifier: Apache-2.0

/// How often at most a C++ or Swift name repeats parts of itself, wherever its parts begin.
func repetitions(in name: [UInt8]) -> Int {
    name.starts(with: "_Z".utf8) ? cxxRepetitions(in: name) : swiftRepetitions(in: name)
}

private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

/// An `S` and a number in digits and capitals, or a `T` and one, up to `_` repeat types and arguments (Itanium C++
/// ABI, 5.1.10 and 5.1.5.1). `Dp` and `sp` repeat a pattern for each of a list, and each other: they count more.
private func cxxRepetitions(in name: [UInt8]) -> Int {
    var total = 0
    for index in name.indices {
        switch name[index] {
        case UInt8(ascii: "S"), UInt8(ascii: "T"):
            let end = name[(index + 1)...].firstIndex {
                !isDigit($0) && !(UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0)
            }
            if let end, name[end] == UInt8(ascii: "_") { total += 1 }
        case UInt8(ascii: "p")
        where name[index - 1] == UInt8(ascii: "D") || name[index - 1] == UInt8(ascii: "s"):
            total += 6
        default: break
        }
    }
    return total
}

/// An `A` and letters, of which the last is in upper case, repeat earlier types, an `S` and a letter one of the
/// standard library; before each letter there can be a count (Mangling.rst, "Substitutions").
private func swiftRepetitions(in name: [UInt8]) -> Int {
    var most = [Int](repeating: 0, count: name.count + 1)
    for start in name.indices.reversed() {
        most[start] = most[start + 1]
        let isStandard = name[start] == UInt8(ascii: "S")
        guard isStandard || name[start] == UInt8(ascii: "A") else { continue }
        var total = 0
        var count: Int?
        for index in name.indices[(start + 1)...] {
            let byte = name[index]
            if isDigit(byte) {
                count = min((count ?? 0) * 10 + Int(byte - UInt8(ascii: "0")), 1 << 12)
                continue
            }
            total += count ?? (isStandard ? 0 : 1)
            count = nil
            most[start] = max(most[start], total + most[index + 1])
            guard !isStandard, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) else { break }
        }
    }
    return most[0]
}
