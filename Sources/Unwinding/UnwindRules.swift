// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms

/// The distinct rules of a file, numbered as they come.
struct UnwindRules {
    /// The first is always CFA_NO_RULE.
    private(set) var rules = [unwind_rule()]

    /// Numbers of rules, 0 for none, at places that their bits choose, or soon after; half of them free.
    private var table = [UInt16](repeating: 0, count: 256)
    private var recent: (first: UInt64, second: UInt64) = (0, 0)
    private var recentNumber: UInt16 = 0

    /// What a row can say.
    private static let maximumRules = Int(UNWIND_RULES)
    /// Rules of a hostile file may be made to choose the same place.
    private static let maximumSteps = 256

    /// The number of a rule; nil if there are too many.
    mutating func number(of rule: unwind_rule) -> UInt16? {
        let words = Self.words(rule)
        // A push and what follows it often repeat what another function did last.
        if words == recent { return recentNumber }
        guard let number = find(words) ?? add(rule, words) else { return nil }
        recent = words
        recentNumber = number
        return number
    }

    private static func words(_ rule: unwind_rule) -> (UInt64, UInt64) {
        unsafeBitCast(rule, to: (UInt64, UInt64).self)
    }

    private func place(_ words: (UInt64, UInt64)) -> Int {
        let mixed = (words.0 ^ words.1 &* 0x9e37_79b9_7f4a_7c15) &* 0xbf58_476d_1ce4_e5b9
        return Int(truncatingIfNeeded: mixed >> 32) & (table.count - 1)
    }

    private func find(_ words: (UInt64, UInt64)) -> UInt16? {
        if words == (0, 0) { return 0 }
        var place = place(words)
        for _ in 0..<Self.maximumSteps {
            let number = table[place]
            if number == 0 { return nil }
            if Self.words(rules[Int(number)]) == words { return number }
            place = (place + 1) & (table.count - 1)
        }
        return nil
    }

    private mutating func add(_ rule: unwind_rule, _ words: (UInt64, UInt64)) -> UInt16? {
        guard rules.count < Self.maximumRules else { return nil }
        if rules.count * 2 > table.count {
            table = [UInt16](repeating: 0, count: table.count * 2)
            for number in 1..<rules.count { insert(UInt16(number), Self.words(rules[number])) }
        }
        let number = UInt16(rules.count)
        guard insert(number, words) else { return nil }
        rules.append(rule)
        return number
    }

    @discardableResult
    private mutating func insert(_ number: UInt16, _ words: (UInt64, UInt64)) -> Bool {
        var place = place(words)
        for _ in 0..<Self.maximumSteps {
            if table[place] == 0 {
                table[place] = number
                return true
            }
            place = (place + 1) & (table.count - 1)
        }
        return false
    }
}
