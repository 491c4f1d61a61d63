// SPDX-License-Identifier: Apache-2.0

/// A number with a fixed number of decimals, rounded.
func decimalText(_ value: Double, decimals: Int) -> String {
    let scale = (0..<decimals).reduce(1.0) { scale, _ in scale * 10 }
    let scaled = (value.magnitude * scale).rounded()
    guard scaled < 1e18 else { return String(value) }
    let digits = String(UInt64(scaled))
    let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard decimals > 0 else { return sign + padded }
    return sign + padded.dropLast(decimals) + "." + padded.suffix(decimals)
}

/// "12.34%"; "0%" of nothing.
func shareText(_ value: UInt64, of total: UInt64) -> String {
    total == 0 ? "0%" : decimalText(100 * Double(value) / Double(total), decimals: 2) + "%"
}

/// "1,234,567".
func groupedText(_ value: UInt64) -> String {
    var text = ""
    let digits = String(value)
    for (index, digit) in digits.enumerated() {
        if index > 0 && (digits.count - index) % 3 == 0 { text.append(",") }
        text.append(digit)
    }
    return text
}

extension Profile.ValueType {
    /// The value for a person: "1.25 ms", "3.5 MiB", "1,234 samples".
    package func text(_ value: UInt64) -> String {
        switch unit {
        case "nanoseconds": scaled(value, by: 1000, ["ns", "µs", "ms", "s"])
        case "microseconds": scaled(value, by: 1000, ["µs", "ms", "s"])
        case "milliseconds": scaled(value, by: 1000, ["ms", "s"])
        case "bytes": scaled(value, by: 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
        case "count": groupedText(value) + " " + name
        default: groupedText(value) + " " + unit
        }
    }

    private func scaled(_ value: UInt64, by step: Double, _ units: [String]) -> String {
        var rest = Double(value)
        var index = 0
        // Half less, because 999.7 would be rounded to 1000 of the smaller unit.
        while index + 1 < units.count && rest >= step - 0.5 {
            rest /= step
            index += 1
        }
        let decimals = index == 0 ? 0 : rest < 10 ? 2 : rest < 100 ? 1 : 0
        // Seconds are the last unit of time: thousands of them are grouped.
        let number =
            rest >= 1000 ? groupedText(UInt64(rest.rounded())) : decimalText(rest, decimals: decimals)
        return number + " " + units[index]
    }
}
